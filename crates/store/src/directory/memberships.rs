//! Memberships of people, and organizations that people create themselves.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Granted, GrantedPerson, ManageMembers, PermissionType};
use crate::audit::attribution::{Attribution, Grant};
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, Statement};
use crate::directory::principals::{owner_gone_ending, principal_columns, read_principal};
use crate::logins::sessions::{OF_PERSON_HERE, end_statements};
use crate::rows::{any_rows, one_row, values};
use crate::{ATTEMPTS, Error, Result, Store, System};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::Principal;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::json;

/// A member of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationMember {
    /// The principal.
    pub principal: Principal,
    /// Their role.
    pub role: Role,
    /// Since when they have been a member.
    pub joined: Micros,
}

pub(crate) const MEMBERS: &str = concat!(
    "SELECT ",
    principal_columns!(),
    ", m.role, m.created_us FROM members m JOIN principals p ON p.id = m.principal
     WHERE m.organization = $1 AND p.kind = 'user' AND p.state <> 'deleted' ORDER BY p.number"
);

/// Expects that the organization has another admin who can act besides `$2`, or that `$2` is not an admin. Service
/// users do not count.
const ANOTHER_ADMIN: &str = "
    UPDATE organizations SET name = name
    WHERE id = $1 AND deleted_us IS NULL AND (
        NOT EXISTS (SELECT 1 FROM members m JOIN principals p ON p.id = m.principal
                    WHERE m.organization = $1 AND m.principal = $2 AND m.role = 'admin' AND p.kind = 'user')
        OR EXISTS (SELECT 1 FROM members m JOIN principals p ON p.id = m.principal
                   WHERE m.organization = $1 AND m.role = 'admin' AND m.principal <> $2
                     AND p.kind = 'user' AND p.state = 'active'))";

/// Expects that a member still has the role `$3`, or none for an empty text. So the previous role in the audit log is
/// right.
const STILL: &str = "
    UPDATE organizations SET name = name
    WHERE id = $1 AND COALESCE((SELECT role FROM members WHERE organization = $1 AND principal = $2), '') = $3";

impl Store {
    /// The people of the organization, oldest first.
    pub async fn list_people_in_organization<P: PermissionType>(
        &self,
        granted: &Granted<P>,
    ) -> Result<Vec<OrganizationMember>> {
        let member = |columns: &mut Columns| {
            Ok(OrganizationMember {
                principal: read_principal(columns)?,
                role: columns.word(Role::parse)?,
                joined: columns.time()?,
            })
        };
        Ok(self.read(granted, Scan(MEMBERS), values![]).await?.read_all(member)?)
    }

