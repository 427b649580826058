//! The names that lists of sessions show beside ids, and the ids that names in filters stand for.

use crate::access::System;
use crate::access::credentials::parse_principal_kind;
use crate::access::lane::Scan;
use crate::access::visible::VisibleSessions;
use crate::rows::values;
use crate::{Result, Store};
use domain::ids::{OrganizationId, PrincipalId};
use domain::principal::PrincipalKind;
use domain::session::ValueField;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// What people call a user or service user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalName {
    /// Whether it is a user or a service user.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
    /// The address of a user.
    pub email: Option<String>,
}

/// Names by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionNames {
    /// Of organizations.
    pub organizations: HashMap<OrganizationId, String>,
    /// Of users and service users.
    pub principals: HashMap<PrincipalId, PrincipalName>,
}

const SQLITE: [&str; 2] = [
    "SELECT o.id, o.name FROM json_each($1) k CROSS JOIN organizations o ON o.id = unhex(k.value)",
    "SELECT p.id, p.kind, p.name, p.email FROM json_each($1) k CROSS JOIN principals p ON p.id = unhex(k.value)",
];

const POSTGRES: [&str; 2] = [
    "SELECT o.id, o.name FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k
     CROSS JOIN LATERAL (SELECT * FROM organizations o WHERE o.id = CAST(k AS UUID) LIMIT 1) o",
    "SELECT p.id, p.kind, p.name, p.email FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k
     CROSS JOIN LATERAL (SELECT * FROM principals p WHERE p.id = CAST(k AS UUID) LIMIT 1) p",
];

fn write_ids(ids: impl Iterator<Item = Uuid>) -> String {
    json!(ids.map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

impl SessionNames {
    pub(super) async fn load(
        store: &Store,
        organizations: &BTreeSet<OrganizationId>,
        principals: &BTreeSet<PrincipalId>,
    ) -> Result<SessionNames> {
        let [of_organizations, of_principals] =
            if store.database.kind() == "sqlite" { SQLITE } else { POSTGRES };
        let system = System::for_granted_reads();
        let mut names = SessionNames::default();
        if !organizations.is_empty() {
            let ids = write_ids(organizations.iter().map(|one| one.0));
            let rows = store.read_unscoped(&system, of_organizations, values![ids]).await?;
            let read = rows.read_all(|columns| Ok((OrganizationId(columns.id()?), columns.text()?)))?;
            names.organizations = read.into_iter().collect();
        }
        if !principals.is_empty() {
            let ids = write_ids(principals.iter().map(|one| one.0));
            let rows = store.read_unscoped(&system, of_principals, values![ids]).await?;
            let read = rows.read_all(|columns| {
                let id = PrincipalId(columns.id()?);
                let kind = columns.word(parse_principal_kind)?;
                Ok((id, PrincipalName { kind, name: columns.text()?, email: columns.maybe_text()? }))
            })?;
            names.principals = read.into_iter().collect();
        }
        Ok(names)
    }
}

impl Store {
    /// What people call the values of a field of ids: how it is written in a filter, and what else is known of it. Of
    /// fields whose ids have no names, none.
    pub async fn load_value_names(
        &self,
        visible: &VisibleSessions,
        field: ValueField,
        ids: impl Iterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, (String, Option<String>)>> {
        let ids = ids.collect::<BTreeSet<_>>();
        match field {
            ValueField::Owner => {
                let ids = ids.into_iter().map(PrincipalId).collect();
                let names = SessionNames::load(self, &BTreeSet::new(), &ids).await?.principals.into_iter();
                Ok(names.map(|(id, name)| (id.0, name.into_value())).collect())
            }
            ValueField::Organization => {
                let ids = ids.into_iter().map(OrganizationId).collect();
                let names = SessionNames::load(self, &ids, &BTreeSet::new()).await?.organizations;
                Ok(names.into_iter().map(|(id, name)| (id.0, (name, None))).collect())
            }
            ValueField::Agent | ValueField::Device if !ids.is_empty() => {
                let sql = match (field, self.database.kind()) {
                    (ValueField::Agent, "sqlite") => SQLITE_AGENTS,
                    (ValueField::Agent, _) => POSTGRES_AGENTS,
                    (_, "sqlite") => SQLITE_DEVICES,
                    _ => POSTGRES_DEVICES,
                };
                let values = values![write_ids(ids.into_iter())];
                let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), values).await?;
                let names = rows.read_all(|columns| {
                    let (id, organization) = (columns.id()?, OrganizationId(columns.id()?));
                    Ok((id, organization, (columns.text()?, columns.maybe_text()?)))
                })?;
                let is_seen = |organization: OrganizationId| {
                    organization == OrganizationId::ACCOUNT || visible.includes_organization(organization)
                };
                let seen = names.into_iter().filter(|(_, organization, _)| is_seen(*organization));
                Ok(seen.map(|(id, _, name)| (id, name)).collect())
            }
            _ => Ok(HashMap::new()),
        }
    }
}

const SQLITE_AGENTS: &str = "
    SELECT a.id, a.organization, a.name, NULL FROM agents a
    WHERE a.id IN (SELECT unhex(k.value) FROM json_each($1) k)";
const POSTGRES_AGENTS: &str = "
    SELECT a.id, a.organization, a.name, CAST(NULL AS TEXT) FROM agents a
    WHERE a.id IN (SELECT CAST(k AS UUID) FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k)";
const SQLITE_DEVICES: &str = "
    SELECT d.id, d.organization, d.name, d.handle FROM json_each($1) k CROSS JOIN devices d ON d.id = unhex(k.value)";
const POSTGRES_DEVICES: &str = "
    SELECT d.id, d.organization, d.name, d.handle FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k
    JOIN devices d ON d.id = CAST(k AS UUID)";

impl PrincipalName {
    /// The address of a user, or else the name; and the other of both.
    fn into_value(self) -> (String, Option<String>) {
        match self.email {
            Some(email) => (email, Some(self.name).filter(|name| !name.is_empty())),
            None => (self.name, None),
        }
    }
}
