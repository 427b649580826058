//! Login sessions.
//!
//! They are rows of `sessions` under [`OrganizationId::PEOPLE`] and of `logins`. Every batch that opens or ends one
//! locks the counter of that organization. So these batches see each other's outcome, and the feed has no gaps.

use crate::access::authentication::Authentication;
use crate::access::credentials::{OrganizationChoice, build_caller, earliest, read_caller};
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Caller, GrantedAccount, GrantedPerson, ManageMembers, System};
use crate::audit::attribution::{Attribution, Grant};
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError, Statement, Topic, Value};
use crate::devices::sessions::{times_json, to_stale};
use crate::feed::feed_entry;
use crate::logins::rows::{login_columns, read_login};
use crate::rows::{LoadedSessions, any_rows, batch, format_scopes, one_row, postgres_times, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SessionId};
use domain::login::Login;
use domain::refusal::Thing;
use domain::session::{Ending, FeedChange, SessionKind};
use domain::time::{Micros, Span};
use serde_json::json;

pub(crate) const OPEN: &str = concat!(
    "SELECT ",
    login_columns!(),
    " FROM sessions s JOIN logins l ON l.created_us = s.created_us
      WHERE s.principal = $1 AND s.kind = 'login' AND s.ended_us IS NULL ORDER BY s.created_us DESC"
);

/// A person's sessions by the times in `$2`. SQLite keeps the order of a cross join.
pub(crate) const SQLITE_BY_TIMES: &str = concat!(
    "SELECT ",
    login_columns!(),
    " FROM json_each($2) k
      CROSS JOIN sessions s ON s.organization = $3 AND s.kind = 'login' AND s.created_us = k.value
      CROSS JOIN logins l ON l.created_us = s.created_us
      WHERE s.principal = $1 ORDER BY s.created_us DESC"
);

/// The limit keeps PostgreSQL from turning this into a join, which would read the sessions of all people.
pub(crate) const POSTGRES_BY_TIMES: &str = concat!(
    "SELECT ",
    login_columns!(),
    " FROM (",
    postgres_times!(),
    ") k
      CROSS JOIN LATERAL (SELECT * FROM sessions s
          WHERE s.organization = $3 AND s.kind = 'login' AND s.created_us = k.created_us LIMIT 1) s
      CROSS JOIN LATERAL (SELECT * FROM logins l WHERE l.created_us = k.created_us LIMIT 1) l
      WHERE s.principal = $1 ORDER BY s.created_us DESC"
);

const OVER: &str = concat!(
    "SELECT ",
    login_columns!(),
    " FROM sessions s JOIN logins l ON l.created_us = s.created_us
      WHERE s.kind = 'login' AND s.ended_us IS NULL AND (l.expires_us <= $1 OR s.activity_us + l.idle_us <= $1)
      ORDER BY s.activity_us LIMIT 1000"
);

/// All open sessions. There is no index for this: only administrators ask for it.
const ALL: &str = concat!(
    "SELECT ",
    login_columns!(),
    " FROM sessions s JOIN logins l ON l.created_us = s.created_us
      WHERE s.organization = $1 AND s.kind = 'login' AND s.ended_us IS NULL ORDER BY s.created_us DESC"
);

/// The columns of a caller (see [`read_caller`]), when the session was used, for how long it may be unused, when its
/// person last proved who they are, and when its key was created. For the joins, see the query of API keys.
pub(crate) const CALLER: &str = "
    SELECT p.id, l.organization, p.kind, p.account_role, p.default_organization, o.id, m.role,
           l.scopes, l.expires_us, k.networks, s.activity_us, l.idle_us,
           CASE WHEN l.credential IS NULL THEN l.authenticated_us END, k.created_us
    FROM sessions s
    JOIN logins l ON l.created_us = s.created_us
    LEFT JOIN credentials k ON k.id = l.credential
    JOIN principals p ON p.id = s.principal
    LEFT JOIN members m ON m.principal = p.id
    LEFT JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
    WHERE s.organization = $1 AND s.kind = 'login' AND s.created_us = $2 AND s.tail = $3 AND l.hash = $4
      AND s.ended_us IS NULL AND l.expires_us > $5 AND s.activity_us + l.idle_us > $5 AND p.state = 'active'
      AND (k.created_us IS NULL OR k.created_us > $6)
    ORDER BY m.created_us, m.organization";

