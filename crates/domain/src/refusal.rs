//! Why something may not happen. Each wire words these in its own way.

use crate::permission::Permission;

/// What was not found, or is not the caller's.
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
    /// A program that waits until somebody lets it in, by the code that it shows.
    Program,
    /// A person's second factor.
    SecondFactor,
}

impl Thing {
    /// The word for it in a sentence.
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
        }
    }
}

/// A rule that stands against what was asked. None of them echoes an id or says anything about
/// other organizations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not exist, or the caller may not know that it does: the two must not differ.
    #[error("{} not found", .0.word())]
    NotFound(Thing),
    /// The caller is a member but its role lacks this.
    #[error("your role does not allow this: it needs {0:?}")]
    Forbidden(Permission),
    /// The key, token or session was made for less than its owner may.
    #[error("this credential was not made for this: it needs {0}")]
    OutOfScope(&'static str),
    /// A budget of attempts is used up: of wrong passwords and codes, or of mails.
    #[error("too many attempts; try again in {seconds} s")]
    TooManyAttempts {
        /// When the next one may be made.
        seconds: i64,
    },
    /// The password was right, and this user has a second factor.
    #[error("this user signs in with a second factor: send a code of it too")]
    SecondFactorNeeded,
    /// Passwords are turned off, for everybody or for who has an identity of the issuer.
    #[error("nobody signs in by this password: sign in by your organization's issuer")]
    PasswordsOff,
    /// The caller's role demands a second factor, and this credential was got without one.
    #[error(
        "your role needs a second factor: set one up on the page /account, or show a code of it there, and go on"
    )]
    SecondFactorRequired,
    /// A code of a second factor that is not right, not right any more, or was used before.
    #[error("this code is not right, has expired or was used before")]
    WrongCode,
    /// Signed in too long ago for what is to be done.
    #[error("this needs a sign-in of the last {seconds} s: show again who you are")]
    StaleAuthentication {
        /// How fresh it has to be.
        seconds: i64,
    },
    /// The organization that was named is unknown, malformed, or not one of the caller's.
    #[error("you are not a member of the selected organization")]
    NotAMember,
    /// The request names no organization, and the caller has no default.
    #[error("no organization is selected and you have no default one: name one in the request")]
    NoOrganization,
    /// It is somebody else's, in the caller's own organization.
    #[error("this {} belongs to another member of the organization; an admin may act on it", .0.word())]
    NotYours(Thing),
    /// A value that cannot be used.
    #[error("{field}: expected {expected}")]
    Invalid {
        /// Which value, as the wire calls it.
        field: String,
        /// What it should have been.
        expected: String,
    },
    /// The session has ended and takes no more commands.
    #[error("the session has ended")]
    SessionEnded,
    /// The session was put away; it can be read and brought back, but not gone on with.
    #[error("the session is archived: unarchive it first")]
    SessionArchived,
    /// More messages wait for an answer than anybody will give.
    #[error("{max} messages of the session wait for an answer already")]
    Backlog {
        /// The limit.
        max: u32,
    },
    /// The turn was cancelled, stopped, ended, or given to another worker: this one is to drop it.
    #[error("the turn is no longer this worker's")]
    TurnLost,
    /// The same idempotency key came with another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// The request of this idempotency key is being worked on.
    #[error("the request with this idempotency key is still being worked on")]
    KeyBusy,
    /// The organization may not hold more devices at once.
    #[error(
        "the organization already holds or waits for {max} devices, which is its limit; release one first"
    )]
    DeviceLimit {
        /// The limit.
        max: u32,
    },
    /// A session may not hold more devices at once, or ask for more in its life.
    #[error("the session has reached its limit of {max} devices: release one, or start another session")]
    SessionFull {
        /// The limit.
        max: u32,
    },
    /// No device that was ever seen could match, so waiting would be for nothing.
    #[error("no device matches {wanted}; {}", known_sentence(.known))]
    NoMatch {
        /// The filters in words.
        wanted: String,
        /// What there is, one text a device model; at most a dozen.
        known: Vec<String>,
    },
    /// The device's host is not connected, or the device is unplugged.
    #[error("the device is held by you but cannot be reached: {0}")]
    DeviceUnavailable(String),
    /// The device did not answer in time.
    #[error("the device did not answer within {seconds} s")]
    DeviceTimeout {
        /// How long was waited.
        seconds: u64,
    },
    /// More bytes than the organization may keep.
    #[error("the organization's storage is full: {wanted} bytes asked for, {left} of {quota} left")]
    QuotaExceeded {
        /// Asked for, in bytes.
        wanted: u64,
        /// Left, in bytes.
        left: u64,
        /// Allowed in all, in bytes.
        quota: u64,
    },
    /// Something with this name is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// Without this member nobody of the organization could look after it.
    #[error("the organization's last admin stays one: make another member an admin first")]
    LastAdmin,
    /// An organization may not have more people invited at once.
    #[error("{max} invitations of the organization are open, which is the most: take one back first")]
    InvitationLimit {
        /// The limit.
        max: u32,
    },
    /// A reader of the change feed asks for lines that were pruned.
    #[error("changes up to {pruned} are no longer kept: list the sessions again and go on from {latest}")]
    Resync {
        /// The newest sequence that was pruned.
        pruned: i64,
        /// The newest sequence there is.
        latest: i64,
    },
}

impl Refusal {
    /// Shorthand for [`Refusal::Invalid`].
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Refusal {
        Refusal::Invalid { field: field.into(), expected: expected.into() }
    }
}

fn known_sentence(known: &[String]) -> String {
    if known.is_empty() {
        "no device has ever been connected here".to_owned()
    } else {
        format!("known devices: {}", known.join(", "))
    }
}
