//! Organizations, people, service users, memberships, invitations, and identities at an issuer.

pub(crate) mod account_roles;
pub(crate) mod identities;
pub(crate) mod invitations;
pub(crate) mod listed_people;
pub(crate) mod members;
pub(crate) mod memberships;
pub(crate) mod organizations;
pub(crate) mod people;
pub(crate) mod principals;
pub(crate) mod service_users;