/// Ends a set of open sessions: writes an entry of the feed for each, adds their number to the counter, and updates
/// the sessions.
pub(crate) struct EndStatements {
    pub(crate) entries: &'static str,
    pub(crate) count: &'static str,
    pub(crate) sessions: &'static str,
}

/// The sessions that the literals `$which` select by `$2` and `$3`. The organization is compared through COALESCE, so
/// that no index is chosen for it: SQLite would walk the primary key, and with it all sessions.
macro_rules! ends {
    ($($which:expr),+) => {
        $crate::logins::sessions::EndStatements {
            entries: concat!(
                "INSERT INTO changes (organization, sequence, kind, session_us, session_tail, revision, what, at_us)
                 SELECT organization, (SELECT sequence FROM counters WHERE organization = $1)
                        + ROW_NUMBER() OVER (ORDER BY created_us),
                        'login', created_us, tail, revision + 1, 'ended', CAST($4 AS BIGINT)
                 FROM sessions WHERE COALESCE(organization, $1) = $1 AND kind = 'login' AND ended_us IS NULL AND ",
                $($which),+
            ),
            count: concat!(
                "UPDATE counters SET sequence = sequence + (SELECT COUNT(*) FROM sessions
                     WHERE COALESCE(organization, $1) = $1 AND kind = 'login' AND ended_us IS NULL AND ",
                $($which),+,
                ") WHERE organization = $1"
            ),
            sessions: concat!(
                "UPDATE sessions SET revision = revision + 1, ended_us = $4, end_reason = $5, end_actor = $6,
                                     end_evidence = $7
                 WHERE COALESCE(organization, $1) = $1 AND kind = 'login' AND ended_us IS NULL AND ",
                $($which),+
            ),
        }
    };
}

pub(crate) use ends;

/// A person's sessions, except one.
pub(crate) const OF_PERSON: EndStatements = ends!("principal = $2 AND created_us <> $3");
/// A person's sessions that are bound to one organization.
pub(crate) const OF_PERSON_HERE: EndStatements = ends!(
    "principal = $2 AND EXISTS (SELECT 1 FROM logins l WHERE l.created_us = sessions.created_us AND l.organization = $3)"
);
/// The sessions of all people.
pub(crate) const OF_EVERYBODY: EndStatements = ends!("principal <> $2 AND created_us <> $3");
/// The sessions that a key opened, except one.
const OF_KEY: EndStatements =
    ends!("created_us IN (SELECT l.created_us FROM logins l WHERE l.credential = $2) AND created_us <> $3");
/// One session of a person.
const OF_ID: EndStatements = ends!("principal = $2 AND created_us = $3");

/// A time that no session or key has.
pub(crate) const NONE: Micros = Micros(-1);

/// Their `$1` is the organization of all login sessions, whose counter they change; `subject` is `$2`.
pub(crate) fn end_statements(
    which: &EndStatements,
    subject: uuid::Uuid,
    other: impl Into<Value>,
    ending: &Ending,
    now: Micros,
) -> [Statement; 3] {
    let (people, other) = (OrganizationId::PEOPLE, other.into());
    [
        any_rows(which.entries, values![people, subject, other.clone(), now]),
        any_rows(which.count, values![people, subject, other.clone()]),
        any_rows(
            which.sessions,
            values![people, subject, other, now, ending.reason, ending.actor, ending.evidence.as_str()],
        ),
    ]
}

/// Ends a person's sessions, except one. The batch must lock [`OrganizationId::PEOPLE`].
pub(crate) fn end_all_statements(
    person: PrincipalId,
    excepted: Option<SessionId>,
    ending: &Ending,
    now: Micros,
) -> [Statement; 3] {
    end_statements(&OF_PERSON, person.0, excepted.map_or(NONE, SessionId::creation_time), ending, now)
}

