//! The search for words: the index of trigrams and the reading of all texts give the same answer, whoever wrote the
//! sessions.

use crate::agents::world::{act, create, given};
use crate::database::upgrade::written_by;
use crate::world::{NOW, organization, system, user, viewer};
use domain::Refusal;
use domain::agent::AgentCommand;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::time::{Micros, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use store::database::{Database, DatabaseError, Migration, OpenMode, dump};
use store::testing::{TestPlace, destroy_page, empty_postgres, empty_sqlite, raw};
use store::{Error, SearchBounds, Store};

const TITLES: [&str; 6] = ["Fix THE bug", "100% done", "under_score", "back\\slash", "ÜBER", "plain"];
const SEARCHES: [&str; 13] =
    ["the BUG", "0%", "100", "_", "\\", "über", "%", "hello", "'", "", "a\0b", "none of them", "pla%n"];
/// What random texts are made of.
const PARTS: [&str; 24] = [
    "a",
    "b",
    "ab",
    "A",
    "%",
    "_",
    "\\",
    "\"",
    "'",
    "ü",
    "Ü",
    "登",
    "录",
    "\u{1f600}",
    " ",
    "\n",
    "İ",
    "ß",
    "Σ",
    "*",
    "AND",
    "\u{ffff}",
    "(",
    "0",
];
/// Bounds with which most searches begin with the index and some go on with all texts, in several pages.
const SMALL: SearchBounds = SearchBounds { candidates: 6, page: 4, found: 1_000 };
/// Bounds with which all texts are always read.
const NO_CANDIDATES: SearchBounds = SearchBounds { candidates: 0, page: 7, found: 1_000 };

/// A generator of numbers that can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn text(&mut self, parts: usize) -> String {
        (0..self.below(parts + 1)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }
}

/// The texts of sessions, as a search should see them.
type Texts = BTreeMap<(OrganizationId, SessionId), String>;

/// Compares searches with the texts.
async fn check(store: &Store, texts: &Texts, organizations: &[OrganizationId], searches: &[String]) {
    for (organization, search) in
        organizations.iter().flat_map(|one| searches.iter().map(move |text| (one, text)))
    {
        let wanted = search.replace('\0', "\u{ffff}").to_lowercase();
        let has = |((of, id), text): (&(OrganizationId, SessionId), &String)| {
            (of == organization && text.contains(&wanted)).then_some(*id)
        };
        let expected = texts.iter().filter_map(has).collect::<BTreeSet<_>>();
        for bounds in [SearchBounds::default(), SMALL, NO_CANDIDATES] {
            let found =
                store.search_agent_sessions_within(&viewer(*organization), search, bounds).await.unwrap();
            assert_eq!(found, expected, "{search:?} {bounds:?}");
        }
    }
}

/// The statements of an older server, which does not know of the index.
struct OldServer<'a> {
    url: &'a str,
}

impl OldServer<'_> {
    fn id(&self, organization: OrganizationId) -> String {
        let hex = organization.0.simple();
        if self.url.starts_with("sqlite:") { format!("X'{hex}'") } else { format!("'{hex}'") }
    }

    /// The condition on a session.
    fn session(&self, organization: OrganizationId, id: SessionId) -> String {
        format!("organization = {} AND created_us = {}", self.id(organization), id.creation_time().0)
    }

    async fn create(&self, organization: OrganizationId, id: SessionId, text: &str) {
        let (organization, at, tail) = (self.id(organization), id.creation_time().0, id.tail());
        let text = text.replace('\'', "''");
        let sql = format!(
            "INSERT INTO agent_sessions (organization, created_us, tail, revision, owner, agent, agent_name, state, origin,
                                         updated_us, work, work_us)
             VALUES ({organization}, {at}, {tail}, 1, {organization}, {organization}, 'default', 'new', 'api', 0, 'none', 0);
             INSERT INTO agent_bodies (organization, created_us, search, body) VALUES ({organization}, {at}, '{text}', '{{}}')"
        );
        raw(self.url, &sql).await.unwrap();
    }

    async fn change(&self, organization: OrganizationId, id: SessionId, text: &str) {
        let (session, text) = (self.session(organization, id), text.replace('\'', "''"));
        raw(self.url, &format!("UPDATE agent_bodies SET search = '{text}', body = body WHERE {session}"))
            .await
            .unwrap();
    }

    async fn delete(&self, organization: OrganizationId, id: SessionId) {
        let session = self.session(organization, id);
        let sql =
            format!("DELETE FROM agent_sessions WHERE {session}; DELETE FROM agent_bodies WHERE {session}");
        raw(self.url, &sql).await.unwrap();
    }
}

