//! Identities at an OpenID Connect issuer, and the memberships that come from groups.

use crate::access::System;
use crate::audit::attribution::Attribution;
use crate::audit::log::{NewAuditEntry, batch_with_entry, insert_entry};
use crate::database::{Batch, Columns, Statement, Topic};
use crate::directory::memberships::{expect_another_admin, leave_statements};
use crate::directory::principals::NewPrincipal;
use crate::rows::{any_rows, one_row, values};
use crate::{Error, Result, Store};
use domain::federation::{HeldMembership, MembershipChange, organization_of};
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::Role;
use domain::principal::{Membership, Person};
use domain::time::Micros;
use serde_json::json;

/// A person's identity at an issuer.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The issuer's identifier.
    pub issuer: &'a str,
    /// Unique at the issuer, and never used for somebody else.
    pub subject: &'a str,
}

pub(crate) const OF_SUBJECT: &str = "SELECT principal FROM identities WHERE issuer = $1 AND subject = $2";
pub(crate) const OF_PERSON: &str = "SELECT 1 FROM identities WHERE principal = $1 AND issuer = $2";

/// A person's memberships, each with whether the person is the organization's only admin who can act.
pub(crate) const HELD: &str = "
    SELECT m.organization, m.role, m.by_groups,
           CAST(CASE WHEN m.role = 'admin' AND NOT EXISTS (
               SELECT 1 FROM members n JOIN principals p ON p.id = n.principal
               WHERE n.organization = m.organization AND n.role = 'admin' AND n.principal <> $1
                 AND p.kind = 'user' AND p.state = 'active') THEN 1 ELSE 0 END AS BIGINT)
    FROM members m JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
    WHERE m.principal = $1 ORDER BY m.created_us, m.organization";

impl Store {
    /// The person with an identity.
    pub async fn find_person_by_identity(
        &self,
        system: &System,
        identity: Identity<'_>,
    ) -> Result<Option<PrincipalId>> {
        let rows = self.read_unscoped(system, OF_SUBJECT, values![identity.issuer, identity.subject]).await?;
        Ok(rows.read_first(Columns::id)?.map(PrincipalId))
    }

    /// Whether a person has an identity at an issuer.
    pub async fn has_identity(&self, system: &System, person: PrincipalId, issuer: &str) -> Result<bool> {
        Ok(!self.read_unscoped(system, OF_PERSON, values![person, issuer]).await?.is_empty())
    }

    /// Links an identity to the user with an address that the issuer has verified. This also verifies the address of
    /// a pending user, and removes a password that somebody else may have chosen for them.
    ///
    /// # Errors
    /// [`Error::Stale`] when the user, the address or the identity changed meanwhile.
    pub async fn link_identity(
        &self,
        system: &System,
        person: &Person,
        identity: Identity<'_>,
        now: Micros,
    ) -> Result<()> {
        let (id, email) = (person.principal.id, person.principal.email.as_deref());
        let activate = one_row(
            "UPDATE principals SET
                 password_hash = CASE WHEN state = 'pending' THEN NULL ELSE password_hash END,
                 updated_us = CASE WHEN state = 'pending' THEN $3 ELSE updated_us END, state = 'active'
             WHERE id = $1 AND email = $2 AND kind = 'user' AND state IN ('active', 'pending')",
            values![id, email, now],
        );
        let entry = link_entry(system, id, identity, now);
        let batch = batch_with_entry([], vec![activate, insert(id, identity, now)], &entry)?;
        self.apply(batch, |_| Error::Stale).await
    }

    /// Creates a user with an identity. Returns the user's number.
    ///
    /// # Errors
    /// [`domain::Refusal::Exists`] for an address or an identity that is taken.
    pub async fn create_person_with_identity(
        &self,
        system: &System,
        new: &Person,
        identity: Identity<'_>,
    ) -> Result<i64> {
        let (id, now) = (new.principal.id, new.principal.created);
        let names = any_rows(
            "UPDATE principals SET first_name = $2, last_name = $3 WHERE id = $1",
            values![id, new.first_name.as_str(), new.last_name.as_str()],
        );
        let further = vec![names, insert(id, identity, now)];
        let entry = link_entry(system, id, identity, now);
        let new = NewPrincipal {
            principal: &new.principal,
            password_hash: None,
            member: None,
            address_taken: false,
        };
        self.insert_principal(system, &new, further, Some(&entry)).await
    }

    /// Records a sign-in by an identity.
    pub async fn record_identity_use(&self, _: &System, identity: Identity<'_>, now: Micros) -> Result<()> {
        let sql = "UPDATE identities SET seen_us = $3 WHERE issuer = $1 AND subject = $2";
        let update = any_rows(sql, values![identity.issuer, identity.subject, now]);
        Ok(self.database.apply(crate::rows::batch([], vec![update])).await?)
    }

