//! Members as they see each other, and organizations that their own users make.

use crate::access::{Granted, GrantedPerson, ManageMembers, Right};
use crate::database::{Row, Statement};
use crate::logins::end_all;
use crate::members::ROLE;
use crate::principals::{gone, principal, principal_columns};
use crate::rows::{batch, one, values, word};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::Principal;
use domain::refusal::Thing;
use domain::time::Micros;

/// A member of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub principal: Principal,
    /// As what.
    pub role: Role,
    /// Since when.
    pub joined: Micros,
}

pub(crate) const MEMBERS: &str = concat!(
    "SELECT ",
    principal_columns!(),
    ", m.role, m.created_us FROM members m JOIN principals p ON p.id = m.principal
     WHERE m.organization = $1 AND p.kind = 'user' AND p.state <> 'deleted' ORDER BY p.number"
);

/// That the organization has an admin who can act besides `$2`, or `$2` is none itself.
const ANOTHER_ADMIN: &str = "
    UPDATE organizations SET name = name
    WHERE id = $1 AND deleted_us IS NULL AND (
        NOT EXISTS (SELECT 1 FROM members m WHERE m.organization = $1 AND m.principal = $2 AND m.role = 'admin')
        OR EXISTS (SELECT 1 FROM members m JOIN principals p ON p.id = m.principal
                   WHERE m.organization = $1 AND m.role = 'admin' AND m.principal <> $2
                     AND p.kind = 'user' AND p.state = 'active'))";

impl Store {
    /// The people of the organization, the oldest first.
    pub async fn people_here<P: Right>(&self, granted: &Granted<P>) -> Result<Vec<Member>> {
        let member = |row: &Row| {
            let role = word(&row.text(ROLE)?, Role::parse)?;
            Ok(Member { principal: principal(row)?, role, joined: Micros(row.int(ROLE + 1)?) })
        };
        self.within(granted, MEMBERS, values![]).await?.iter().map(member).collect()
    }

    /// Changes what a member is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for who is no member; [`Refusal::LastAdmin`].
    pub async fn change_role(
        &self,
        granted: &Granted<ManageMembers>,
        member: PrincipalId,
        role: Role,
    ) -> Result<()> {
        let organization = granted.organization();
        // From now on it was given by hand.
        let sql = "UPDATE members SET role = $3, by_groups = 0 WHERE organization = $1 AND principal = $2";
        let mut statements = vec![one(sql, values![organization, member, role.name()])];
        if role != Role::Admin {
            // Looked at before the role is changed.
            statements.insert(0, another_admin(organization, member));
        }
        let first = statements.len() - 1;
        self.apply(batch([organization], statements), |at| match at {
            at if at == first => Refusal::NotFound(Thing::Member).into(),
            _ => Refusal::LastAdmin.into(),
        })
        .await
    }

    /// Ends a membership and the member's login sessions, unless nobody would look after the organization then. What
    /// the member still holds is released by the server's next sweep.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::LastAdmin`].
    pub async fn end_membership(
        &self,
        granted: &Granted<ManageMembers>,
        member: PrincipalId,
        now: Micros,
    ) -> Result<()> {
        self.part(granted.organization(), member, now).await
    }

    /// Ends a person's own membership, as [`Store::end_membership`] does.
    ///
    /// # Errors
    /// As there.
    pub async fn leave(&self, own: &GrantedPerson, organization: OrganizationId, now: Micros) -> Result<()> {
        self.part(organization, own.person(), now).await
    }

    async fn part(&self, organization: OrganizationId, member: PrincipalId, now: Micros) -> Result<()> {
        let sql = "DELETE FROM members WHERE organization = $1 AND principal = $2";
        let mut statements =
            vec![another_admin(organization, member), one(sql, values![organization, member])];
        statements.extend(end_all(member, None, &gone("its owner left an organization".to_owned()), now));
        self.apply(batch([organization, OrganizationId::PEOPLE], statements), |at| match at {
            0 => Refusal::LastAdmin.into(),
            _ => Refusal::NotFound(Thing::Member).into(),
        })
        .await
    }

    /// Makes an organization with its place in the change feed; the person is its first admin.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when one of that name is there that was not deleted.
    pub async fn found_organization(&self, own: &GrantedPerson, new: &Organization) -> Result<()> {
        let statements = vec![
            one(
                "INSERT INTO organizations (id, name, created_us, max_devices) VALUES ($1, $2, $3, $4)",
                values![new.id, new.name.as_str(), new.created, new.max_devices],
            ),
            one("INSERT INTO counters (organization, sequence, pruned) VALUES ($1, 0, 0)", values![new.id]),
            one(
                "INSERT INTO members (organization, principal, role, created_us) VALUES ($1, $2, 'admin', $3)",
                values![new.id, own.person(), new.created],
            ),
        ];
        match self.apply(batch([], statements), |_| Error::Stale).await {
            Err(Error::Stale) => Err(Refusal::Exists("an organization of this name".to_owned()).into()),
            outcome => outcome,
        }
    }
}

pub(crate) fn another_admin(organization: OrganizationId, member: PrincipalId) -> Statement {
    one(ANOTHER_ADMIN, values![organization, member])
}