    /// Makes a person a member, or changes their role. A service user can only be a member of its home.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the organization does not exist or was deleted, or there is no such person;
    /// [`Refusal::LastAdmin`]; [`Error::Stale`] when others change the role all the time.
    pub async fn set_member(
        &self,
        granted: &Granted<ManageMembers>,
        principal: PrincipalId,
        role: Role,
        now: Micros,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let previous = self.load_role(granted.organization(), principal).await?;
            match self.set_role(granted, principal, previous, role, now).await {
                // The role was changed meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    /// Changes a member's role.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when they are not a member; [`Refusal::LastAdmin`]; [`Error::Stale`] as in
    /// [`Store::set_member`].
    pub async fn change_role(
        &self,
        granted: &Granted<ManageMembers>,
        member: PrincipalId,
        role: Role,
        now: Micros,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let previous = self.load_role(granted.organization(), member).await?;
            let previous = previous.ok_or(Refusal::NotFound(Thing::Member))?;
            match self.set_role(granted, member, Some(previous), role, now).await {
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    /// Sets the role of a person whose role is `previous`. It no longer counts as given by groups.
    async fn set_role(
        &self,
        granted: &Granted<ManageMembers>,
        member: PrincipalId,
        previous: Option<String>,
        role: Role,
        now: Micros,
    ) -> Result<()> {
        let organization = granted.organization();
        let entry = NewAuditEntry::new(
            granted.attribution(),
            "member.set",
            member,
            json!({ "role": role.name() }),
            now,
        )
        .with_organization(Some(organization))
        .with_previous(json!({ "role": previous }));
        let mut statements = vec![
            granted.one_row(
                "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
                values![],
            ),
            // People are not of an organization.
            one_row(
                "UPDATE principals SET state = state WHERE id = $1 AND state <> 'deleted' AND kind = 'user'",
                values![member],
            ),
            expect_role(organization, member, previous),
        ];
        if role != Role::Admin {
            // Checked before the role is changed.
            statements.push(expect_another_admin(organization, member));
        }
        statements.push(granted.any_rows(
            "INSERT INTO members (organization, principal, role, created_us) VALUES ($1, $2, $3, $4)
             ON CONFLICT (organization, principal) DO UPDATE SET role = excluded.role, by_groups = 0",
            values![member, role.name(), now],
        ));
        let unmet = |at| match at {
            0 => Refusal::NotFound(Thing::Organization).into(),
            1 => Refusal::NotFound(Thing::Principal).into(),
            2 => Error::Stale,
            _ => Refusal::LastAdmin.into(),
        };
        self.apply(batch_with_entry([organization], statements, &entry)?, unmet).await
    }

    /// Ends a person's membership, and the keys and login sessions that are bound to the organization. The last admin
    /// cannot be removed. The next sweep releases the devices that the person still holds.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::LastAdmin`]; [`Error::Stale`] as in [`Store::set_member`].
    pub async fn remove_member(
        &self,
        granted: &Granted<ManageMembers>,
        member: PrincipalId,
        now: Micros,
    ) -> Result<()> {
        self.end_membership(granted.attribution(), granted.organization(), member, now).await
    }

    /// Ends the person's own membership, as [`Store::remove_member`] does.
    ///
    /// # Errors
    /// Those of [`Store::remove_member`].
    pub async fn leave_organization(
        &self,
        own: &GrantedPerson,
        organization: OrganizationId,
        now: Micros,
    ) -> Result<()> {
        self.end_membership(own.attribution(), organization, own.person(), now).await
    }

    async fn end_membership(
        &self,
        by: Attribution,
        organization: OrganizationId,
        member: PrincipalId,
        now: Micros,
    ) -> Result<()> {
        let sql = "DELETE FROM members WHERE organization = $1 AND principal = $2";
        let revocations = leave_statements(member, organization, now);
        for _ in 0..ATTEMPTS {
            let previous =
                self.load_role(organization, member).await?.ok_or(Refusal::NotFound(Thing::Member))?;
            let entry = NewAuditEntry::new(by, "member.remove", member, json!({}), now)
                .with_organization(Some(organization))
                .with_previous(json!({ "role": previous }));
            let mut statements = vec![
                expect_role(organization, member, Some(previous)),
                expect_another_admin(organization, member),
                one_row(sql, values![organization, member]),
            ];
            statements.extend(revocations.clone());
            let batch = batch_with_entry([organization, OrganizationId::PEOPLE], statements, &entry)?;
            let unmet = |at| if at == 1 { Refusal::LastAdmin.into() } else { Error::Stale };
            match self.apply(batch, unmet).await {
                // The membership was changed or removed meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    async fn load_role(&self, organization: OrganizationId, member: PrincipalId) -> Result<Option<String>> {
        let sql = "SELECT m.role FROM members m JOIN principals p ON p.id = m.principal
                   WHERE m.organization = $1 AND m.principal = $2 AND p.kind = 'user'";
        let rows =
            self.read_unscoped(&System::for_granted_reads(), sql, values![organization, member]).await?;
        Ok(rows.read_first(Columns::text)?)
    }

    /// Creates an organization and its position in the change feed. A person becomes its first admin. A service user
    /// of the account can create one too, but does not become a member.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when an organization that was not deleted has this name.
    pub async fn create_own_organization(&self, own: &GrantedPerson, new: &Organization) -> Result<()> {
        let mut statements = vec![
            one_row(
                "INSERT INTO organizations (id, name, created_us, max_devices) VALUES ($1, $2, $3, $4)",
                values![new.id, new.name.as_str(), new.created, new.max_devices],
            ),
            one_row(
                "INSERT INTO counters (organization, sequence, pruned) VALUES ($1, 0, 0)",
                values![new.id],
            ),
            own.any_rows(
                "INSERT INTO members (organization, principal, role, created_us)
                 SELECT o.id, p.id, 'admin', o.created_us FROM organizations o, principals p
                 WHERE o.id = $2 AND p.id = $1 AND p.kind = 'user'",
                values![new.id],
            ),
        ];
        statements.extend(record_creation(own, new.id.0));
        let details = json!({ "name": new.name });
        let entry =
            NewAuditEntry::new(own.attribution(), "organization.create", new.id, details, new.created);
        match self.apply(batch_with_entry([], statements, &entry)?, |_| Error::Stale).await {
            Err(Error::Stale) => Err(Refusal::Exists("an organization of this name".to_owned()).into()),
            outcome => outcome,
        }
    }
}

fn expect_role(organization: OrganizationId, member: PrincipalId, previous: Option<String>) -> Statement {
    one_row(STILL, values![organization, member, previous.unwrap_or_default()])
}

/// Ends the keys and login sessions of a person that are bound to an organization they leave. Those that are not
/// bound to it stay. The batch must lock [`OrganizationId::PEOPLE`].
pub(crate) fn leave_statements(
    person: PrincipalId,
    organization: OrganizationId,
    now: Micros,
) -> Vec<Statement> {
    let keys = any_rows(
        "UPDATE credentials SET revoked_us = COALESCE(revoked_us, $3), recoverable = NULL
         WHERE principal = $1 AND organization = $2",
        values![person, organization, now],
    );
    let ending = owner_gone_ending("its owner left the organization that it opened".to_owned());
    let sessions = end_statements(&OF_PERSON_HERE, person.0, organization, &ending, now);
    [keys].into_iter().chain(sessions).collect()
}

pub(crate) fn expect_another_admin(organization: OrganizationId, member: PrincipalId) -> Statement {
    one_row(ANOTHER_ADMIN, values![organization, member])
}