    /// The organization with this id or name, unless it was deleted.
    pub async fn find_organization_by_name(
        &self,
        system: &System,
        text: &str,
    ) -> Result<Option<OrganizationId>> {
        let by_id = "SELECT id FROM organizations WHERE id = $1 AND deleted_us IS NULL";
        let by_name = "SELECT id FROM organizations WHERE name = $1 AND deleted_us IS NULL";
        let rows = match OrganizationId::parse(text) {
            Some(id) => self.read_unscoped(system, by_id, values![id]).await?,
            None => self.read_unscoped(system, by_name, values![text]).await?,
        };
        Ok(rows.read_first(Columns::id)?.map(OrganizationId))
    }

    /// A person's memberships, and whether each came from groups.
    pub async fn list_memberships(
        &self,
        system: &System,
        person: PrincipalId,
    ) -> Result<Vec<HeldMembership>> {
        let read_row = |columns: &mut Columns| {
            let (organization, role) = (OrganizationId(columns.id()?), columns.word(Role::parse)?);
            let membership = Membership { organization, role };
            Ok(HeldMembership { membership, by_groups: columns.flag()?, last_admin: columns.flag()? })
        };
        Ok(self.read_unscoped(system, HELD, values![person]).await?.read_all(read_row)?)
    }

    /// Changes a person's memberships to match their groups, all or none. Removing a membership also ends the keys
    /// and login sessions that are bound to the organization.
    ///
    /// # Errors
    /// [`Error::Stale`] when one of the memberships, or the admins of an organization, changed meanwhile.
    pub async fn apply_groups(
        &self,
        system: &System,
        person: PrincipalId,
        changes: &[MembershipChange],
        now: Micros,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut statements =
            changes.iter().flat_map(|change| change_statements(person, change, now)).collect::<Vec<_>>();
        let mut locks =
            changes.iter().map(|change| organization_of(change).0).collect::<std::collections::BTreeSet<_>>();
        locks.insert(OrganizationId::AUDIT.0);
        if changes.iter().any(|change| matches!(change, MembershipChange::Remove(_))) {
            locks.insert(OrganizationId::PEOPLE.0);
            let removed = changes.iter().filter(|change| matches!(change, MembershipChange::Remove(_)));
            statements
                .extend(removed.flat_map(|change| leave_statements(person, organization_of(change), now)));
        }
        for change in changes {
            statements.push(insert_entry(&membership_entry(system, person, change, now))?);
        }
        let batch = Batch { locks, statements, ..Batch::default() };
        self.apply(batch.with_topic(Topic::Access(person.0)), |_| Error::Stale).await
    }
}

fn insert(person: PrincipalId, identity: Identity<'_>, now: Micros) -> Statement {
    one_row(
        "INSERT INTO identities (issuer, subject, principal, linked_us, seen_us) VALUES ($1, $2, $3, $4, $4)",
        values![identity.issuer, identity.subject, person, now],
    )
}

fn link_entry(system: &System, person: PrincipalId, identity: Identity<'_>, now: Micros) -> NewAuditEntry {
    let by = Attribution { principal: Some(person), ..system.0 };
    let details = json!({ "issuer": identity.issuer, "subject": identity.subject });
    NewAuditEntry::new(by, "identity.link", person, details, now)
}

fn change_statements(person: PrincipalId, change: &MembershipChange, now: Micros) -> Vec<Statement> {
    match *change {
        MembershipChange::Add(Membership { organization, role }) => vec![
            one_row(
                "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
                values![organization],
            ),
            one_row(
                "INSERT INTO members (organization, principal, role, created_us, by_groups)
                 VALUES ($1, $2, $3, $4, 1)",
                values![organization, person, role.name(), now],
            ),
        ],
        MembershipChange::Set { membership: Membership { organization, role }, was } => vec![
            expect_another_admin(organization, person),
            one_row(
                "UPDATE members SET role = $3
                 WHERE organization = $1 AND principal = $2 AND role = $4 AND by_groups = 1",
                values![organization, person, role.name(), was.name()],
            ),
        ],
        MembershipChange::Remove(Membership { organization, role }) => vec![
            expect_another_admin(organization, person),
            one_row(
                "DELETE FROM members WHERE organization = $1 AND principal = $2 AND role = $3 AND by_groups = 1",
                values![organization, person, role.name()],
            ),
        ],
    }
}

/// The audit entry of a change. It names no principal, because the issuer's groups decided.
fn membership_entry(
    system: &System,
    person: PrincipalId,
    change: &MembershipChange,
    now: Micros,
) -> NewAuditEntry {
    let by = Attribution { principal: None, ..system.0 };
    let entry = |action, details| {
        NewAuditEntry::new(by, action, person, details, now).with_organization(Some(organization_of(change)))
    };
    match change {
        MembershipChange::Add(new) => entry("member.set", json!({ "role": new.role.name(), "by": "groups" })),
        MembershipChange::Set { membership, was } => {
            entry("member.set", json!({ "role": membership.role.name(), "by": "groups" }))
                .with_previous(json!({ "role": was.name() }))
        }
        MembershipChange::Remove(was) => entry("member.remove", json!({ "by": "groups" }))
            .with_previous(json!({ "role": was.role.name() })),
    }
}
