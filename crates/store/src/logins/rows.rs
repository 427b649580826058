//! The rows of login sessions.

use crate::database::{Columns, DatabaseError};
use crate::devices::sessions::read_session_id;
use crate::rows::parse_word;
use domain::ids::{CredentialId, PrincipalId};
use domain::login::{Login, Method, Origin};
use domain::time::Span;

/// The columns of a login session; see [`read_login`].
macro_rules! login_columns {
    () => {
        "s.created_us, s.tail, s.principal, s.revision, s.activity_us,
         s.ended_us, s.end_reason, s.end_actor, s.end_evidence,
         l.idle_us, l.expires_us, l.authenticated_us, l.methods, l.remote_ip, l.agent, l.agent_type,
         l.credential, l.scopes"
    };
}
pub(crate) use login_columns;

/// Reads a session from its columns.
pub(crate) fn read_login(columns: &mut Columns) -> Result<Login, DatabaseError> {
    Ok(Login {
        id: read_session_id(columns)?,
        owner: PrincipalId(columns.id()?),
        revision: columns.int()?,
        seen: columns.time()?,
        ended: columns.maybe_ending()?,
        idle: Span(columns.int()?),
        expires: columns.time()?,
        authenticated: columns.maybe_time()?.unwrap_or_default(),
        methods: columns
            .text()?
            .split_whitespace()
            .map(|name| parse_word(name, Method::parse))
            .collect::<Result<_, _>>()?,
        origin: Origin {
            remote_ip: columns.maybe_text()?.and_then(|ip| ip.parse().ok()),
            agent: columns.text()?,
            agent_type: columns.text()?,
        },
        credential: columns.maybe_id()?.map(CredentialId),
        scopes: columns.maybe_scopes()?,
    })
}
