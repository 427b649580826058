//! Migrations: forward only, in pairs, each applied in one transaction and never changed afterwards.

use super::DatabaseError;
use sha2::{Digest, Sha256};

/// One step of the schema, with a text for each database.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3, …
    pub version: i64,
    /// The name of the file, without the number.
    pub name: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

macro_rules! migrations {
    ($($version:literal $file:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../../migrations/", $file, ".sqlite.sql")),
            postgres: include_str!(concat!("../../../../migrations/", $file, ".postgres.sql")),
        }),+]
    };
}

/// All migrations, oldest first. A new one is an entry here and a pair of files.
pub const MIGRATIONS: &[Migration] = migrations![
    1 "0001_house" "house",
    2 "0002_agent_sessions" "agent_sessions",
    3 "0003_login_sessions" "login_sessions",
    4 "0004_audit_chain" "audit_chain",
    5 "0005_second_factor" "second_factor",
    6 "0006_invitations" "invitations",
    7 "0007_identities" "identities",
    8 "0008_key_families" "key_families",
    9 "0009_homes" "homes",
    10 "0010_clock" "clock",
    11 "0011_audit_segments" "audit_segments",
    12 "0012_attempt_windows" "attempt_windows",
    13 "0013_wanted_addresses" "wanted_addresses",
    14 "0014_summaries" "summaries",
    15 "0015_access_changes" "access_changes",
    16 "0016_agent_texts" "agent_texts",
    17 "0017_own_wire" "own_wire",
    18 "0018_views" "views",
];

/// The schema version of this program.
pub const SCHEMA_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// A migration that was applied to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppliedMigration {
    pub(super) version: i64,
    pub(super) checksum: String,
}

/// Selects one of the two texts of a migration.
pub(super) type MigrationText = fn(&Migration) -> &'static str;

impl Migration {
    pub(super) fn sqlite_text(&self) -> &'static str {
        self.sqlite
    }

    pub(super) fn postgres_text(&self) -> &'static str {
        self.postgres
    }
}

/// SHA-256 of a migration's text in hexadecimal.
pub(super) fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The migrations still to apply. Checks those that were applied.
///
/// # Errors
/// [`DatabaseError::Schema`] when the data is newer than the program, or an applied migration differs from this
/// program's.
pub(super) fn pending(
    applied: &[AppliedMigration],
    text: MigrationText,
) -> Result<&'static [Migration], DatabaseError> {
    let version = applied.last().map_or(0, |last| last.version);
    if version > SCHEMA_VERSION {
        return Err(DatabaseError::Schema(format!(
            "the database was written by a newer tenure (schema {version}; this program knows {SCHEMA_VERSION}): \
             use that version or a later one"
        )));
    }
    for (known, applied) in MIGRATIONS.iter().zip(applied) {
        if known.version != applied.version || checksum(text(known)) != applied.checksum {
            return Err(DatabaseError::Schema(format!(
                "migration {} in the database is not the one that this program was built with: \
                 it comes from an unreleased or altered build; use that build, or restore a backup",
                applied.version
            )));
        }
    }
    Ok(MIGRATIONS.get(applied.len()..).unwrap_or_default())
}

/// Refuses data with another schema version than this program's.
///
/// # Errors
/// [`DatabaseError::Schema`] with a sentence that says what to do.
pub(super) fn require_current(
    applied: Option<&[AppliedMigration]>,
    text: MigrationText,
) -> Result<(), DatabaseError> {
    let applied = applied.unwrap_or_default();
    if applied.is_empty() {
        return Err(DatabaseError::Schema(
            "the database holds no data of tenure: check the URL, or run `tenure migrate` to set it up"
                .into(),
        ));
    }
    if pending(applied, text)?.is_empty() {
        return Ok(());
    }
    Err(DatabaseError::Schema(format!(
        "the database was written by an older tenure (schema {}; this program needs {SCHEMA_VERSION}): \
         make a backup and run `tenure migrate`, or restart the server with this version",
        applied.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied() -> Vec<AppliedMigration> {
        let line = |m: &Migration| AppliedMigration { version: m.version, checksum: checksum(m.sqlite) };
        MIGRATIONS.iter().map(line).collect()
    }

    #[test]
    fn versions_count_from_one() {
        assert!(MIGRATIONS.iter().map(|m| m.version).eq(1..=SCHEMA_VERSION));
    }

    #[test]
    fn a_changed_migration_is_refused() {
        let mut changed = applied();
        changed[0].checksum = checksum("something else");
        let error = pending(&changed, Migration::sqlite_text).unwrap_err().to_string();
        assert!(error.contains("migration 1 in the database is not the one"), "{error}");
    }

    #[test]
    fn newer_data_is_refused_and_older_data_is_migrated() {
        let mut newer = applied();
        newer.push(AppliedMigration { version: SCHEMA_VERSION + 1, checksum: String::new() });
        let error = pending(&newer, Migration::sqlite_text).unwrap_err().to_string();
        assert!(error.contains("written by a newer tenure"), "{error}");
        assert_eq!(pending(&[], Migration::sqlite_text).unwrap().len(), MIGRATIONS.len());
        assert!(pending(&applied(), Migration::sqlite_text).unwrap().is_empty());
    }

    #[test]
    fn a_program_that_must_not_migrate_says_what_to_do() {
        assert!(require_current(Some(&applied()), Migration::sqlite_text).is_ok());
        let error = require_current(None, Migration::sqlite_text).unwrap_err().to_string();
        assert!(error.contains("tenure migrate"), "{error}");
    }
}
