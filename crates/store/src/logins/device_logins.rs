//! Device logins: a program waits until a person approves it.

use crate::access::credentials::{key_created_entry, key_statements};
use crate::access::reads::Scope;
use crate::access::{GrantedPerson, ManageOwnKeys};
use crate::audit::attribution::Grant;
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError, Statement};
use crate::rows::{any_rows, batch, one_row, values};
use crate::{ApiKey, Error, Granted, Result, Store, System};
use domain::Refusal;
use domain::credential::SecretHash;
use domain::device_login::{DeviceLogin, DeviceLoginState};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::login::Origin;
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use serde_json::json;

/// The approval of a device login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLoginApproval {
    /// The person who approved it.
    pub principal: PrincipalId,
    /// The only organization that the program may act in.
    pub organization: OrganizationId,
}

macro_rules! columns {
    () => {
        "client, remote_ip, agent, created_us, expires_us, interval_us, polled_us, state, principal, organization"
    };
}

pub(crate) const BY_HASH: &str = concat!("SELECT ", columns!(), " FROM device_logins WHERE hash = $1");
pub(crate) const BY_CODE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM device_logins WHERE user_code = $1 AND state = 'pending' AND expires_us > $2"
);

/// Uses an approved login, if the person is still signed in and may act.
const USE: &str = "
    UPDATE device_logins SET state = 'used' WHERE hash = $1 AND state = 'approved' AND expires_us > $2
      AND EXISTS (SELECT 1 FROM sessions s WHERE s.organization = $3 AND s.kind = 'login'
                  AND s.created_us = device_logins.login_us AND s.ended_us IS NULL)
      AND EXISTS (SELECT 1 FROM principals p WHERE p.id = device_logins.principal AND p.state = 'active')";

