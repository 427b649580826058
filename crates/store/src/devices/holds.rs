//! Holds: devices that sessions hold, and their waiting requests.

use crate::access::{Granted, System, UseSessions, ViewSessions};
use crate::database::{Columns, DatabaseError, Statement};
use crate::devices::sessions::read_device_key;
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::device::{DeviceChange, DeviceFilters, DeviceProfile, DeviceSession, HeldDevice, Hold};
use domain::ids::{DeviceId, HoldId, OrganizationId, PrincipalId};
use domain::session::{Ending, SessionKey};
use domain::time::Micros;

/// The columns of a hold; see [`read_hold`].
macro_rules! hold_columns {
    () => {
        "h.id, h.principal, h.platform, h.requested_us, h.granted_us, h.activity_us,
         h.released_us, h.end_reason, h.end_actor, h.end_evidence,
         h.device, h.fence, h.handle, h.device_kind, h.device_name, h.version, h.model"
    };
}
pub(crate) use hold_columns;

const OPEN: &str = concat!(
    "SELECT h.organization, h.session_us, h.session_tail, ",
    hold_columns!(),
    " FROM holds h WHERE h.organization = $1 AND h.released_us IS NULL ORDER BY h.position"
);

impl Store {
    /// The organization's holds and waiting requests, in the order of the requests.
    pub async fn list_open_holds(&self, granted: &Granted<ViewSessions>) -> Result<Vec<(SessionKey, Hold)>> {
        let rows = self.read(granted, OPEN, values![]).await?;
        let holds = rows.read_all(|columns| Ok((read_device_key(columns)?, read_hold(columns)?)))?;
        Ok(holds.into_iter().filter_map(|(key, hold)| Some((key, hold?))).collect())
    }

    /// Records the use of a hold. Callers do so at most every 30 s. It does not change the revision.
    pub async fn record_hold_use(
        &self,
        _: &System,
        session: SessionKey,
        hold: HoldId,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE holds SET activity_us = $4
                   WHERE organization = $1 AND session_us = $2 AND id = $3 AND activity_us < $4";
        let statement = any_rows(sql, values![session.organization, session.id.creation_time(), hold, now]);
        Ok(self.database.apply(batch([session.organization], vec![statement])).await?)
    }

    /// The refusal with the organization's limit.
    pub(crate) async fn device_limit(&self, granted: &Granted<UseSessions>) -> Result<Error> {
        let sql = "SELECT max_devices FROM organizations WHERE id = $1 AND deleted_us IS NULL";
        let rows = self.read(granted, sql, values![]).await?;
        let max = rows.read_first(Columns::maybe_int)?.flatten();
        Ok(max.map_or(Refusal::NotAMember.into(), |max| {
            Refusal::DeviceLimit { max: u32::try_from(max).unwrap_or(u32::MAX) }.into()
        }))
    }
}

/// The statements for a change of a session's holds and their devices.
pub(crate) fn statements(session: &DeviceSession, change: &DeviceChange, now: Micros) -> Vec<Statement> {
    match change {
        DeviceChange::Requested { hold, filters } => request(session, hold, filters),
        DeviceChange::Granted { hold, held } => grant(session, *hold, held, now),
        DeviceChange::Released { hold, ending } => {
            let found = session.holds.iter().find(|known| known.id == *hold);
            release(session, *hold, found.and_then(|hold| hold.held.as_ref()), ending, now)
        }
        DeviceChange::Ended(_) => vec![],
    }
}

/// The first statement checks the limit.
fn request(session: &DeviceSession, hold: &Hold, filters: &DeviceFilters) -> Vec<Statement> {
    let pool = OrganizationId::ACCOUNT;
    vec![
        one_row(
            "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL AND (max_devices IS NULL
                 OR max_devices > (SELECT COUNT(*) FROM holds WHERE organization = $1 AND released_us IS NULL))",
            values![session.organization],
        ),
        one_row("UPDATE counters SET sequence = sequence + 1 WHERE organization = $1", values![pool]),
        one_row(
            "INSERT INTO holds (organization, session_us, id, session_tail, principal, state, position, filters,
                                platform, requested_us, activity_us)
             VALUES ($1, $2, $3, $4, $5, 'pending', (SELECT sequence FROM counters WHERE organization = $6), $7,
                     $8, $9, $10)",
            values![
                session.organization,
                session.id.creation_time(),
                hold.id,
                session.id.tail() as i64,
                hold.principal,
                pool,
                filters_text(filters),
                hold.platform.as_str(),
                hold.requested,
                hold.activity
            ],
        ),
    ]
}