/// Ends the sessions that a key opened. The batch must lock [`OrganizationId::PEOPLE`].
pub(crate) fn end_key_sessions(key: CredentialId, ending: &Ending, now: Micros) -> [Statement; 3] {
    end_statements(&OF_KEY, key.0, NONE, ending, now)
}

/// What opening a session expects, and the sessions that it ends.
#[derive(Clone, Default)]
pub struct LoginExpectations {
    /// The hash of the password that was checked; `None` for another kind of proof.
    pub password_hash: Option<String>,
    /// Number of open sessions.
    pub open: usize,
    /// The sessions to end, and how.
    pub ending: Vec<(SessionId, Ending)>,
    /// The only organization that the session gives access to.
    pub bound: Option<OrganizationId>,
}

impl Store {
    /// Opens a session, at its own time or the next free microsecond: nobody has seen the id yet.
    ///
    /// # Errors
    /// [`Error::Stale`] when the password, the owner or the number of open sessions changed meanwhile.
    pub async fn open_login(
        &self,
        _: &System,
        mut new: Login,
        hash: &SecretHash,
        opening: &LoginExpectations,
    ) -> Result<Login> {
        let now = new.id.creation_time();
        loop {
            let created = self.next_time(OrganizationId::PEOPLE, SessionKind::Login, new.id.creation_time());
            new.id = SessionId::new(created, new.id.tail());
            let statements = opening_statements(&new, hash, opening, now);
            let batch =
                batch_with_entry([OrganizationId::PEOPLE], statements, &login_entry(&new, opening, now))?;
            match self.database.apply(batch).await {
                Err(DatabaseError::Taken { .. }) => {}
                outcome => return outcome.map(|()| new).map_err(to_stale),
            }
        }
    }

    /// Looks up the caller of a login session by its id and the hash of the secret in its token. Also returns when
    /// the session was last used.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the session is unknown, ended or expired, or its owner may not act;
    /// [`Refusal::NotAMember`] as for keys.
    pub async fn authenticate_login(
        &self,
        id: SessionId,
        hash: &SecretHash,
        chosen: OrganizationChoice,
        now: Micros,
    ) -> Result<(Caller, Micros)> {
        let system = System::for_secret_lookup();
        let values = values![
            OrganizationId::PEOPLE,
            id.creation_time(),
            id.tail() as i64,
            &hash.0[..],
            now,
            self.key_limits.creation_cutoff(now)
        ];
        let rows = self.read_unscoped(&system, CALLER, values).await?;
        let own = |columns: &mut Columns| {
            Ok((columns.time()?, Span(columns.int()?), columns.maybe_time()?, columns.maybe_time()?))
        };
        let (record, (last_use, idle, authenticated, key_created)) = read_caller(rows, own)?;
        let caller = build_caller(self, &system, record, Authentication::Login(id), chosen).await?;
        let too_old = key_created.zip(self.key_limits.age).map(|(created, age)| created + age);
        let valid_until = earliest([caller.expires, Some(last_use + idle), too_old]);
        Ok((Caller { authenticated, valid_until, ..caller }, last_use))
    }

    /// Whether a session has a secret with this hash.
    pub async fn is_login_secret(&self, system: &System, id: SessionId, hash: &SecretHash) -> Result<bool> {
        let sql = "SELECT 1 FROM logins WHERE created_us = $1 AND hash = $2";
        Ok(!self.read_unscoped(system, sql, values![id.creation_time(), &hash.0[..]]).await?.is_empty())
    }

    /// Records the use of a session; see [`domain::login::renewal`]. It does not change the revision.
    pub async fn record_login_use(&self, _: &System, id: SessionId, now: Micros) -> Result<()> {
        let sql = "UPDATE sessions SET activity_us = $3
                   WHERE organization = $1 AND kind = 'login' AND created_us = $2 AND activity_us < $3
                     AND ended_us IS NULL";
        let statement = any_rows(sql, values![OrganizationId::PEOPLE, id.creation_time(), now]);
        Ok(self.database.apply(batch([], vec![statement])).await?)
    }

