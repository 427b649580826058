//! Deletes login sessions that ended long ago.

use crate::access::System;
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::ids::OrganizationId;
use domain::time::Micros;

/// The sessions to delete, oldest first. It walks the primary key, where few of these rows are still open.
macro_rules! old_logins {
    ($columns:literal) => {
        concat!(
            "(SELECT ",
            $columns,
            " FROM sessions WHERE organization = $1 AND kind = 'login' AND created_us < $2 AND ended_us < $2
              ORDER BY created_us LIMIT 1000)"
        )
    };
}

const ENTRIES: &str = concat!(
    "INSERT INTO changes (organization, sequence, kind, session_us, session_tail, revision, what, at_us)
     SELECT organization, (SELECT sequence FROM counters WHERE organization = $1) + ROW_NUMBER() OVER (ORDER BY created_us),
            'login', created_us, tail, revision + 1, 'deleted', CAST($3 AS BIGINT)
     FROM ",
    old_logins!("organization, created_us, tail, revision"),
    " AS old"
);

const COUNT: &str = concat!(
    "UPDATE counters SET sequence = sequence + (SELECT COUNT(*) FROM ",
    old_logins!("created_us"),
    " AS old) WHERE organization = $1"
);

const LOGINS: &str = concat!("DELETE FROM logins WHERE created_us IN ", old_logins!("created_us"));

const SESSIONS: &str = concat!(
    "DELETE FROM sessions WHERE organization = $1 AND kind = 'login' AND created_us IN ",
    old_logins!("created_us")
);

impl Store {
    /// Deletes sessions that were opened and ended before a time, at most 1000. Their audit entries stay.
    pub async fn prune_logins(&self, _: &System, before: Micros, now: Micros) -> Result<()> {
        let people = OrganizationId::PEOPLE;
        let statements = vec![
            any_rows(ENTRIES, values![people, before, now]),
            any_rows(COUNT, values![people, before]),
            any_rows(LOGINS, values![people, before]),
            any_rows(SESSIONS, values![people, before]),
        ];
        Ok(self.database.apply(batch([people], statements)).await?)
    }
}
