//! The search for words in the titles and previews of an organization's agent sessions.
//!
//! A session is found when its text contains the words: the texts are in `agent_texts`, in lower case. An index of
//! trigrams, which are three characters in a row, finds candidates, and the text of each is checked. The texts of the
//! organization are read in order instead when the words are shorter than a trigram, or when so many sessions are
//! candidates that this is faster.

use crate::access::lane::Scan;
use crate::access::{Granted, ViewSessions};
use crate::database::{Columns, Database, DatabaseError, Rows, Value};
use crate::rows::{contains_pattern, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::time::Micros;
use std::collections::BTreeSet;

/// No session's title or preview is longer.
const MAX_SEARCH_CHARS: usize = 8_000;
/// How many trigrams are looked up at most: each costs time for every session that has it.
const MAX_TRIGRAMS: usize = 8;

/// The first `$4` candidates of the trigrams `$3`: their number, and those that have the text `$2`. They are read only if
/// there are fewer than `$4`. The index has the trigrams of an organization in one range.
pub(crate) const SQLITE_CANDIDATES: &str = "
    WITH found AS MATERIALIZED (
        SELECT rowid AS id FROM agent_trigrams
        WHERE agent_trigrams MATCH $3
            AND rowid >= (SELECT id >> 36 << 36 FROM agent_texts WHERE organization = $1 LIMIT 1)
            AND rowid < (SELECT ((id >> 36) + 1) << 36 FROM agent_texts WHERE organization = $1 LIMIT 1)
        LIMIT $4)
    SELECT 1, COUNT(*), 0 FROM found
    UNION ALL
    SELECT 0, s.created_us, s.tail FROM found f
    CROSS JOIN agent_texts t ON t.id = f.id
    CROSS JOIN agent_sessions s ON s.organization = $1 AND s.created_us = t.created_us
    WHERE (SELECT COUNT(*) FROM found) < $4 AND t.search LIKE $2 ESCAPE '\\'";

/// The same for PostgreSQL. The index has a number for the organization, which others can have too. The limit of one
/// keeps PostgreSQL from reading all sessions of the organization.
pub(crate) const POSTGRES_CANDIDATES: &str = "
    WITH found AS MATERIALIZED (
        SELECT organization, created_us, search
        FROM agent_texts_candidates(CAST(CAST($3 AS TEXT) AS INTEGER[]), CAST($4 AS BIGINT)))
    SELECT CAST(1 AS BIGINT), COUNT(*), CAST(0 AS BIGINT) FROM found
    UNION ALL
    SELECT 0, s.created_us, s.tail FROM found f CROSS JOIN LATERAL
        (SELECT s.created_us, s.tail FROM agent_sessions s
         WHERE s.organization = f.organization AND s.created_us = f.created_us LIMIT 1) s
    WHERE f.organization = $1 AND f.search LIKE $2 ESCAPE '\\'
        AND (SELECT COUNT(*) FROM found) < CAST($4 AS BIGINT)";

/// A page of the sessions that have the text `$2`, in order of time and after `$3`.
pub(crate) const TEXTS: &str = "
    SELECT t.created_us,
        (SELECT s.tail FROM agent_sessions s WHERE s.organization = t.organization AND s.created_us = t.created_us)
    FROM agent_texts t
    WHERE t.organization = $1 AND t.created_us > $3 AND t.search LIKE $2 ESCAPE '\\'
    ORDER BY t.organization, t.created_us LIMIT $4";

/// The bounds of a search.
#[derive(Debug, Clone, Copy)]
pub struct SearchBounds {
    /// With more candidates, all texts are read in order.
    pub candidates: usize,
    /// How many of the sessions that are found are read in one statement.
    pub page: usize,
    /// A search that finds more is refused.
    pub found: usize,
}

impl Default for SearchBounds {
    fn default() -> Self {
        // To check a candidate takes two to three times as long as to check the next text in order.
        SearchBounds { candidates: 20_000, page: 50_000, found: 2_000_000 }
    }
}

/// What a search has found so far.
#[derive(Default)]
struct FoundSessions {
    sessions: BTreeSet<SessionId>,
    is_refused: bool,
}

/// A search in one organization.
struct Search {
    pattern: String,
    bounds: SearchBounds,
}

impl Search {
    /// The statement that reads candidates; `None` for words that have no trigram.
    fn candidates(&self, database: &Database, organization: OrganizationId, words: &str) -> Option<NextScan> {
        let trigrams = choose_trigrams(words);
        let (sql, wanted) = match database {
            Database::Sqlite(_) => (SQLITE_CANDIDATES, format_match(&trigrams)),
            Database::Postgres(_) => (POSTGRES_CANDIDATES, format_numbers(organization, &trigrams)),
        };
        let limit = to_int(self.bounds.candidates.saturating_add(1));
        (!trigrams.is_empty()).then(|| (Scan(sql), values![self.pattern.as_str(), wanted, limit]))
    }

    /// The statement that reads a page of texts.
    fn page(&self, after: Micros) -> NextScan {
        (Scan(TEXTS), values![self.pattern.as_str(), after, to_int(self.bounds.page)])
    }

    /// Takes the candidates that have the text. Returns the first page of all texts when there are too many.
    fn add_candidates(
        &self,
        found: &mut FoundSessions,
        rows: Rows,
    ) -> Result<Option<NextScan>, DatabaseError> {
        let mut count = 0;
        let read = |columns: &mut Columns| Ok((columns.flag()?, columns.int()?, columns.int()?));
        for (is_count, number, tail) in rows.read_all(read)? {
            match is_count {
                true => count = number,
                false => found.sessions.extend([SessionId::new(Micros(number), tail as u64)]),
            }
        }
        Ok((count > to_int(self.bounds.candidates)).then(|| self.page(Micros(i64::MIN))))
    }

    /// Takes a page. Returns the next one, if there is one.
    fn add_page(&self, found: &mut FoundSessions, rows: Rows) -> Result<Option<NextScan>, DatabaseError> {
        let rows = rows.read_all(|columns| Ok((columns.time()?, columns.maybe_int()?)))?;
        let next = (rows.len() >= self.bounds.page).then(|| rows.last().map(|(last, _)| self.page(*last)));
        let sessions = rows.into_iter().filter_map(|(at, tail)| Some(SessionId::new(at, tail? as u64)));
        found.sessions.extend(sessions);
        found.is_refused = found.sessions.len() > self.bounds.found;
        Ok(next.flatten().filter(|_| !found.is_refused))
    }
}

/// A statement in the scope of a grant.
type NextScan = (Scan, Vec<Value>);

impl Store {
    /// The organization's agent sessions with a text in the title or in a preview, ignoring case. A session that has the
    /// text all the time is found; one that changes meanwhile may be found or not.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it finds more sessions than [`SearchBounds::found`].
    pub async fn search_agent_sessions(
        &self,
        granted: &Granted<ViewSessions>,
        text: &str,
    ) -> Result<BTreeSet<SessionId>> {
        self.search_agent_sessions_within(granted, text, SearchBounds::default()).await
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// Those of [`Store::search_agent_sessions`].
    pub async fn search_agent_sessions_within(
        &self,
        granted: &Granted<ViewSessions>,
        text: &str,
        bounds: SearchBounds,
    ) -> Result<BTreeSet<SessionId>> {
        let words = text.replace('\0', "\u{ffff}").chars().take(MAX_SEARCH_CHARS).collect::<String>();
        let search = Search { pattern: contains_pattern(&words), bounds };
        let candidates = search.candidates(&self.database, granted.organization(), &words.to_lowercase());
        let first = candidates.unwrap_or_else(|| search.page(Micros(i64::MIN)));
        let found = self
            .read_scans(granted, first, |found: &mut FoundSessions, Scan(sql), rows| match sql {
                TEXTS => search.add_page(found, rows),
                _ => search.add_candidates(found, rows),
            })
            .await?;
        if found.is_refused {
            let expected = format!("a text that at most {} sessions have", bounds.found);
            return Err(Refusal::invalid("search", expected).into());
        }
        Ok(found.sessions)
    }
}

fn to_int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Trigrams that every text has that contains the words: next to each other rather than overlapping, because each one
/// costs time and those that overlap tell little.
fn choose_trigrams(words: &str) -> Vec<[char; 3]> {
    let letters = words.chars().collect::<Vec<_>>();
    let Some(last) = letters.len().checked_sub(3) else { return Vec::new() };
    let steps = last.div_ceil(3).clamp(1, MAX_TRIGRAMS - 1);
    let mut trigrams = Vec::new();
    for step in 0..=steps {
        // The last step ends with the words.
        let at = last * step / steps;
        let trigram = [letters[at], letters[at + 1], letters[at + 2]];
        if !trigrams.contains(&trigram) {
            trigrams.push(trigram);
        }
    }
    trigrams
}

/// Trigrams as a query of FTS5.
fn format_match(trigrams: &[[char; 3]]) -> String {
    let quote = |trigram: &[char; 3]| {
        let text = trigram.iter().collect::<String>().replace('"', "\"\"");
        format!("\"{text}\"")
    };
    trigrams.iter().map(quote).collect::<Vec<_>>().join(" AND ")
}

/// The numbers of an organization and of trigrams, as the function `agent_texts_trigrams` of the migration computes them,
/// as an array of PostgreSQL.
fn format_numbers(organization: OrganizationId, trigrams: &[[char; 3]]) -> String {
    let number =
        |trigram: &[char; 3]| trigram.iter().fold(0_u32, |number, letter| (number << 11) ^ *letter as u32);
    let organization = organization.0.as_u128() as u32;
    let numbers = [organization].into_iter().chain(trigrams.iter().map(number));
    let numbers = numbers.map(|number| number.cast_signed().to_string()).collect::<Vec<_>>();
    format!("{{{}}}", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn short_words_have_no_trigrams() {
        for words in ["", "a", "登录", "\u{10ffff}x"] {
            assert!(choose_trigrams(words).is_empty(), "{words}");
        }
        assert_eq!(format_match(&choose_trigrams("abc")), r#""abc""#);
        assert_eq!(format_match(&choose_trigrams("a\"bc")), r#""a""b" AND """bc""#);
        assert_eq!(format_match(&choose_trigrams("session")), r#""ses" AND "ssi" AND "ion""#);
        assert_eq!(choose_trigrams(&"ab".repeat(1_000)).len(), 2);
    }

    #[test]
    fn a_number_keeps_three_characters() {
        let organization = OrganizationId(Uuid::from_u128(0xffff_ffff_8000_0000));
        let trigram = [['a', 'b', '\u{10ffff}']];
        let numbers = format!("{{-2147483648,{}}}", ((97 << 22) ^ (98 << 11) ^ 0x10_ffff));
        assert_eq!(format_numbers(organization, &trigram), numbers);
    }

    proptest! {
        #[test]
        fn a_text_has_the_trigrams_of_its_parts(before in ".{0,9}", words in ".{0,60}", after in ".{0,9}") {
            let text = format!("{before}{words}{after}").chars().collect::<Vec<_>>();
            let chosen = choose_trigrams(&words);
            prop_assert!(chosen.len() <= MAX_TRIGRAMS);
            prop_assert_eq!(chosen.is_empty(), words.chars().count() < 3);
            prop_assert!(chosen.iter().all(|trigram| text.windows(3).any(|part| part == trigram)));
        }
    }
}
