//! Organizations, people and service users.

mod accounts;
mod contention;
mod homes;
mod identities;
mod invitations;
