//! Which sessions of all kinds a caller may see.

use super::{Caller, System};
use crate::audit::attribution::Attribution;
use crate::rows::values;
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{Permission, PermissionSet, Role};
use domain::principal::Scopes;
use domain::session::{Filter, ListPart, ListScope, SessionKey, SessionKind, ValueField};
use serde_json::json;
use std::collections::BTreeSet;

/// The scope that lets a credential see its owner's login sessions.
const OWN_LOGINS: &str = "read:user";

/// Whose sessions a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedScope {
    /// All that the caller may see.
    Everything,
    /// Those of the whole account.
    Account,
    /// Those of some organizations and of their people.
    Organizations(BTreeSet<OrganizationId>),
}

/// The proof that a caller may see some sessions: device and agent sessions of organizations, and login sessions of
/// people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleSessions {
    requested: RequestedScope,
    /// `None` for all that exist.
    organizations: Option<BTreeSet<OrganizationId>>,
    /// `None` for everybody.
    people: Option<BTreeSet<PrincipalId>>,
    pub(crate) by: Attribution,
}

impl VisibleSessions {
    /// Disjoint lists that have all of the sessions together.
    pub fn parts(&self) -> Vec<ListPart> {
        let kinds = |kinds: &[SessionKind]| {
            Filter::has_text(ValueField::Kind, kinds.iter().copied().map(SessionKind::name))
        };
        let everywhere = || ListScope::Account { organizations: None, deleted: false };
        if self.organizations.is_none() && self.people.is_none() {
            return vec![ListPart { scope: everywhere(), filter: Filter::EVERY }];
        }
        let scope = match &self.organizations {
            None => everywhere(),
            Some(some) => match (some.len(), some.first()) {
                (1, Some(one)) => ListScope::Organization(*one),
                _ => ListScope::Account { organizations: Some(some.clone()), deleted: false },
            },
        };
        let work = ListPart { scope, filter: kinds(&[SessionKind::Device, SessionKind::Agent]) };
        let logins = ListPart {
            scope: ListScope::Organization(OrganizationId::PEOPLE),
            filter: match &self.people {
                None => Filter::EVERY,
                Some(people) => Filter::has_id(ValueField::Owner, people.iter().map(|person| person.0)),
            },
        };
        let sees_organizations = self.organizations.as_ref().is_none_or(|some| !some.is_empty());
        let sees_people = self.people.as_ref().is_none_or(|people| !people.is_empty());
        let parts = [(sees_organizations, work), (sees_people, logins)];
        parts.into_iter().filter_map(|(is_seen, part)| is_seen.then_some(part)).collect()
    }

    /// What the request asked for.
    pub fn scope(&self) -> &RequestedScope {
        &self.requested
    }

    /// The organizations whose device and agent sessions are visible; `None` for all that exist.
    pub fn organizations(&self) -> Option<&BTreeSet<OrganizationId>> {
        self.organizations.as_ref()
    }

    /// The caller; `None` for Tenure itself.
    pub fn principal(&self) -> Option<PrincipalId> {
        self.by.principal
    }

    /// Whether a session of this organization can be visible. Of login sessions, their owner decides.
    pub fn may_include(&self, key: &SessionKey) -> bool {
        match key.kind {
            SessionKind::Login => key.organization == OrganizationId::PEOPLE,
            SessionKind::Device | SessionKind::Agent => self.includes_organization(key.organization),
        }
    }

    /// Whether the device and agent sessions of an organization are visible.
    pub(crate) fn includes_organization(&self, id: OrganizationId) -> bool {
        self.organizations.as_ref().is_none_or(|some| some.contains(&id))
    }

    /// Whether the login sessions of a person are visible.
    pub(crate) fn includes_person(&self, id: PrincipalId) -> bool {
        self.people.as_ref().is_none_or(|people| people.contains(&id))
    }
}

impl Caller {
    /// What the caller may do in an organization. `is_admitted` says whether a role counts for the caller, who may lack
    /// the second factor that it demands.
    pub(super) fn permissions_in(
        &self,
        organization: OrganizationId,
        is_admitted: &impl Fn(Role) -> bool,
    ) -> PermissionSet {
        if self.bound.is_some_and(|bound| bound != organization) {
            return PermissionSet::default();
        }
        if self.organization == Some(organization) {
            return self.permissions.union(self.account);
        }
        let membership = self.memberships.iter().find(|member| member.organization == organization);
        let role = membership.map(|member| member.role).filter(|role| is_admitted(*role));
        let by_role = role.map_or(PermissionSet::default(), Role::permissions);
        let in_scope = self.scopes.map_or(PermissionSet::new(&Permission::ALL), Scopes::permissions);
        by_role.intersection(in_scope).union(self.account)
    }

    /// The organizations that the caller's roles name.
    pub(super) fn own_organizations(&self) -> BTreeSet<OrganizationId> {
        self.memberships.iter().map(|member| member.organization).chain(self.organization).collect()
    }
}