/// Both rows must still be free. The condition on the device's row makes it impossible to hold a device twice.
fn grant(session: &DeviceSession, hold: HoldId, held: &HeldDevice, now: Micros) -> Vec<Statement> {
    vec![
        one_row(
            "UPDATE devices SET fence = $2, holder_organization = $3, holder_session_us = $4, holder_hold = $5
             WHERE id = $1 AND fence = $6 AND holder_hold IS NULL AND online = 1 AND cleaning = 0",
            values![held.device, held.fence, session.organization, session.id.creation_time(), hold, held.fence - 1],
        ),
        one_row(
            "UPDATE holds SET state = 'in_use', granted_us = $4, activity_us = $4, device = $5, fence = $6,
                              handle = $7, device_kind = $8, device_name = $9, model = $10, version = $11
             WHERE organization = $1 AND session_us = $2 AND id = $3 AND state = 'pending'",
            values![
                session.organization,
                session.id.creation_time(),
                hold,
                now,
                held.device,
                held.fence,
                held.handle.as_str(),
                held.profile.kind.as_str(),
                held.profile.name.as_str(),
                held.model.as_str(),
                held.profile.version.as_str()
            ],
        ),
    ]
}

fn release(
    session: &DeviceSession,
    hold: HoldId,
    held: Option<&HeldDevice>,
    ending: &Ending,
    now: Micros,
) -> Vec<Statement> {
    let mut statements = vec![one_row(
        "UPDATE holds SET state = 'released', released_us = $4, end_reason = $5, end_actor = $6, end_evidence = $7
         WHERE organization = $1 AND session_us = $2 AND id = $3 AND released_us IS NULL",
        values![
            session.organization,
            session.id.creation_time(),
            hold,
            now,
            ending.reason,
            ending.actor,
            ending.evidence.as_str()
        ],
    )];
    if let Some(held) = held {
        statements.push(one_row(
            "UPDATE devices SET holder_organization = NULL, holder_session_us = NULL, holder_hold = NULL, cleaning = 1
             WHERE id = $1 AND holder_hold = $2",
            values![held.device, hold],
        ));
    }
    statements
}

/// An ended hold of an imported session.
pub(crate) fn insert_imported_hold(session: &DeviceSession, hold: &Hold) -> [Statement; 2] {
    let pool = OrganizationId::ACCOUNT;
    let held = hold.held.as_ref();
    let ended = hold.ended.as_ref();
    let insert = one_row(
        "INSERT INTO holds (organization, session_us, id, session_tail, principal, state, position, filters, platform,
                            requested_us, granted_us, released_us, activity_us, device, fence, handle, device_name,
                            device_kind, model, version, end_reason, end_actor, end_evidence)
         VALUES ($1, $2, $3, $4, $5, $6, (SELECT sequence FROM counters WHERE organization = $7), $8, $9,
                 $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)",
        values![
            session.organization,
            session.id.creation_time(),
            hold.id,
            session.id.tail() as i64,
            hold.principal,
            hold.state().name(),
            pool,
            filters_text(&DeviceFilters::from_platform(&hold.platform)),
            hold.platform.as_str(),
            hold.requested,
            hold.granted,
            ended.map(|(at, _)| *at),
            hold.activity,
            held.map(|held| held.device),
            held.map(|held| held.fence),
            held.map(|held| held.handle.as_str()),
            held.map(|held| held.profile.name.as_str()),
            held.map(|held| held.profile.kind.as_str()),
            held.map(|held| held.model.as_str()),
            held.map(|held| held.profile.version.as_str()),
            ended.map(|(_, ending)| ending.reason),
            ended.and_then(|(_, ending)| ending.actor),
            ended.map(|(_, ending)| ending.evidence.as_str())
        ],
    );
    [one_row("UPDATE counters SET sequence = sequence + 1 WHERE organization = $1", values![pool]), insert]
}

fn filters_text(filters: &DeviceFilters) -> String {
    serde_json::to_string(filters.as_slice()).unwrap_or_default()
}

/// The filters of a request.
pub(crate) fn read_filters(columns: &mut Columns) -> Result<DeviceFilters, DatabaseError> {
    let filters = DeviceFilters::new(columns.json()?);
    filters.map_err(|error| DatabaseError::Failed(format!("a hold's filters in the store: {error}")))
}

/// A hold, in the last columns of a row; `None` when a join found none.
pub(crate) fn read_hold(columns: &mut Columns) -> Result<Option<Hold>, DatabaseError> {
    let Some(id) = columns.maybe_id()? else {
        columns.skip_rest();
        return Ok(None);
    };
    let (principal, platform) = (PrincipalId(columns.id()?), columns.text()?);
    Ok(Some(Hold {
        id: HoldId(id),
        principal,
        requested: columns.time()?,
        granted: columns.maybe_time()?,
        activity: columns.time()?,
        ended: columns.maybe_ending()?,
        held: read_held_device(columns, &platform)?,
        platform,
    }))
}

fn read_held_device(columns: &mut Columns, platform: &str) -> Result<Option<HeldDevice>, DatabaseError> {
    let Some(device) = columns.maybe_id()? else {
        columns.skip_rest();
        return Ok(None);
    };
    Ok(Some(HeldDevice {
        device: DeviceId(device),
        fence: columns.int()?,
        handle: columns.text()?,
        profile: DeviceProfile {
            platform: platform.to_owned(),
            kind: columns.text()?,
            name: columns.text()?,
            version: columns.text()?,
        },
        model: columns.text()?,
    }))
}
