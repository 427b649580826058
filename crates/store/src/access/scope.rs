//! Permissions in all organizations that a request asks for.

use super::visible::RequestedScope;
use super::{Caller, Granted, GrantedAccount, PermissionType};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::OrganizationId;
use domain::permission::{PermissionSet, Role};

/// The proof that a caller has permission `P` in a scope.
#[derive(Debug)]
pub enum ScopeGrant<P: PermissionType> {
    /// In the whole account.
    Account(GrantedAccount<P>),
    /// In each of some organizations, at least one.
    Organizations(Vec<Granted<P>>),
}

impl<P: PermissionType> ScopeGrant<P> {
    /// The organizations; `None` for the whole account.
    pub fn organizations(&self) -> Option<Vec<OrganizationId>> {
        match self {
            ScopeGrant::Account(_) => None,
            ScopeGrant::Organizations(some) => Some(some.iter().map(Granted::organization).collect()),
        }
    }
}

impl Store {
    /// Grants a caller a permission in the scope that a request asks for: of everything, where the caller has it.
    /// `is_admitted` says whether a role counts for the caller, who may lack the second factor that it demands.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`] for a worker or a host, [`Refusal::SecondFactorRequired`], and [`Refusal::Forbidden`];
    /// [`Refusal::NotAMember`] for an organization that does not exist or that the caller has no role in.
    pub async fn authorize_scope<P: PermissionType>(
        &self,
        caller: &Caller,
        requested: &RequestedScope,
        is_admitted: impl Fn(Role) -> bool,
    ) -> Result<ScopeGrant<P>> {
        caller.refuse_connector()?;
        if caller.lacks_factor {
            return Err(Refusal::SecondFactorRequired.into());
        }
        let in_account = caller.authorize_in_account::<P>();
        let authorize = |one: OrganizationId| caller.authorize_in::<P>(one, &is_admitted);
        let some = match (requested, in_account) {
            (RequestedScope::Account | RequestedScope::Everything, Ok(granted)) => {
                return Ok(ScopeGrant::Account(granted));
            }
            (RequestedScope::Account, Err(refusal)) => return Err(refusal.into()),
            (RequestedScope::Everything, Err(refusal)) => {
                let mut some = Vec::new();
                for granted in caller.own_organizations().into_iter().filter_map(|one| authorize(one).ok()) {
                    if self.all_exist(&[granted.organization()].into()).await? {
                        some.push(granted);
                    }
                }
                if some.is_empty() {
                    return Err(refusal.into());
                }
                some
            }
            (RequestedScope::Organizations(some), _) => {
                let is_outside = |one: &OrganizationId| {
                    caller.permissions_in(*one, &is_admitted) == PermissionSet::default()
                };
                if some.iter().any(is_outside) || !self.all_exist(some).await? {
                    return Err(Refusal::NotAMember.into());
                }
                some.iter().map(|one| authorize(*one)).collect::<Result<Vec<_>, _>>()?
            }
        };
        Ok(ScopeGrant::Organizations(some))
    }
}
