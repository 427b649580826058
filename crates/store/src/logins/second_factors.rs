//! Second factors, challenges, and when somebody last authenticated.

use crate::access::idempotency::record_creation;
use crate::access::reads::Scope;
use crate::access::{GrantedPerson, System};
use crate::database::{Columns, DatabaseError, Statement};
use crate::feed::feed_entry;
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{OrganizationId, PrincipalId};
use domain::login::{Login, Method};
use domain::refusal::Thing;
use domain::session::{FeedChange, SessionKey, SessionKind};
use domain::time::Micros;

/// A person's second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// The sealed secret that one-time codes are derived from.
    pub sealed: Vec<u8>,
    /// When it was proposed.
    pub created: Micros,
    /// When a first code proved that the person's app has the secret. Before that, no code is required.
    pub confirmed: Option<Micros>,
    /// Number of recovery codes left.
    pub recovery_codes: i64,
}

const FACTOR: &str = "
    SELECT f.sealed, f.created_us, f.confirmed_us,
           (SELECT COUNT(*) FROM recovery_codes r WHERE r.principal = f.principal)
    FROM second_factors f WHERE f.principal = $1";

impl Store {
    /// The person's second factor, confirmed or not.
    pub async fn load_second_factor(&self, granted: &GrantedPerson) -> Result<Option<SecondFactor>> {
        let rows = self.read(granted, FACTOR, values![]).await?;
        Ok(rows.read_first(read_second_factor)?)
    }

    /// Stores a second factor to be confirmed. It replaces an unconfirmed one.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when the person has a confirmed one.
    pub async fn propose_second_factor(
        &self,
        granted: &GrantedPerson,
        sealed: &[u8],
        now: Micros,
    ) -> Result<()> {
        let insert = granted.one_row(
            "INSERT INTO second_factors (principal, sealed, created_us, confirmed_us, used_step)
             VALUES ($1, $2, $3, NULL, 0)
             ON CONFLICT (principal) DO UPDATE SET sealed = $2, created_us = $3
             WHERE second_factors.confirmed_us IS NULL",
            values![sealed, now],
        );
        let exists = |_| Refusal::Exists("a second factor".to_owned()).into();
        self.apply(batch([], vec![insert]), exists).await
    }

    /// Confirms a proposed factor by the code of a time step, and stores its recovery codes. `session` counts as
    /// authenticated with both factors now.
    ///
    /// # Errors
    /// [`Error::Stale`] when another factor was proposed, this one was confirmed, or the session changed meanwhile.
    pub async fn confirm_second_factor(
        &self,
        granted: &GrantedPerson,
        proposed: &SecondFactor,
        step: i64,
        codes: &[SecretHash],
        session: Option<&Login>,
        now: Micros,
    ) -> Result<()> {
        let confirm = granted.one_row(
            "UPDATE second_factors SET confirmed_us = $4, used_step = $3
             WHERE principal = $1 AND sealed = $2 AND confirmed_us IS NULL",
            values![&proposed.sealed[..], step, now],
        );
        let mut statements = vec![confirm];
        statements.extend(replace_codes(granted, codes));
        if let Some(session) = session {
            let mut methods = session.methods.clone();
            methods.extend([Method::OneTime, Method::MultiFactor]);
            statements.extend(reauthentication_statements(granted, session, methods, now));
        }
        statements.extend(record_creation(granted, granted.person().0));
        self.apply(batch([OrganizationId::PEOPLE], statements), |_| Error::Stale).await
    }

    /// Uses up the code of a time step, and of all earlier steps.
    ///
    /// # Errors
    /// [`Refusal::WrongCode`] when the code is used up.
    pub async fn use_one_time_code(&self, granted: &GrantedPerson, step: i64) -> Result<()> {
        let sql = "UPDATE second_factors SET used_step = $2
                   WHERE principal = $1 AND used_step < $2 AND confirmed_us IS NOT NULL";
        let statement = granted.one_row(sql, values![step]);
        self.apply(batch([], vec![statement]), |_| Refusal::WrongCode.into()).await
    }