impl Store {
    /// The same caller in another organization, with the permissions that the credential gives where a request names this
    /// organization. `is_admitted` says whether a role counts for the caller, who may lack the second factor that it
    /// demands.
    ///
    /// # Errors
    /// [`Refusal::NotAMember`] for an organization that does not exist or is not the caller's;
    /// [`Refusal::SecondFactorRequired`].
    pub async fn choose_organization(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        is_admitted: impl Fn(Role) -> bool,
    ) -> Result<Caller> {
        if caller.lacks_factor {
            return Err(Refusal::SecondFactorRequired.into());
        }
        if caller.bound.is_some_and(|bound| bound != organization) {
            return Err(Refusal::NotAMember.into());
        }
        if caller.organization != Some(organization) {
            match caller.memberships.iter().find(|member| member.organization == organization) {
                Some(member) if is_admitted(member.role) => {}
                Some(_) => return Err(Refusal::SecondFactorRequired.into()),
                None => {
                    self.account_opens(&System::for_granted_reads(), organization, caller.account).await?;
                }
            }
        }
        let permissions = caller.permissions_in(organization, &is_admitted);
        Ok(Caller { organization: Some(organization), permissions, ..caller.clone() })
    }

    /// Finds out which sessions a caller may see. `is_admitted` says whether a role counts for the caller, who may lack
    /// the second factor that it demands.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`] for a worker or a host, [`Refusal::SecondFactorRequired`], and [`Refusal::Forbidden`] for
    /// the account without a role in it; [`Refusal::NotAMember`] for an organization that does not exist or whose
    /// sessions the caller may not see.
    pub async fn authorize_sessions(
        &self,
        caller: &Caller,
        requested: &RequestedScope,
        is_admitted: impl Fn(Role) -> bool,
    ) -> Result<VisibleSessions> {
        caller.refuse_connector()?;
        if caller.lacks_factor {
            return Err(Refusal::SecondFactorRequired.into());
        }
        let has = |organization: &OrganizationId, permission| {
            caller.permissions_in(*organization, &is_admitted).has(permission)
        };
        let sees_account = caller.account.has(Permission::ViewSessions);
        let organizations = match requested {
            RequestedScope::Account if !sees_account => {
                return Err(Refusal::Forbidden(Permission::ViewSessions).into());
            }
            RequestedScope::Account => None,
            RequestedScope::Everything if sees_account => None,
            RequestedScope::Everything => {
                let own = caller.own_organizations().into_iter();
                Some(own.filter(|one| has(one, Permission::ViewSessions)).collect())
            }
            RequestedScope::Organizations(some) => {
                let is_member = |one: &OrganizationId| {
                    caller.memberships.iter().any(|member| member.organization == *one)
                };
                // Memberships of deleted organizations were not read.
                let exist = some.iter().all(is_member) || self.all_exist(some).await?;
                if !exist || !some.iter().all(|one| has(one, Permission::ViewSessions)) {
                    return Err(Refusal::NotAMember.into());
                }
                Some(some.clone())
            }
        };
        let people = self.find_visible_people(caller, requested, has).await?;
        Ok(VisibleSessions { requested: requested.clone(), organizations, people, by: caller.attribution() })
    }

    /// The people whose login sessions a caller may see: the caller, and the members of the organizations that they manage.
    async fn find_visible_people(
        &self,
        caller: &Caller,
        requested: &RequestedScope,
        has: impl Fn(&OrganizationId, Permission) -> bool,
    ) -> Result<Option<BTreeSet<PrincipalId>>> {
        let own = caller.own_organizations();
        let (organizations, includes_caller) = match requested {
            RequestedScope::Organizations(some) => {
                (some, caller.memberships.iter().any(|member| some.contains(&member.organization)))
            }
            _ if caller.account.has(Permission::ManageMembers) => return Ok(None),
            _ => (&own, true),
        };
        let may_see_own = includes_caller && caller.require_scope(OWN_LOGINS).is_ok();
        let mut people = may_see_own.then_some(caller.principal).into_iter().collect::<BTreeSet<_>>();
        for organization in organizations.iter().filter(|one| has(one, Permission::ManageMembers)) {
            let sql = "SELECT principal FROM members WHERE organization = $1";
            let rows = self.read_unscoped(&System::for_granted_reads(), sql, values![*organization]).await?;
            people.extend(rows.read_all(|columns| Ok(PrincipalId(columns.id()?)))?);
        }
        Ok(Some(people))
    }

    /// Whether all of some organizations exist and were not deleted.
    pub(super) async fn all_exist(&self, organizations: &BTreeSet<OrganizationId>) -> Result<bool> {
        let sql = match self.database.kind() {
            "sqlite" => {
                "SELECT COUNT(*) FROM json_each($1) k CROSS JOIN organizations o ON o.id = unhex(k.value)
                 WHERE o.deleted_us IS NULL"
            }
            _ => {
                "SELECT COUNT(*) FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k
                 JOIN organizations o ON o.id = CAST(k AS UUID) WHERE o.deleted_us IS NULL"
            }
        };
        let ids = organizations.iter().map(|one| one.0.simple().to_string()).collect::<Vec<_>>();
        let rows =
            self.read_unscoped(&System::for_granted_reads(), sql, values![json!(ids).to_string()]).await?;
        let existing = rows.read_one(crate::database::Columns::count)?;
        Ok(existing == organizations.len() as u64)
    }
}
