//! Organizations, their members, and the users of the account.

pub mod administration;
pub mod invitations;
pub mod members;
pub mod organizations;
pub mod overview;
pub mod suspensions;
pub mod users;
