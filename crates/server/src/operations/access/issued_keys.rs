//! Keys that an operator on the command line issues to people and service users.

use crate::failure::Failure;
use crate::operations::access::own_keys::CreatedKey;
use crate::operations::access::service_users::{self, KeyTerms, ServiceUserHome};
use crate::services::Services;
use domain::principal::{Principal, PrincipalKind};
use store::System;
use store::access::ManageMembers;

/// Creates a key for its owner.
///
/// # Errors
/// [`domain::Refusal::NotFound`] for an organization that the owner has no role in, and for an owner that was deleted
/// meanwhile.
pub async fn issue_key(
    services: &Services,
    system: &System,
    owner: &Principal,
    terms: &KeyTerms<'_>,
) -> Result<CreatedKey, Failure> {
    if let Some(organization) = terms.organization {
        let granted = system.grant::<ManageMembers>(organization);
        services.store.load_principal_in_organization(&granted, owner.id).await?;
    }
    if owner.kind == PrincipalKind::ServiceUser {
        let home = ServiceUserHome::new(system, owner);
        return service_users::create_service_user_key(services, &home, owner.id, terms).await;
    }
    let (credential, secret) = terms.build_key(services, owner.id);
    services.store.create_credential(system, &credential, &secret.hash()).await?;
    Ok(CreatedKey { credential, secret: Some(secret) })
}
