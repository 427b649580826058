//! Device and login sessions by keys of any organization. The keys are bound as one JSON text. The two databases differ in
//! how such a text becomes rows.

use crate::access::System;
use crate::database::{Columns, DatabaseError};
use crate::devices::holds::{hold_columns, read_hold};
use crate::devices::sessions::{keys_json, read_session, session_columns, times_json};
use crate::logins::rows::{login_columns, read_login};
use crate::rows::values;
use crate::{Result, Store};
use domain::device::{DeviceSession, Hold};
use domain::ids::OrganizationId;
use domain::login::Login;
use domain::session::SessionKey;
use domain::time::Micros;
use std::collections::HashMap;

/// The organizations and times of the keys in `$1`.
macro_rules! sqlite_keys {
    () => {
        "(SELECT unhex(value ->> 0) AS organization, value ->> 1 AS created_us FROM json_each($1)) k"
    };
}

/// The organizations and times of the keys in `$1`.
macro_rules! postgres_keys {
    () => {
        "(SELECT CAST(value ->> 0 AS UUID) AS organization, CAST(value ->> 1 AS BIGINT) AS created_us
          FROM jsonb_array_elements(CAST(CAST($1 AS TEXT) AS jsonb)) value) k"
    };
}

/// Device sessions, their open and newest holds with the host of each device, and login sessions.
pub(crate) struct ByKeys {
    pub(crate) devices: &'static str,
    pub(crate) holds: &'static str,
    pub(crate) logins: &'static str,
}

/// SQLite keeps the order of a cross join.
pub(crate) const SQLITE: ByKeys = ByKeys {
    devices: concat!(
        "SELECT s.organization, ",
        session_columns!(),
        " FROM ",
        sqlite_keys!(),
        " CROSS JOIN sessions s ON s.organization = k.organization AND s.kind = 'device' AND s.created_us = k.created_us"
    ),
    holds: concat!(
        "SELECT h.organization, h.session_us, t.name, ",
        hold_columns!(),
        " FROM (SELECT h.*, ROW_NUMBER() OVER (PARTITION BY h.organization, h.session_us ORDER BY h.position DESC) AS age
                FROM ",
        sqlite_keys!(),
        "       CROSS JOIN holds h ON h.organization = k.organization AND h.session_us = k.created_us) h
          LEFT JOIN devices d ON d.id = h.device LEFT JOIN hosts t ON t.id = d.host
          WHERE h.age = 1 OR h.released_us IS NULL ORDER BY h.position"
    ),
    logins: concat!(
        "SELECT ",
        login_columns!(),
        " FROM json_each($1) k
          CROSS JOIN sessions s ON s.organization = $2 AND s.kind = 'login' AND s.created_us = k.value
          CROSS JOIN logins l ON l.created_us = s.created_us"
    ),
};

/// The limits keep PostgreSQL from turning these into joins, which would read all sessions or holds of an organization.
pub(crate) const POSTGRES: ByKeys = ByKeys {
    devices: concat!(
        "SELECT s.organization, ",
        session_columns!(),
        " FROM ",
        postgres_keys!(),
        " CROSS JOIN LATERAL (SELECT * FROM sessions s
              WHERE s.organization = k.organization AND s.kind = 'device' AND s.created_us = k.created_us LIMIT 1) s"
    ),
    holds: concat!(
        "SELECT h.organization, h.session_us, t.name, ",
        hold_columns!(),
        " FROM ",
        postgres_keys!(),
        " CROSS JOIN LATERAL (SELECT h.*, ROW_NUMBER() OVER (ORDER BY h.position DESC) AS age FROM holds h
              WHERE h.organization = k.organization AND h.session_us = k.created_us) h
          LEFT JOIN devices d ON d.id = h.device LEFT JOIN hosts t ON t.id = d.host
          WHERE h.age = 1 OR h.released_us IS NULL ORDER BY h.position"
    ),
    logins: concat!(
        "SELECT ",
        login_columns!(),
        " FROM (SELECT CAST(value AS BIGINT) AS created_us
                FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) value) k
          CROSS JOIN LATERAL (SELECT * FROM sessions s
              WHERE s.organization = $2 AND s.kind = 'login' AND s.created_us = k.created_us LIMIT 1) s
          CROSS JOIN LATERAL (SELECT * FROM logins l WHERE l.created_us = k.created_us LIMIT 1) l"
    ),
};

fn statements(store: &Store) -> &'static ByKeys {
    if store.database.kind() == "sqlite" { &SQLITE } else { &POSTGRES }
}

/// The device sessions with these keys: each with its open holds and the newest one, and the name of the host that has the
/// newest one's device.
pub(super) async fn read_devices(
    store: &Store,
    system: &System,
    keys: &[SessionKey],
) -> Result<Vec<(DeviceSession, Option<String>)>> {
    let (statements, keys) = (statements(store), keys_json(keys));
    let rows = store.read_unscoped(system, statements.devices, values![keys.as_str()]).await?;
    let sessions = rows.read_all(|columns| {
        let organization = OrganizationId(columns.id()?);
        Ok((read_session(organization, columns)?, None))
    })?;
    let mut sessions = sessions;
    let places = sessions.iter().enumerate();
    let places = places
        .map(|(place, (session, _))| ((session.organization, session.id.creation_time()), place))
        .collect::<HashMap<_, _>>();
    let rows = store.read_unscoped(system, statements.holds, values![keys]).await?;
    for (key, host, hold) in rows.read_all(read_hold_with_host)? {
        if let Some(place) = places.get(&key) {
            let (session, known_host) = &mut sessions[*place];
            session.holds.extend(hold);
            *known_host = host;
        }
    }
    Ok(sessions)
}

type HoldWithHost = ((OrganizationId, Micros), Option<String>, Option<Hold>);

fn read_hold_with_host(columns: &mut Columns) -> Result<HoldWithHost, DatabaseError> {
    let key = (OrganizationId(columns.id()?), columns.time()?);
    Ok((key, columns.maybe_text()?, read_hold(columns)?))
}

/// The login sessions with these keys.
pub(super) async fn read_logins(store: &Store, system: &System, keys: &[SessionKey]) -> Result<Vec<Login>> {
    let ids = keys.iter().map(|key| key.id).collect::<Vec<_>>();
    let values = values![times_json(&ids), OrganizationId::PEOPLE];
    Ok(store.read_unscoped(system, statements(store).logins, values).await?.read_all(read_login)?)
}
