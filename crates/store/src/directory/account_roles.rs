//! Roles of people in the whole account.

use crate::access::System;
use crate::audit::attribution::Attribution;
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::rows::{one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::permission::AccountRole;
use domain::principal::PrincipalKind;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::json;

const HELD: &str = "SELECT account_role, account_by_groups FROM principals WHERE id = $1 AND kind = 'user' AND state <> 'deleted'";

const SET: &str = "
    UPDATE principals SET account_role = $2, account_by_groups = $3, updated_us = $4
    WHERE id = $1 AND kind = 'user' AND state <> 'deleted' AND COALESCE(account_role, '') = $5
      AND account_by_groups = $6";

/// Where a role in the account comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleSource {
    /// An administrator.
    Hand,
    /// The groups that an issuer reports. They change only roles that came from groups.
    Groups,
}

impl Store {
    /// Sets or removes a person's role in the whole account. Permissions are read with each request, so the change
    /// counts at once.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such person; [`Refusal::Invalid`] for a role that only service users
    /// can have; [`Error::Stale`] when others change the role all the time.
    pub async fn set_account_role(
        &self,
        system: &System,
        person: PrincipalId,
        role: Option<AccountRole>,
        source: RoleSource,
        now: Micros,
    ) -> Result<()> {
        if role.is_some_and(|role| !role.fits(PrincipalKind::User)) {
            let names = AccountRole::names_for(PrincipalKind::User).join(", ");
            return Err(Refusal::invalid("account role", format!("one of {names}")).into());
        }
        let by_groups = source == RoleSource::Groups;
        for _ in 0..ATTEMPTS {
            let rows = self.read_unscoped(system, HELD, values![person]).await?;
            let current =
                rows.read_first(|columns| Ok((columns.maybe_word(AccountRole::parse)?, columns.flag()?)))?;
            let (previous, previous_by_groups) = current.ok_or(Refusal::NotFound(Thing::Principal))?;
            let is_changeable = previous.is_none() || previous_by_groups;
            if by_groups && (!is_changeable || previous == role) {
                return Ok(());
            }
            let name = |role: Option<AccountRole>| role.map(AccountRole::name);
            let marked = by_groups && role.is_some();
            let set = values![
                person,
                name(role),
                i64::from(marked),
                now,
                name(previous).unwrap_or_default(),
                i64::from(previous_by_groups)
            ];
            let by = if by_groups { Attribution { principal: None, ..system.0 } } else { system.0 };
            let details = json!({ "role": name(role), "by": if by_groups { "groups" } else { "hand" } });
            let entry = NewAuditEntry::new(by, "user.account_role", person, details, now)
                .with_previous(json!({ "role": name(previous) }));
            match self.apply(batch_with_entry([], vec![one_row(SET, set)], &entry)?, |_| Error::Stale).await {
                // The role was changed meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }
}
