//! Organizations and their members.

use crate::access::{Caller, Granted, ManageMembers, System};
use crate::audit::{NewAuditLine, audited};
use crate::database::{Row, Statement};
use crate::logins::end_all;
use crate::principals::gone;
use crate::rows::{any, maybe_time, one, values, word};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::json;

impl Store {
    /// Makes an organization and its place in the change feed.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when one of that name is there that was not deleted.
    pub async fn create_organization(&self, system: &System, new: &Organization) -> Result<()> {
        let insert = one(
            "INSERT INTO organizations (id, name, created_us, max_devices) VALUES ($1, $2, $3, $4)",
            values![new.id, new.name.as_str(), new.created, new.max_devices],
        );
        let counter =
            one("INSERT INTO counters (organization, sequence, pruned) VALUES ($1, 0, 0)", values![new.id]);
        let details = json!({ "name": new.name });
        let line = NewAuditLine::new(system.0, "organization.create", new.id, details, new.created);
        match self.apply(audited([], vec![insert, counter], &line)?, |_| Error::Stale).await {
            Err(Error::Stale) => Err(Refusal::Exists(format!("an organization named {:?}", new.name)).into()),
            outcome => outcome,
        }
    }

    /// All organizations, also deleted ones, the oldest first.
    pub async fn organizations(&self, system: &System) -> Result<Vec<Organization>> {
        let sql =
            "SELECT id, name, created_us, deleted_us, max_devices FROM organizations ORDER BY created_us, id";
        self.everywhere(system, sql, values![]).await?.iter().map(organization).collect()
    }

    /// The organizations that a caller may see, with its role there; the oldest first.
    pub async fn organizations_of(&self, caller: &Caller) -> Result<Vec<(Organization, Option<Role>)>> {
        let visible = caller.may_in_account::<crate::access::ViewSessions>().is_ok();
        let all = self.organizations(&System::for_secrets()).await?;
        let role = |id| caller.memberships().iter().find(|member| member.organization == id).map(|m| m.role);
        let seen = all.into_iter().filter(|organization| organization.deleted.is_none()).filter_map(
            |organization| {
                let role = role(organization.id);
                (visible || role.is_some()).then_some((organization, role))
            },
        );
        Ok(seen.collect())
    }