/// Checks that the index is that of the texts, and that the texts are those of the sessions.
async fn check_index(store: &Store, url: &str) {
    assert_eq!(store.count_orphans(&system(), NOW).await.unwrap().texts, 0);
    if url.starts_with("sqlite:") {
        // A comparison with all texts.
        let sql = "INSERT INTO agent_trigrams (agent_trigrams, rank) VALUES ('integrity-check', 1)";
        raw(url, sql).await.unwrap();
    }
    store.database().check().await.unwrap();
}

/// One random change.
async fn step(
    store: &Store,
    old: &OldServer<'_>,
    numbers: &mut Numbers,
    texts: &mut Texts,
    places: &[(OrganizationId, PrincipalId)],
    at: Micros,
) {
    let (organization, owner) = places[numbers.below(places.len())];
    let text = numbers.text(6);
    let own = texts.keys().filter(|(of, _)| *of == organization).map(|(_, id)| *id).collect::<Vec<_>>();
    let some = (!own.is_empty()).then(|| own[numbers.below(own.len().max(1))]);
    let choice = numbers.below(12);
    let Some(id) = some.filter(|_| choice > 3) else {
        if choice == 0 {
            // An old server's clock may be behind.
            let id = SessionId::new(Micros(at.0 - 1_000_000_000 * numbers.below(2) as i64 + 5), 7);
            old.create(organization, id, &text.to_lowercase()).await;
            texts.insert((organization, id), text.to_lowercase());
            return;
        }
        let mut new = given(owner);
        new.title = Some(text.clone()).filter(|text| !text.is_empty());
        let message = numbers.text(4);
        let session =
            create(store, organization, new, Some(message.as_str()).filter(|text| !text.is_empty()), at)
                .await;
        texts.insert((organization, session.id), session.search_text());
        return;
    };
    match choice {
        4 => {
            old.change(organization, id, &text.to_lowercase()).await;
            texts.insert((organization, id), text.to_lowercase());
        }
        5 => {
            old.delete(organization, id).await;
            texts.remove(&(organization, id));
        }
        _ => {
            // A session of an old server has no body.
            let Ok(session) = store.load_agent_session(&viewer(organization), id).await else { return };
            if choice == 6 {
                store.delete_agent_session(&user(organization), &session, at).await.unwrap();
                texts.remove(&(organization, id));
                return;
            }
            let archived = session.archived.is_some();
            let command = match choice {
                7 if !archived => AgentCommand::Archive,
                _ if archived => AgentCommand::Unarchive,
                _ => AgentCommand::SetTitle(Some(text).filter(|text| !text.is_empty())),
            };
            let session = act(store, &session, command, at).await.unwrap();
            texts.insert((organization, id), session.search_text());
        }
    }
}