    /// The person's sessions with these ids, newest first, open or not.
    pub async fn load_logins(
        &self,
        granted: &GrantedPerson,
        ids: &[SessionId],
    ) -> Result<LoadedSessions<Login>> {
        let sql = if self.database.kind() == "sqlite" { SQLITE_BY_TIMES } else { POSTGRES_BY_TIMES };
        let ids = values![times_json(ids), OrganizationId::PEOPLE];
        Ok(self.read(granted, sql, ids).await?.read_all(read_login)?.into())
    }

    /// A person's open sessions, including expired ones that no sweep has ended yet.
    pub async fn list_open_logins(&self, system: &System, person: PrincipalId) -> Result<Vec<Login>> {
        Ok(self.read_unscoped(system, OPEN, values![person]).await?.read_all(read_login)?)
    }

    /// One of the person's sessions, open or not.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_login(&self, granted: &GrantedPerson, id: SessionId) -> Result<Login> {
        let found = self.load_logins(granted, &[id]).await?.items.into_iter().find(|login| login.id == id);
        found.ok_or(Refusal::NotFound(Thing::Session).into())
    }

    /// Ends one of the person's sessions for ever.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the person has no such open session.
    pub async fn end_login(
        &self,
        granted: &GrantedPerson,
        id: SessionId,
        ending: &Ending,
        now: Micros,
    ) -> Result<()> {
        let tail = granted.one_row(
            "UPDATE sessions SET tail = tail
             WHERE organization = $2 AND kind = 'login' AND created_us = $3 AND tail = $4 AND principal = $1
               AND ended_us IS NULL",
            values![OrganizationId::PEOPLE, id.creation_time(), id.tail() as i64],
        );
        let mut statements = vec![tail];
        statements.extend(end_statements(&OF_ID, granted.person().0, id.creation_time(), ending, now));
        let details = json!({ "of": granted.person(), "reason": ending.reason.name() });
        let entry = NewAuditEntry::new(granted.attribution(), "login.end", id, details, now);
        let batch = batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?;
        self.apply(batch, |_| Refusal::NotFound(Thing::Session).into()).await
    }

    /// Ends all of the person's sessions, except `excepted`.
    pub async fn end_logins(
        &self,
        granted: &GrantedPerson,
        excepted: Option<SessionId>,
        ending: &Ending,
        now: Micros,
    ) -> Result<()> {
        let statements = end_all_statements(granted.person(), excepted, ending, now).to_vec();
        let details = json!({ "reason": ending.reason.name(), "but": excepted.map(SessionId::uuid) });
        let entry =
            NewAuditEntry::new(granted.attribution(), "login.end_all", granted.person(), details, now);
        Ok(self.database.apply(batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?).await?)
    }

    /// The sessions of all people that are open at `now`, newest first.
    pub async fn list_all_logins(
        &self,
        granted: &GrantedAccount<ManageMembers>,
        now: Micros,
    ) -> Result<Vec<Login>> {
        let all = [(Scan(ALL), values![OrganizationId::PEOPLE])];
        let [rows] = self.read_account(granted, all).await?;
        Ok(rows.read_all(read_login)?.into_iter().filter(|login| login.is_open(now)).collect())
    }

    /// Ends these sessions of any people in one batch. Sessions that have ended stay as they are.
    pub async fn end_selected_logins(
        &self,
        granted: &GrantedAccount<ManageMembers>,
        logins: &[Login],
        ending: &Ending,
        now: Micros,
    ) -> Result<()> {
        let statements = logins
            .iter()
            .flat_map(|login| end_statements(&OF_ID, login.owner.0, login.id.creation_time(), ending, now));
        let ids = logins.iter().map(|login| login.id.uuid()).collect::<Vec<_>>();
        let details = json!({ "reason": ending.reason.name(), "ended": ids });
        let entry = NewAuditEntry::new(granted.attribution(), "login.end_found", logins.len(), details, now);
        let mut batch = batch_with_entry([OrganizationId::PEOPLE], statements.collect(), &entry)?;
        batch.topics.extend(ids.into_iter().map(Topic::Access));
        Ok(self.database.apply(batch).await?)
    }

    /// Sessions that have expired, longest unused first; at most 1000.
    pub async fn list_expired_logins(&self, system: &System, now: Micros) -> Result<Vec<Login>> {
        Ok(self.read_unscoped(system, Scan(OVER), values![now]).await?.read_all(read_login)?)
    }

    /// Ends an expired session. A session that has ended meanwhile stays as it is.
    pub async fn expire_login(&self, _: &System, login: &Login, ending: &Ending, now: Micros) -> Result<()> {
        let statements =
            end_statements(&OF_ID, login.owner.0, login.id.creation_time(), ending, now).to_vec();
        Ok(self.database.apply(batch([OrganizationId::PEOPLE], statements)).await?)
    }
}

