//! Organizations.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::{Caller, GrantedAccount, ManageOrganizations, System};
use crate::agents::usage::read_limits;
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError};
use crate::feed::organization_deletion_entry;
use crate::rows::{one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::Refusal;
use domain::agent::{UsageLimits, cycle_days};
use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::json;

impl Store {
    /// Creates an organization and its position in the change feed.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when an organization that was not deleted has this name.
    pub async fn create_organization(&self, system: &System, new: &Organization) -> Result<()> {
        let insert = one_row(
            "INSERT INTO organizations (id, name, created_us, max_devices) VALUES ($1, $2, $3, $4)",
            values![new.id, new.name.as_str(), new.created, new.max_devices],
        );
        let counter = one_row(
            "INSERT INTO counters (organization, sequence, pruned) VALUES ($1, 0, 0)",
            values![new.id],
        );
        let statements = [insert, counter].into_iter().chain(record_creation(system, new.id.0)).collect();
        let details = json!({ "name": new.name });
        let entry = NewAuditEntry::new(system.0, "organization.create", new.id, details, new.created);
        match self.apply(batch_with_entry([], statements, &entry)?, |_| Error::Stale).await {
            Err(Error::Stale) => Err(Refusal::Exists(format!("an organization named {:?}", new.name)).into()),
            outcome => outcome,
        }
    }

    /// All organizations, deleted ones included, oldest first.
    pub async fn list_organizations(&self, system: &System) -> Result<Vec<Organization>> {
        let sql =
            "SELECT id, name, created_us, deleted_us, max_devices FROM organizations ORDER BY created_us, id";
        Ok(self.read_unscoped(system, Scan(sql), values![]).await?.read_all(read_organization)?)
    }

    /// All organizations that were not deleted, with their limits, oldest first.
    pub async fn list_organizations_with_limits(
        &self,
        granted: &GrantedAccount<ManageOrganizations>,
        now: Micros,
    ) -> Result<Vec<(Organization, UsageLimits)>> {
        let sql = "SELECT o.id, o.name, o.created_us, o.deleted_us, o.max_devices, o.max_session_acus, o.max_cycle_acus,
                       (SELECT CAST(COALESCE(SUM(u.acus), 0) AS BIGINT) FROM usage_days u
                        WHERE u.organization = o.id AND u.day >= $1 AND u.day < $2)
                   FROM organizations o WHERE o.deleted_us IS NULL ORDER BY o.created_us, o.id";
        let (from, until) = cycle_days(now);
        let [rows] = self.read_account(granted, [(Scan(sql), values![from, until])]).await?;
        Ok(rows.read_all(|columns| Ok((read_organization(columns)?, read_limits(columns)?)))?)
    }

    /// The organizations that the caller can see, with the caller's role in each; oldest first.
    pub async fn list_visible_organizations(
        &self,
        caller: &Caller,
    ) -> Result<Vec<(Organization, Option<Role>)>> {
        let sees_all = caller.authorize_in_account::<crate::access::ViewSessions>().is_ok();
        let all = self.list_organizations(&System::for_granted_reads()).await?;
        let role = |id| caller.memberships().iter().find(|member| member.organization == id).map(|m| m.role);
        let listed = all.into_iter().filter(|organization| organization.deleted.is_none()).filter_map(
            |organization| {
                let role = role(organization.id);
                (sees_all || role.is_some()).then_some((organization, role))
            },
        );
        Ok(listed.collect())
    }

    /// Sets or lifts the limit of devices that sessions hold or wait for at one time.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when the organization was deleted; [`Error::Stale`] when others change the limit all
    /// the time.
    pub async fn set_max_devices(
        &self,
        system: &System,
        id: OrganizationId,
        max: Option<u32>,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE organizations SET max_devices = $2
                   WHERE id = $1 AND deleted_us IS NULL AND COALESCE(max_devices, -1) = $3";
        for _ in 0..ATTEMPTS {
            let previous = self.load_organization(system, id).await?.max_devices;
            let set = one_row(sql, values![id, max, previous.map_or(-1, i64::from)]);
            let details = json!({ "max_devices": max });
            let entry = NewAuditEntry::new(system.0, "organization.update", id, details, now)
                .with_organization(Some(id))
                .with_previous(json!({ "max_devices": previous }));
            match self.apply(batch_with_entry([id], vec![set], &entry)?, |_| Error::Stale).await {
                // The organization was changed or deleted meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    /// An organization that was not deleted.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_organization(&self, system: &System, id: OrganizationId) -> Result<Organization> {
        let sql = "SELECT id, name, created_us, deleted_us, max_devices FROM organizations
                   WHERE id = $1 AND deleted_us IS NULL";
        let rows = self.read_unscoped(system, sql, values![id]).await?;
        rows.read_first(read_organization)?.ok_or(Refusal::NotFound(Thing::Organization).into())
    }

    /// The organization with exactly this name that was not deleted.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn find_organization(&self, system: &System, name: &str) -> Result<Organization> {
        let sql = "SELECT id, name, created_us, deleted_us, max_devices FROM organizations
                   WHERE name = $1 AND deleted_us IS NULL";
        let rows = self.read_unscoped(system, sql, values![name]).await?;
        rows.read_first(read_organization)?.ok_or(Refusal::NotFound(Thing::Organization).into())
    }

    /// Deletes an organization. Its row and its sessions stay, but nobody can act in it. The next sweep releases the
    /// devices that it still holds.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted before.
    pub async fn delete_organization(&self, system: &System, id: OrganizationId, now: Micros) -> Result<()> {
        let sql = "UPDATE organizations SET deleted_us = $2 WHERE id = $1 AND deleted_us IS NULL";
        let entry = NewAuditEntry::new(system.0, "organization.delete", id, json!({}), now)
            .with_organization(Some(id));
        let mut statements = vec![one_row(sql, values![id, now])];
        statements.extend(organization_deletion_entry(id, now));
        self.apply(batch_with_entry([id], statements, &entry)?, |_| {
            Refusal::NotFound(Thing::Organization).into()
        })
        .await
    }

    /// The members of every organization: organization, principal and role.
    pub async fn list_members(&self, system: &System) -> Result<Vec<(OrganizationId, PrincipalId, Role)>> {
        let sql = "SELECT m.organization, m.principal, m.role FROM members m
                   JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
                   ORDER BY m.created_us, m.organization";
        let rows = self.read_unscoped(system, Scan(sql), values![]).await?;
        Ok(rows.read_all(|columns| {
            Ok((OrganizationId(columns.id()?), PrincipalId(columns.id()?), columns.word(Role::parse)?))
        })?)
    }
}

fn read_organization(columns: &mut Columns) -> Result<Organization, DatabaseError> {
    Ok(Organization {
        id: OrganizationId(columns.id()?),
        name: columns.text()?,
        created: columns.time()?,
        deleted: columns.maybe_time()?,
        max_devices: columns.maybe_int()?.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
    })
}
