//! Organizations, people and service users.

mod accounts;
mod homes;
mod identities;
mod invitations;
