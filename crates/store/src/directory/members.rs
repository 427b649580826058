//! The principals of an organization or the account, and their keys.

use crate::access::credentials::{credential_columns, read_credential, read_membership};
use crate::access::lane::Scan;
use crate::access::{Granted, GrantedAccount, ManageMembers, PermissionType, System};
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError};
use crate::directory::principals::{principal_columns, read_principal};
use crate::rows::{one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::Refusal;
use domain::credential::Credential;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{PermissionSet, Role};
use domain::principal::{Membership, Principal};
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::json;

const HERE: &str = concat!(
    "SELECT ",
    principal_columns!(),
    ", m.role FROM principals p LEFT JOIN members m ON m.organization = $1 AND m.principal = p.id
     WHERE p.id = $2 AND p.state <> 'deleted'"
);

const MEMBERS: &str = concat!(
    "SELECT ",
    principal_columns!(),
    ", m.role FROM members m JOIN principals p ON p.id = m.principal
     WHERE m.organization = $1 AND p.state <> 'deleted' ORDER BY p.number"
);

macro_rules! people {
    ($and:literal) => {
        concat!(
            "SELECT ",
            principal_columns!(),
            ", o.id, m.role FROM principals p
             LEFT JOIN members m ON m.principal = p.id
             LEFT JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
             WHERE p.kind = 'user' AND p.state <> 'deleted' ",
            $and,
            " ORDER BY p.number, m.created_us, m.organization"
        )
    };
}

const KEYS: &str = concat!(
    "SELECT ",
    credential_columns!(),
    " FROM credentials WHERE principal = $1 ORDER BY created_us, id"
);

impl Store {
    /// A principal, and their permissions in the organization: those of their role in it and of their role in the
    /// account.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when they have neither role, do not exist or were deleted.
    pub async fn load_principal_in_organization<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        id: PrincipalId,
    ) -> Result<(Principal, PermissionSet)> {
        let rows = self.read(granted, HERE, values![id]).await?;
        let found =
            rows.read_first(|columns| Ok((read_principal(columns)?, columns.maybe_word(Role::parse)?)))?;
        let (found, role) = found.ok_or(Refusal::NotFound(Thing::Member))?;
        if role.is_none() && found.account_role.is_none() {
            return Err(Refusal::NotFound(Thing::Member).into());
        }
        let by_membership = role.map_or(PermissionSet::default(), Role::permissions);
        let by_account_role = found.account_role.map_or(PermissionSet::default(), |role| role.permissions());
        Ok((found, by_membership.union(by_account_role)))
    }

    /// The organization's members with their roles, oldest principal first.
    pub async fn list_principals_in_organization<P: PermissionType>(
        &self,
        granted: &Granted<P>,
    ) -> Result<Vec<(Principal, Role)>> {
        let rows = self.read(granted, Scan(MEMBERS), values![]).await?;
        Ok(rows.read_all(read_member)?)
    }

    /// The account's people with their memberships, oldest first; only one person if `one` is given.
    pub async fn list_account_people(
        &self,
        granted: &GrantedAccount<ManageMembers>,
        one: Option<PrincipalId>,
    ) -> Result<Vec<(Principal, Vec<Membership>)>> {
        let [rows] = match one {
            Some(id) => self.read_account(granted, [(people!("AND p.id = $1"), values![id])]).await?,
            None => self.read_account(granted, [(Scan(people!("")), values![])]).await?,
        };
        let mut people: Vec<(Principal, Vec<Membership>)> = Vec::new();
        for (person, membership) in
            rows.read_all(|columns| Ok((read_principal(columns)?, read_membership(columns)?)))?
        {
            if people.last().is_none_or(|(last, _)| last.id != person.id) {
                people.push((person, Vec::new()));
            }
            // Memberships of deleted organizations do not count.
            if let Some((_, memberships)) = people.last_mut() {
                memberships.extend(membership);
            }
        }
        Ok(people)
    }

    /// The keys of a principal, oldest first.
    pub async fn list_principal_credentials(
        &self,
        system: &System,
        id: PrincipalId,
    ) -> Result<Vec<Credential>> {
        Ok(self.read_unscoped(system, KEYS, values![id]).await?.read_all(read_credential)?)
    }

    /// Renames an organization.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::Exists`]; [`Error::Stale`] when others change the name all the time.
    pub async fn rename_organization(
        &self,
        system: &System,
        id: OrganizationId,
        name: &str,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE organizations SET name = $2 WHERE id = $1 AND deleted_us IS NULL AND name = $3";
        let name_is_taken = "SELECT 1 FROM organizations WHERE name = $2 AND deleted_us IS NULL AND id <> $1";
        for _ in 0..ATTEMPTS {
            let previous = self.load_organization(system, id).await?.name;
            let entry = NewAuditEntry::new(system.0, "organization.update", id, json!({ "name": name }), now)
                .with_organization(Some(id))
                .with_previous(json!({ "name": previous }));
            let set = one_row(sql, values![id, name, previous]);
            match self.apply(batch_with_entry([id], vec![set], &entry)?, |_| Error::Stale).await {
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
            if !self.read_unscoped(system, name_is_taken, values![id, name]).await?.is_empty() {
                return Err(Refusal::Exists(format!("an organization named {name:?}")).into());
            }
        }
        Err(Error::Stale)
    }
}

/// A principal and their role.
pub(crate) fn read_member(columns: &mut Columns) -> Result<(Principal, Role), DatabaseError> {
    Ok((read_principal(columns)?, columns.word(Role::parse)?))
}
