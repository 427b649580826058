//! Refusals: why a rule forbids a request. Each wire translates them to its own errors.

use crate::permission::Permission;

/// The kind of thing that was not found, or that the caller does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A session.
    Session,
    /// A device, or a hold of one.
    Device,
    /// An upload or a recording.
    File,
    /// An organization.
    Organization,
    /// A user or service user.
    Principal,
    /// A member of an organization.
    Member,
    /// An API key.
    Credential,
    /// A host.
    Host,
    /// An agent.
    Agent,
    /// An event of a session.
    Event,
    /// An invitation into an organization.
    Invitation,
    /// A device login, by the code that the program shows.
    Program,
    /// A second factor of a user.
    SecondFactor,
    /// A saved view.
    View,
}

impl Thing {
    /// Its name in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Thing::Session => "session",
            Thing::Device => "device",
            Thing::File => "file",
            Thing::Organization => "organization",
            Thing::Principal => "user",
            Thing::Member => "member",
            Thing::Credential => "key",
            Thing::Host => "host",
            Thing::Agent => "agent",
            Thing::Event => "event",
            Thing::Invitation => "invitation",
            Thing::Program => "code",
            Thing::SecondFactor => "second factor",
            Thing::View => "view",
        }
    }
}

/// Why a request is refused. No refusal contains an id from the request or information about other organizations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not exist, or the caller may not see it. Callers must not be able to tell the two apart.
    #[error("{} not found", .0.word())]
    NotFound(Thing),
    /// The caller's role lacks this permission.
    #[error("your role does not allow this: it needs the permission to {}", .0.action())]
    Forbidden(Permission),
    /// The key, token or session lacks this scope.
    #[error("this credential was not made for this: it needs {0}")]
    OutOfScope(&'static str),
    /// The limit on attempts is reached: of wrong passwords or codes, or of mails.
    #[error("too many attempts; try again in {seconds} s")]
    TooManyAttempts {
        /// Seconds until the next attempt is possible.
        seconds: i64,
    },
    /// The password is right, but this user has a second factor and no code was sent.
    #[error("this user signs in with a second factor: send a code of it too")]
    SecondFactorNeeded,
    /// Passwords are turned off, for everybody or for users with an identity of the issuer.
    #[error("nobody signs in by this password: sign in by your organization's issuer")]
    PasswordsOff,
    /// The caller's role needs a second factor, and this credential was created without one.
    #[error(
        "your role needs a second factor: set one up on the page /account, or show a code of it there, and go on"
    )]
    SecondFactorRequired,
    /// The code of a second factor is wrong, has expired or was used before.
    #[error("this code is not right, has expired or was used before")]
    WrongCode,
    /// The last authentication is too old for this request.
    #[error("this needs a sign-in of the last {seconds} s: show again who you are")]
    StaleAuthentication {
        /// Maximum age of the authentication, in seconds.
        seconds: i64,
    },
    /// The named organization is malformed or unknown, or the caller is not a member of it.
    #[error("you are not a member of the selected organization")]
    NotAMember,
    /// The request names no organization, and the caller has no default organization.
    #[error("no organization is selected and you have no default one: name one in the request")]
    NoOrganization,
    /// It belongs to another member of the caller's organization.
    #[error("this {} belongs to another member of the organization; an admin may act on it", .0.word())]
    NotYours(Thing),
    /// A value is invalid.
    #[error("{field}: expected {expected}")]
    Invalid {
        /// The value, by its name on the wire.
        field: String,
        /// The expected value.
        expected: String,
    },
    /// The session has ended.
    #[error("the session has ended")]
    SessionEnded,
    /// The session is archived: it can be read and unarchived, but not changed.
    #[error("the session is archived: unarchive it first")]
    SessionArchived,
    /// Sessions of this kind, or in this state, do not have what the request is for.
    #[error("{problem}")]
    WrongState {
        /// Why not.
        problem: &'static str,
        /// What the caller can do instead.
        remedy: &'static str,
    },
    /// Too many messages of the session wait for an answer.
    #[error("{max} messages of the session wait for an answer already")]
    Backlog {
        /// The limit.
        max: u32,
    },
    /// The turn was cancelled, has ended, or belongs to another worker now.
    #[error("the turn is no longer this worker's")]
    TurnLost,
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// A request with this idempotency key is still running.
    #[error("the request with this idempotency key is still being worked on")]
    KeyBusy,
    /// The organization has reached its limit of open holds.
    #[error(
        "the organization already holds or waits for {max} devices, which is its limit; release one first"
    )]
    DeviceLimit {
        /// The limit.
        max: u32,
    },
    /// The session has reached its limit of open holds, or of all holds.
    #[error("the session has reached its limit of {max} devices: release one, or start another session")]
    SessionFull {
        /// The limit.
        max: u32,
    },
    /// No known device matches, so waiting would be useless.
    #[error("no device matches {filters}; {}", describe_known_devices(.known))]
    NoMatch {
        /// A description of the filters.
        filters: String,
        /// Descriptions of the known models; at most a dozen.
        known: Vec<String>,
    },
    /// The device's host is not connected, or the device is offline.
    #[error("the device is held by you but cannot be reached: {0}")]
    DeviceUnavailable(String),
    /// The device did not answer in time.
    #[error("the device did not answer within {seconds} s")]
    DeviceTimeout {
        /// The time limit, in seconds.
        seconds: u64,
    },
    /// The file would exceed the organization's storage quota.
    #[error("the organization's storage is full: {requested} bytes asked for, {left} of {quota} left")]
    QuotaExceeded {
        /// The requested size, in bytes.
        requested: u64,
        /// What is left, in bytes.
        left: u64,
        /// The quota, in bytes.
        quota: u64,
    },
    /// Something with this name exists already.
    #[error("{0} exists already")]
    Exists(String),
    /// This member is the organization's last admin.
    #[error("the organization's last admin stays one: make another member an admin first")]
    LastAdmin,
    /// The organization has reached its limit of open invitations.
    #[error("{max} invitations of the organization are open, which is the most: take one back first")]
    InvitationLimit {
        /// The limit.
        max: u32,
    },
    /// A person or an organization has reached the limit of saved views.
    #[error("there are {max} saved views, which is the most: delete one first")]
    ViewLimit {
        /// The limit.
        max: u32,
    },
    /// A client asks for entries of the change feed that were pruned.
    #[error("changes up to {pruned} are no longer kept: list the sessions again and go on from {latest}")]
    Resync {
        /// The newest pruned sequence.
        pruned: i64,
        /// The newest sequence.
        latest: i64,
    },
}

impl Refusal {
    /// Shorthand for [`Refusal::Invalid`].
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Refusal {
        Refusal::Invalid { field: field.into(), expected: expected.into() }
    }
}

fn describe_known_devices(known: &[String]) -> String {
    if known.is_empty() {
        "no device has ever been connected here".to_owned()
    } else {
        format!("known devices: {}", known.join(", "))
    }
}