    /// Uses up a recovery code.
    ///
    /// # Errors
    /// [`Refusal::WrongCode`] when the person has no such code.
    pub async fn use_recovery_code(&self, granted: &GrantedPerson, hash: &SecretHash) -> Result<()> {
        let sql = "DELETE FROM recovery_codes WHERE principal = $1 AND hash = $2";
        let statement = granted.one_row(sql, values![&hash.0[..]]);
        self.apply(batch([], vec![statement]), |_| Refusal::WrongCode.into()).await
    }

    /// Replaces all recovery codes.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the person has no confirmed second factor.
    pub async fn set_recovery_codes(&self, granted: &GrantedPerson, codes: &[SecretHash]) -> Result<()> {
        let sql = "UPDATE second_factors SET used_step = used_step
                   WHERE principal = $1 AND confirmed_us IS NOT NULL";
        let mut statements = vec![granted.one_row(sql, values![])];
        statements.extend(replace_codes(granted, codes));
        statements.extend(record_creation(granted, granted.person().0));
        self.apply(batch([], statements), |_| Refusal::NotFound(Thing::SecondFactor).into()).await
    }

    /// Removes the person's second factor, confirmed or not, with its recovery codes.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is none.
    pub async fn remove_second_factor(&self, granted: &GrantedPerson) -> Result<()> {
        let mut statements =
            vec![granted.one_row("DELETE FROM second_factors WHERE principal = $1", values![])];
        statements.extend(replace_codes(granted, &[]));
        statements.extend(record_creation(granted, granted.person().0));
        self.apply(batch([], statements), |_| Refusal::NotFound(Thing::SecondFactor).into()).await
    }

    /// Records that the person authenticated again in a session.
    ///
    /// # Errors
    /// [`Error::Stale`] when the session ended or changed meanwhile.
    pub async fn record_reauthentication(
        &self,
        granted: &GrantedPerson,
        session: &Login,
        methods: Vec<Method>,
        now: Micros,
    ) -> Result<()> {
        let mut statements = reauthentication_statements(granted, session, methods, now);
        statements.extend(record_creation(granted, session.id.uuid()));
        self.apply(batch([OrganizationId::PEOPLE], statements), |_| Error::Stale).await
    }

    /// Stores a challenge: what the second half of a sign-in needs, for the bearer of a token.
    pub async fn create_challenge(
        &self,
        _: &System,
        person: PrincipalId,
        purpose: &'static str,
        token: &SecretHash,
        data: &str,
        expires: Micros,
    ) -> Result<()> {
        let sql = "INSERT INTO one_time_tokens (hash, principal, purpose, expires_us, data)
                   VALUES ($1, $2, $3, $4, $5)";
        let insert = any_rows(sql, values![&token.0[..], person, purpose, expires, data]);
        Ok(self.database.apply(batch([], vec![insert])).await?)
    }

    /// The data of a challenge. The token stays valid.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the token is unknown, used or expired.
    pub async fn load_challenge(
        &self,
        system: &System,
        purpose: &'static str,
        token: &SecretHash,
        now: Micros,
    ) -> Result<(PrincipalId, String)> {
        let sql = "SELECT principal, data FROM one_time_tokens
                   WHERE hash = $1 AND purpose = $2 AND expires_us > $3 AND data IS NOT NULL";
        let rows = self.read_unscoped(system, sql, values![&token.0[..], purpose, now]).await?;
        let challenge = rows.read_first(|columns| Ok((PrincipalId(columns.id()?), columns.text()?)))?;
        challenge.ok_or(Error::Unauthenticated)
    }