both! {
    async fn a_search_finds_words_in_titles_and_previews(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (other, other_owner) = organization(&store).await;
        let mut sessions = Vec::new();
        for (number, title) in TITLES.into_iter().enumerate() {
            let mut new = given(owner);
            new.title = Some(title.to_owned());
            let text = (number % 2 == 0).then_some("Hello");
            sessions.push(create(&store, acme, new.clone(), text, NOW + Span::seconds(number as i64)).await);
            new.owner = other_owner;
            create(&store, other, new, text, NOW).await;
        }
        for search in SEARCHES {
            let has = |session: &&store::LoadedAgentSession| session.search_text().contains(&search.to_lowercase());
            let expected = sessions.iter().filter(has).map(|session| session.id).collect();
            assert_eq!(store.search_agent_sessions(&viewer(acme), search).await.unwrap(), expected, "{search:?}");
        }
        let long = "é".repeat(100_000);
        assert!(store.search_agent_sessions(&viewer(acme), &long).await.unwrap().is_empty());
    }

    async fn a_search_means_the_same_with_and_without_the_index(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let places = [organization(&store).await, organization(&store).await];
        let organizations = places.map(|(organization, _)| organization);
        let (mut numbers, mut texts) = (Numbers(7), Texts::new());
        let old = OldServer { url: &db.url };
        for round in 0..8 {
            for number in 0..20 {
                let at = NOW + Span::seconds(round * 20 + number);
                step(&store, &old, &mut numbers, &mut texts, &places, at).await;
            }
            let parts = texts.values().flat_map(|text| {
                let letters = text.chars().collect::<Vec<_>>();
                (letters.len() > 4).then(|| letters[1..4].iter().collect::<String>())
            });
            let mut searches = parts.take(8).collect::<Vec<_>>();
            searches.extend((0..12).map(|_| numbers.text(4)));
            check(&store, &texts, &organizations, &searches).await;
        }
        check_index(&store, &db.url).await;
        // The sessions of a deleted organization stay, as its other data.
        store.delete_organization(&system(), organizations[0], NOW + Span::minutes(60)).await.unwrap();
        check(&store, &texts, &organizations, &["a".into(), "ab".into(), "登录".into()]).await;
        for (organization, id) in texts.into_keys() {
            old.delete(organization, id).await;
        }
        check(&store, &Texts::new(), &organizations, &[String::new(), "a".into()]).await;
        check_index(&store, &db.url).await;
        let left = db.read("SELECT COUNT(*) FROM agent_texts", vec![]).await.unwrap();
        assert_eq!(left.read_one(store::database::Columns::int).unwrap(), 0);
    }

    async fn a_search_that_finds_too_many_is_refused(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let mut new = given(owner);
        new.title = Some("the same words".into());
        for number in 0..6 {
            create(&store, acme, new.clone(), None, NOW + Span::seconds(number)).await;
        }
        let search = async |words, bounds| store.search_agent_sessions_within(&viewer(acme), words, bounds).await;
        for words in ["same", "s"] {
            let bounds = SearchBounds { candidates: 2, page: 4, found: 6 };
            assert_eq!(search(words, bounds).await.unwrap().len(), 6, "{words}");
            let refused = search(words, SearchBounds { found: 5, ..bounds }).await;
            let Err(Error::Refused(Refusal::Invalid { field, expected })) = refused else { panic!("{refused:?}") };
            assert_eq!((field.as_str(), expected.as_str()), ("search", "a text that at most 5 sessions have"));
        }
    }

    async fn sessions_whose_text_is_not_found_are_counted(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let mut sessions = Vec::new();
        for number in 0..3 {
            sessions.push(create(&store, acme, given(owner), Some("hello"), NOW + Span::seconds(number)).await);
        }
        let old = OldServer { url: &db.url };
        let (missing, different) = (old.session(acme, sessions[0].id), old.session(acme, sessions[1].id));
        let by_hand = format!(
            "DELETE FROM agent_texts WHERE {missing}; UPDATE agent_texts SET search = 'other' WHERE {different}"
        );
        raw(&db.url, &by_hand).await.unwrap();
        assert_eq!(store.count_orphans(&system(), NOW).await.unwrap().texts, 2);
    }
}

