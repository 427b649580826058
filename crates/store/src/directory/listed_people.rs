//! The people and service users of a scope, as those see them who manage its members.

use crate::access::lane::Scan;
use crate::access::scope::ScopeGrant;
use crate::access::{ManageMembers, System};
use crate::database::{Columns, DatabaseError};
use crate::devices::overview::{of_organizations, write_organizations};
use crate::directory::principals::{principal_columns, read_principal};
use crate::rows::values;
use crate::{Result, Store};
use domain::ids::OrganizationId;
use domain::permission::Role;
use domain::principal::{Membership, Principal};
use domain::time::Micros;

/// A person or service user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPerson {
    /// The principal.
    pub principal: Principal,
    /// Their memberships in the scope.
    pub memberships: Vec<Membership>,
    /// When a key or an open login session of theirs was last used, accurate to about 30 s.
    pub last_used: Option<Micros>,
}

/// A row for each membership.
macro_rules! person_columns {
    () => {
        concat!(
            "SELECT ",
            principal_columns!(),
            ", o.id, m.role,
             (SELECT MAX(c.last_used_us) FROM credentials c WHERE c.principal = p.id),
             (SELECT MAX(s.activity_us) FROM sessions s
              WHERE s.principal = p.id AND s.kind = 'login' AND s.ended_us IS NULL)
             FROM principals p "
        )
    };
}

const IN_ORGANIZATIONS: [&str; 2] = of_organizations!(
    concat!(
        person_columns!(),
        "JOIN members m ON m.principal = p.id JOIN organizations o ON o.id = m.organization
         WHERE p.state <> 'deleted' AND m.organization IN "
    ),
    " ORDER BY p.number, o.id"
);

const IN_ACCOUNT: &str = concat!(
    person_columns!(),
    "LEFT JOIN members m ON m.principal = p.id
     LEFT JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
     WHERE p.state <> 'deleted' ORDER BY p.number, o.id"
);

impl Store {
    /// The people and service users of a scope, oldest first: members of the organizations, or all of the account.
    pub async fn list_people_in_scope(
        &self,
        granted: &ScopeGrant<ManageMembers>,
    ) -> Result<Vec<ListedPerson>> {
        let rows = match granted.organizations() {
            None => self.read_unscoped(&System::for_granted_reads(), Scan(IN_ACCOUNT), values![]).await?,
            Some(some) => {
                let sql = self.choose_dialect(IN_ORGANIZATIONS);
                let some = write_organizations(some.into_iter());
                self.read_unscoped(&System::for_granted_reads(), Scan(sql), values![some]).await?
            }
        };
        let mut people: Vec<ListedPerson> = Vec::new();
        for (person, membership) in rows.read_all(read_row)? {
            if people.last().is_none_or(|last| last.principal.id != person.principal.id) {
                people.push(person);
            }
            if let Some(last) = people.last_mut() {
                last.memberships.extend(membership);
            }
        }
        Ok(people)
    }
}

fn read_row(columns: &mut Columns) -> Result<(ListedPerson, Option<Membership>), DatabaseError> {
    let principal = read_principal(columns)?;
    let (organization, role) = (columns.maybe_id()?.map(OrganizationId), columns.maybe_word(Role::parse)?);
    // Memberships of deleted organizations do not count.
    let membership = organization.zip(role).map(|(organization, role)| Membership { organization, role });
    let last_used = columns.maybe_time()?.max(columns.maybe_time()?);
    Ok((ListedPerson { principal, memberships: Vec::new(), last_used }, membership))
}