    /// Sets or lifts the limit of devices held or waited for at once.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted.
    pub async fn set_max_devices(
        &self,
        system: &System,
        id: OrganizationId,
        max: Option<u32>,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE organizations SET max_devices = $2
                   WHERE id = $1 AND deleted_us IS NULL AND COALESCE(max_devices, -1) = $3";
        loop {
            let was = self.living(system, id).await?.max_devices;
            let set = one(sql, values![id, max, was.map_or(-1, i64::from)]);
            let details = json!({ "max_devices": max });
            let line = NewAuditLine::new(system.0, "organization.update", id, details, now)
                .within(Some(id))
                .instead_of(json!({ "max_devices": was }));
            match self.apply(audited([id], vec![set], &line)?, |_| Error::Stale).await {
                // Changed or deleted meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
    }

    /// An organization that was not deleted.
    pub(crate) async fn living(&self, system: &System, id: OrganizationId) -> Result<Organization> {
        let sql = "SELECT id, name, created_us, deleted_us, max_devices FROM organizations
                   WHERE id = $1 AND deleted_us IS NULL";
        let rows = self.everywhere(system, sql, values![id]).await?;
        rows.first().map(organization).unwrap_or(Err(Refusal::NotFound(Thing::Organization).into()))
    }

    /// Deletes an organization: it keeps its row and its sessions, and nobody acts in it any more. What it still
    /// holds is released by the server's next sweep.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted before.
    pub async fn delete_organization(&self, system: &System, id: OrganizationId, now: Micros) -> Result<()> {
        let sql = "UPDATE organizations SET deleted_us = $2 WHERE id = $1 AND deleted_us IS NULL";
        let line = NewAuditLine::new(system.0, "organization.delete", id, json!({}), now).within(Some(id));
        let batch = audited([id], vec![one(sql, values![id, now])], &line)?;
        self.apply(batch, |_| Refusal::NotFound(Thing::Organization).into()).await
    }

    /// Makes somebody a member, or changes its role.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for an organization or principal that does not exist or was deleted.
    pub async fn set_member(
        &self,
        granted: &Granted<ManageMembers>,
        principal: PrincipalId,
        role: Role,
        now: Micros,
    ) -> Result<()> {
        let organization = granted.organization();
        loop {
            let was = self.role_name(granted, principal).await?;
            let details = json!({ "role": role.name() });
            let line = NewAuditLine::new(granted.by(), "member.set", principal, details, now)
                .within(Some(organization))
                .instead_of(json!({ "role": was }));
            let statements = setting_member(organization, principal, was, role, now);
            let unmet = |at| match at {
                0 => Refusal::NotFound(Thing::Organization).into(),
                1 => Refusal::NotFound(Thing::Principal).into(),
                _ => Error::Stale,
            };
            match self.apply(audited([organization], statements, &line)?, unmet).await {
                // Somebody else has changed the role meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
    }

    async fn role_name(
        &self,
        granted: &Granted<ManageMembers>,
        principal: PrincipalId,
    ) -> Result<Option<String>> {
        let sql = "SELECT role FROM members WHERE organization = $1 AND principal = $2";
        let rows = self.within(granted, sql, values![principal]).await?;
        Ok(rows.first().map(|row| row.text(0)).transpose()?)
    }

    /// Ends a membership, and the member's login sessions. What the member still holds is released by the server's
    /// next sweep.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn remove_member(
        &self,
        granted: &Granted<ManageMembers>,
        principal: PrincipalId,
        now: Micros,
    ) -> Result<()> {
        let organization = granted.organization();
        let sql = "DELETE FROM members WHERE organization = $1 AND principal = $2 AND role = $3";
        let ends = end_all(principal, None, &gone("its owner left an organization".to_owned()), now);
        loop {
            let was = self.role_name(granted, principal).await?.ok_or(Refusal::NotFound(Thing::Member))?;
            let line = NewAuditLine::new(granted.by(), "member.remove", principal, json!({}), now)
                .within(Some(organization))
                .instead_of(json!({ "role": was }));
            let mut statements = vec![one(sql, values![organization, principal, was])];
            statements.extend(ends.clone());
            let batch = audited([organization, OrganizationId::PEOPLE], statements, &line)?;
            match self.apply(batch, |_| Error::Stale).await {
                // Somebody else has changed or removed it meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
    }

    /// The members of every organization: organization, principal and role.
    pub async fn members(&self, system: &System) -> Result<Vec<(OrganizationId, PrincipalId, Role)>> {
        let sql = "SELECT m.organization, m.principal, m.role FROM members m
                   JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
                   ORDER BY m.created_us, m.organization";
        let rows = self.everywhere(system, sql, values![]).await?;
        let member = |row: &Row| {
            Ok((OrganizationId(row.id(0)?), PrincipalId(row.id(1)?), word(&row.text(2)?, Role::parse)?))
        };
        rows.iter().map(member).collect()
    }
}

/// Sets a role that is expected to be another one, or none, before.
fn setting_member(
    organization: OrganizationId,
    principal: PrincipalId,
    was: Option<String>,
    role: Role,
    now: Micros,
) -> Vec<Statement> {
    vec![
        one("UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL", values![organization]),
        one("UPDATE principals SET state = state WHERE id = $1 AND state <> 'deleted'", values![principal]),
        one(
            "UPDATE organizations SET name = name
             WHERE id = $1 AND COALESCE((SELECT role FROM members WHERE organization = $1 AND principal = $2), '') = $3",
            values![organization, principal, was.unwrap_or_default()],
        ),
        any(
            "INSERT INTO members (organization, principal, role, created_us) VALUES ($1, $2, $3, $4)
             ON CONFLICT (organization, principal) DO UPDATE SET role = excluded.role, by_groups = 0",
            values![organization, principal, role.name(), now],
        ),
    ]
}

fn organization(row: &Row) -> Result<Organization> {
    Ok(Organization {
        id: OrganizationId(row.id(0)?),
        name: row.text(1)?,
        created: Micros(row.int(2)?),
        deleted: maybe_time(row, 3)?,
        max_devices: row.maybe_int(4)?.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
    })
}
