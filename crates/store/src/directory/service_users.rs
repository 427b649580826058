//! Service users, for those who manage their home.

use crate::access::lane::Scan;
use crate::access::{Granted, GrantedAccount, ManageServiceUsers};
use crate::directory::members::read_member;
use crate::directory::principals::{principal_columns, read_principal};
use crate::rows::values;
use crate::{Result, Store};
use domain::ids::PrincipalId;
use domain::permission::Role;
use domain::principal::Principal;

macro_rules! at_home {
    ($and:literal) => {
        concat!(
            "SELECT ",
            principal_columns!(),
            ", m.role FROM members m JOIN principals p ON p.id = m.principal
             WHERE m.organization = $1 AND p.default_organization = $1 AND p.kind = 'service_user'
               AND p.state <> 'deleted' ",
            $and,
            " ORDER BY p.number"
        )
    };
}

macro_rules! of_account {
    ($and:literal) => {
        concat!(
            "SELECT ",
            principal_columns!(),
            " FROM principals p
             WHERE p.kind = 'service_user' AND p.account_role IS NOT NULL AND p.default_organization IS NULL
               AND p.state <> 'deleted' ",
            $and,
            " ORDER BY p.number"
        )
    };
}

impl Store {
    /// The service users whose home is the organization, with their roles, oldest first; only one if `one` is given.
    pub async fn list_service_users(
        &self,
        granted: &Granted<ManageServiceUsers>,
        one: Option<PrincipalId>,
    ) -> Result<Vec<(Principal, Role)>> {
        let rows = match one {
            Some(id) => self.read(granted, at_home!("AND p.id = $2"), values![id]).await?,
            None => self.read(granted, Scan(at_home!("")), values![]).await?,
        };
        Ok(rows.read_all(read_member)?)
    }

    /// The service users whose home is the account, oldest first; only one if `one` is given.
    pub async fn list_account_service_users(
        &self,
        granted: &GrantedAccount<ManageServiceUsers>,
        one: Option<PrincipalId>,
    ) -> Result<Vec<Principal>> {
        let [rows] = match one {
            Some(id) => self.read_account(granted, [(of_account!("AND p.id = $1"), values![id])]).await?,
            None => self.read_account(granted, [(Scan(of_account!("")), values![])]).await?,
        };
        Ok(rows.read_all(read_principal)?)
    }
}