fn opening_statements(
    new: &Login,
    hash: &SecretHash,
    opening: &LoginExpectations,
    now: Micros,
) -> Vec<Statement> {
    let owner = match &opening.password_hash {
        Some(password_hash) => one_row(
            "UPDATE principals SET state = state WHERE id = $1 AND state = 'active' AND password_hash = $2",
            values![new.owner, password_hash.as_str()],
        ),
        None => one_row(
            "UPDATE principals SET state = state WHERE id = $1 AND state = 'active'",
            values![new.owner],
        ),
    };
    let count = one_row(
        "UPDATE counters SET sequence = sequence WHERE organization = $1 AND (SELECT COUNT(*) FROM sessions
             WHERE kind = 'login' AND ended_us IS NULL AND principal = $2) = $3",
        values![OrganizationId::PEOPLE, new.owner, i64::try_from(opening.open).unwrap_or(i64::MAX)],
    );
    let mut statements = vec![owner, count];
    if let Some(key) = new.credential {
        statements.push(one_row(
            "UPDATE credentials SET name = name WHERE id = $1 AND revoked_us IS NULL",
            values![key],
        ));
    }
    for (id, ending) in &opening.ending {
        statements.extend(end_statements(&OF_ID, new.owner.0, id.creation_time(), ending, now));
    }
    statements.extend(insert(new, hash, opening.bound));
    statements.extend(feed_entry(new.key(), new.revision, FeedChange::Created, now));
    statements
}

/// The audit entry about a new session. It does not have the secret.
fn login_entry(new: &Login, opening: &LoginExpectations, now: Micros) -> NewAuditEntry {
    let methods = new.methods.iter().map(|method| method.name()).collect::<Vec<_>>();
    let ended = opening.ending.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>();
    let details = json!({ "of": new.owner, "methods": methods, "expires_us": new.expires.0, "ended": ended });
    let by = Attribution {
        principal: Some(new.owner),
        credential: new.credential,
        login: Some(new.id),
        address: new.origin.remote_ip,
        idempotency: None,
    };
    NewAuditEntry::new(by, "login.open", new.id, details, now)
}

/// The rows of a new session.
pub(crate) fn insert(new: &Login, hash: &SecretHash, bound: Option<OrganizationId>) -> [Statement; 2] {
    let methods = new.methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" ");
    [
        one_row(
            "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
             VALUES ($1, 'login', $2, $3, $4, $5, $6)",
            values![
                OrganizationId::PEOPLE,
                new.id.creation_time(),
                new.id.tail() as i64,
                new.owner,
                new.revision,
                new.seen
            ],
        ),
        one_row(
            "INSERT INTO logins (created_us, hash, idle_us, expires_us, authenticated_us, methods, remote_ip, agent,
                                 agent_type, credential, organization, scopes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            values![
                new.id.creation_time(),
                &hash.0[..],
                new.idle.0,
                new.expires,
                new.authenticated,
                methods,
                new.origin.remote_ip.map(|ip| ip.to_string()),
                new.origin.agent.as_str(),
                new.origin.agent_type.as_str(),
                new.credential,
                bound,
                format_scopes(new.scopes)
            ],
        ),
    ]
}