/// Opens a database that a program with schema 14 wrote.
async fn old_sessions_are_found(place: TestPlace, text: fn(&Migration) -> &'static str) {
    raw(&place.url, &written_by(14, text)).await.unwrap();
    let old = OldServer { url: &place.url };
    let organizations = [1, 2].map(|number| OrganizationId(uuid::Uuid::from_u128(number)));
    let mut texts = Texts::new();
    for number in 0..40_u64 {
        let (organization, id) =
            (organizations[number as usize % 2], SessionId::new(NOW + Span(number as i64), number));
        let text = format!("the session {number} of übung {}", number % 7);
        old.create(organization, id, &text).await;
        texts.insert((organization, id), text);
    }
    let store = Store::new(Database::open(&place.url, OpenMode::Migrate, NOW.0).await.unwrap());
    let searches = ["session 1", "übung 3", "of", "none", ""].map(str::to_owned);
    check(&store, &texts, &organizations, &searches).await;
    // It goes on writing while a new server runs.
    let (first, other) = (*texts.keys().next().unwrap(), SessionId::new(NOW + Span(100), 1));
    old.change(first.0, first.1, "übung 30").await;
    texts.insert(first, "übung 30".into());
    old.create(organizations[1], other, "session 100").await;
    texts.insert((organizations[1], other), "session 100".into());
    check(&store, &texts, &organizations, &searches).await;
    check_index(&store, &place.url).await;
    store.database().close().await;
}

#[tokio::test]
async fn old_sessions_are_found_in_sqlite() {
    old_sessions_are_found(empty_sqlite(), |migration| migration.sqlite).await;
}

#[tokio::test]
async fn old_sessions_are_found_in_postgres() {
    let Some(place) = empty_postgres().await else { return };
    old_sessions_are_found(place, |migration| migration.postgres).await;
}

/// Dumps a database and restores it: into a new one, and over itself.
async fn a_restored_database_is_searched(from: TestPlace, to: TestPlace) {
    let store = Store::new(Database::open(&from.url, OpenMode::Migrate, NOW.0).await.unwrap());
    let (acme, owner) = organization(&store).await;
    let mut new = given(owner);
    new.title = Some("Größe 登录页面".into());
    let session = create(&store, acme, new.clone(), None, NOW).await;
    let folder = empty_sqlite();
    let file = Path::new(folder.url.strip_prefix("sqlite:").unwrap()).with_extension("dump");
    std::fs::write(&file, "").unwrap();
    let made = dump::dump(&from.url, &file).await.unwrap();
    new.title = Some("登录页面 later".into());
    create(&store, acme, new, None, NOW + Span(1)).await;
    store.database().close().await;
    for place in [&to, &from] {
        let staged = dump::staging(&place.url).unwrap();
        if let Some(staged) = &staged {
            std::fs::copy(&file, staged).unwrap();
        }
        dump::restore(&place.url, &made, staged.as_deref().unwrap_or(&file), vec![], NOW.0).await.unwrap();
        let store = Store::new(Database::open(&place.url, OpenMode::Existing, NOW.0).await.unwrap());
        for words in ["登录页", "größe", "录页"] {
            let found = store.search_agent_sessions(&viewer(acme), words).await.unwrap();
            assert_eq!(found, BTreeSet::from([session.id]), "{words}");
        }
        check_index(&store, &place.url).await;
        store.database().close().await;
    }
}

#[tokio::test]
async fn a_restored_sqlite_database_is_searched() {
    a_restored_database_is_searched(empty_sqlite(), empty_sqlite()).await;
}

#[tokio::test]
async fn a_restored_postgres_database_is_searched() {
    let (Some(from), Some(to)) = (empty_postgres().await, empty_postgres().await) else { return };
    a_restored_database_is_searched(from, to).await;
}

#[tokio::test]
async fn a_check_finds_damage_of_the_index() {
    let place = empty_sqlite();
    let store = Store::new(Database::open(&place.url, OpenMode::Migrate, NOW.0).await.unwrap());
    let (acme, owner) = organization(&store).await;
    create(&store, acme, given(owner), Some("hello"), NOW).await;
    store.database().check().await.unwrap();
    store.database().close().await;
    destroy_page(Path::new(place.url.strip_prefix("sqlite:").unwrap()), "agent_trigrams_data");
    let database = Database::open(&place.url, OpenMode::Existing, NOW.0).await.unwrap();
    assert!(matches!(database.check().await, Err(DatabaseError::Damaged(_))));
}