    /// Records the use of something that may be used once until it expires.
    ///
    /// # Errors
    /// [`Error::Stale`] when it was used before.
    pub async fn use_once(
        &self,
        _: &System,
        purpose: &'static str,
        hash: &SecretHash,
        expires: Micros,
    ) -> Result<()> {
        let sql = "INSERT INTO one_time_tokens (hash, principal, purpose, expires_us) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (hash) DO NOTHING";
        let nobody = PrincipalId(uuid::Uuid::nil());
        let statement = one_row(sql, values![&hash.0[..], nobody, purpose, expires]);
        self.apply(batch([], vec![statement]), |_| Error::Stale).await
    }

    /// Ends a challenge. It can be ended once, even when several requests race.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the token is unknown or used.
    pub async fn end_challenge(&self, _: &System, purpose: &'static str, token: &SecretHash) -> Result<()> {
        let sql = "DELETE FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND data IS NOT NULL";
        let statement = one_row(sql, values![&token.0[..], purpose]);
        self.apply(batch([], vec![statement]), |_| Error::Unauthenticated).await
    }
}

impl Store {
    /// Second factors of all people after a person, confirmed or not, for a change of the master key.
    pub async fn list_second_factors(
        &self,
        system: &System,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<(PrincipalId, Vec<u8>)>> {
        let sql =
            "SELECT principal, sealed FROM second_factors WHERE principal > $1 ORDER BY principal LIMIT $2";
        let after = after.unwrap_or(PrincipalId(uuid::Uuid::nil()));
        let rows = self.read_unscoped(system, sql, values![after, limit]).await?;
        Ok(rows.read_all(|columns| Ok((PrincipalId(columns.id()?), columns.bytes()?)))?)
    }

    /// Replaces the sealed secret of a second factor.
    ///
    /// # Errors
    /// [`Error::Stale`] when it is no longer `before`.
    pub async fn replace_second_factor(
        &self,
        _: &System,
        person: PrincipalId,
        before: &[u8],
        after: &[u8],
    ) -> Result<()> {
        let sql = "UPDATE second_factors SET sealed = $3 WHERE principal = $1 AND sealed = $2";
        self.apply(batch([], vec![one_row(sql, values![person, before, after])]), |_| Error::Stale).await
    }
}

fn replace_codes(granted: &GrantedPerson, codes: &[SecretHash]) -> Vec<Statement> {
    let insert = "INSERT INTO recovery_codes (principal, hash) VALUES ($1, $2)";
    let mut statements = vec![granted.any_rows("DELETE FROM recovery_codes WHERE principal = $1", values![])];
    statements.extend(codes.iter().map(|hash| granted.any_rows(insert, values![&hash.0[..]])));
    statements
}

/// Sets a session's time and methods of authentication, raises its revision and writes an entry of the change feed.
/// The batch must lock [`OrganizationId::PEOPLE`].
fn reauthentication_statements(
    granted: &GrantedPerson,
    session: &Login,
    mut methods: Vec<Method>,
    now: Micros,
) -> Vec<Statement> {
    methods.sort();
    methods.dedup();
    let methods = methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" ");
    let (id, revision) = (session.id, session.revision + 1);
    let mut statements = vec![
        granted.one_row(
            "UPDATE sessions SET revision = $5
             WHERE organization = $2 AND kind = 'login' AND created_us = $3 AND tail = $4 AND principal = $1
               AND revision = $6 AND ended_us IS NULL",
            values![OrganizationId::PEOPLE, id.creation_time(), id.tail() as i64, revision, session.revision],
        ),
        // Rows of `logins` have no person. The statement above expects that the session is theirs.
        one_row(
            "UPDATE logins SET authenticated_us = $2, methods = $3 WHERE created_us = $1",
            values![id.creation_time(), now, methods],
        ),
    ];
    let key = SessionKey { organization: OrganizationId::PEOPLE, kind: SessionKind::Login, id };
    statements.extend(feed_entry(key, revision, FeedChange::Changed, now));
    statements
}

fn read_second_factor(columns: &mut Columns) -> Result<SecondFactor, DatabaseError> {
    Ok(SecondFactor {
        sealed: columns.bytes()?,
        created: columns.time()?,
        confirmed: columns.maybe_time()?,
        recovery_codes: columns.int()?,
    })
}