impl Store {
    /// Stores a device login: the hashes of the program's code and of the code that a person types.
    ///
    /// # Errors
    /// [`Error::Stale`] when one of the codes is taken.
    pub async fn create_device_login(
        &self,
        _: &System,
        new: &DeviceLogin,
        hash: &SecretHash,
        user_code: &SecretHash,
    ) -> Result<()> {
        let insert = one_row(
            "INSERT INTO device_logins
                 (hash, user_code, client, remote_ip, agent, created_us, expires_us, interval_us, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            values![
                &hash.0[..],
                &user_code.0[..],
                new.client.as_str(),
                new.origin.remote_ip.map(|ip| ip.to_string()),
                new.origin.agent.as_str(),
                new.created,
                new.expires,
                new.interval.0,
                new.state.name()
            ],
        );
        self.apply(batch([], vec![insert]), |_| Error::Stale).await
    }

    /// A device login by the program's code, and its approval.
    pub async fn load_device_login(
        &self,
        system: &System,
        hash: &SecretHash,
    ) -> Result<Option<(DeviceLogin, Option<DeviceLoginApproval>)>> {
        let rows = self.read_unscoped(system, BY_HASH, values![&hash.0[..]]).await?;
        Ok(rows.read_first(read_device_login)?)
    }

    /// Records that a program polled, and how long it must wait from now on.
    ///
    /// # Errors
    /// [`Error::Stale`] when the program polled twice at once.
    pub async fn record_device_login_poll(
        &self,
        _: &System,
        hash: &SecretHash,
        last_poll: Option<Micros>,
        interval: Span,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE device_logins SET polled_us = $3, interval_us = $4
                   WHERE hash = $1 AND COALESCE(polled_us, 0) = $2";
        let values = values![&hash.0[..], last_poll.unwrap_or_default(), now, interval.0];
        self.apply(batch([], vec![one_row(sql, values)]), |_| Error::Stale).await
    }

    /// The pending login with the code that a person typed.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the code is unknown, used or expired.
    pub async fn find_pending_device_login(
        &self,
        _: &GrantedPerson,
        user_code: &SecretHash,
        now: Micros,
    ) -> Result<DeviceLogin> {
        let rows =
            self.read_unscoped(&System::for_secret_lookup(), BY_CODE, values![&user_code.0[..], now]).await?;
        rows.read_first(read_device_login)?.map(|(login, _)| login).ok_or_else(unknown_code)
    }

    /// Approves a device login: the program will act as the person in the organization. `session` is the person's
    /// login session. If it ends before the program takes its key, the program gets none.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the code is unknown, used or expired.
    pub async fn approve_device_login(
        &self,
        granted: &Granted<ManageOwnKeys>,
        own: &GrantedPerson,
        session: SessionId,
        user_code: &SecretHash,
        now: Micros,
    ) -> Result<()> {
        let sql =
            "UPDATE device_logins SET state = 'approved', principal = $1, organization = $4, login_us = $5
                   WHERE user_code = $2 AND state = 'pending' AND expires_us > $3";
        let values = values![&user_code.0[..], now, granted.organization(), session.creation_time()];
        let organization = Some(granted.organization());
        let entry = NewAuditEntry::new(own.attribution(), "device_login.allow", own.person(), json!({}), now);
        let batch =
            batch_with_entry([], vec![own.one_row(sql, values)], &entry.with_organization(organization))?;
        self.apply(batch, |_| unknown_code()).await
    }

    /// Denies a device login.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the code is unknown, used or expired.
    pub async fn deny_device_login(
        &self,
        own: &GrantedPerson,
        user_code: &SecretHash,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE device_logins SET state = 'denied', principal = $1
                   WHERE user_code = $2 AND state = 'pending' AND expires_us > $3";
        let deny = own.one_row(sql, values![&user_code.0[..], now]);
        let entry = NewAuditEntry::new(own.attribution(), "device_login.deny", own.person(), json!({}), now);
        self.apply(batch_with_entry([], vec![deny], &entry)?, |_| unknown_code()).await
    }

    /// Creates the key of an approved program. It can be created once, even when several polls race.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the login was used before, or its approver is no longer signed in or may not
    /// act.
    pub async fn redeem_device_login(
        &self,
        system: &System,
        hash: &SecretHash,
        new: &ApiKey,
        key: &SecretHash,
        now: Micros,
    ) -> Result<()> {
        let people = OrganizationId::PEOPLE;
        let mut statements = vec![one_row(USE, values![&hash.0[..], now, people])];
        statements.extend(key_statements(&new.credential, key, system.0));
        let sql = "UPDATE credentials SET updated_us = $2,
                         made_in = (SELECT d.login_us FROM device_logins d WHERE d.hash = $3) WHERE id = $1";
        statements.push(any_rows(sql, values![new.credential.id, new.updated, &hash.0[..]]));
        // Locked, so that a session that is revoked at the same time is noticed.
        let entry = key_created_entry(system.0, &new.credential, new.scopes);
        self.apply(batch_with_entry([people], statements, &entry)?, |_| Error::Unauthenticated).await
    }
}

/// Deletes logins that expired before a time.
pub(crate) fn prune_statement(time: Micros) -> Statement {
    any_rows("DELETE FROM device_logins WHERE expires_us <= $1", values![time])
}

fn unknown_code() -> Error {
    Refusal::NotFound(Thing::Program).into()
}

/// Reads a device login and its approval.
fn read_device_login(
    columns: &mut Columns,
) -> Result<(DeviceLogin, Option<DeviceLoginApproval>), DatabaseError> {
    let login = DeviceLogin {
        client: columns.text()?,
        origin: Origin {
            remote_ip: columns.maybe_text()?.and_then(|ip| ip.parse().ok()),
            agent: columns.text()?,
            agent_type: String::new(),
        },
        created: columns.time()?,
        expires: columns.time()?,
        interval: Span(columns.int()?),
        polled: columns.maybe_time()?,
        state: columns.word(DeviceLoginState::parse)?,
    };
    let principal = columns.maybe_id()?.map(PrincipalId);
    let organization = columns.maybe_id()?.map(OrganizationId);
    let approval = principal.zip(organization);
    Ok((login, approval.map(|(principal, organization)| DeviceLoginApproval { principal, organization })))
}
