//! Invitations into an organization, by address.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Granted, GrantedPerson, ManageMembers};
use crate::audit::attribution::{Attribution, Grant};
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError, Statement};
use crate::rows::{one_row, values};
use crate::{Error, Result, Store, System};
use domain::Refusal;
use domain::ids::{InvitationId, OrganizationId, PrincipalId};
use domain::invitation::{Invitation, MAX_OPEN};
use domain::permission::Role;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::{Value as Json, json};

/// An invitation, with details for the invited person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// The name of the organization.
    pub organization: String,
    /// The address of the inviter, if they are a person.
    pub inviter: Option<String>,
}

macro_rules! columns {
    () => {
        "i.id, i.organization, i.email, i.role, i.inviter, i.created_us, i.expires_us"
    };
}

/// Whether the inviter may still invite: an invitation does not outlive its maker's permission.
macro_rules! inviter_may {
    () => {
        "EXISTS (SELECT 1 FROM principals p WHERE p.id = inviter AND p.state = 'active' AND (p.account_role = 'admin'
                 OR EXISTS (SELECT 1 FROM members m WHERE m.organization = invitations.organization
                            AND m.principal = p.id AND m.role = 'admin')))"
    };
}

pub(crate) const HERE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM invitations i WHERE i.organization = $1 AND i.state = 'open' AND i.expires_us > $2
     ORDER BY i.organization, i.id"
);

const ONE: &str =
    concat!("SELECT ", columns!(), ", i.state FROM invitations i WHERE i.organization = $1 AND i.id = $2");

pub(crate) const OF_PERSON: &str = concat!(
    "SELECT ",
    columns!(),
    ", o.name, p.email FROM principals own
     JOIN invitations i ON i.email = own.email AND i.state = 'open'
     JOIN organizations o ON o.id = i.organization AND o.deleted_us IS NULL
     JOIN principals p ON p.id = i.inviter AND p.state = 'active'
     LEFT JOIN members m ON m.organization = i.organization AND m.principal = i.inviter
     WHERE own.id = $1 AND own.kind = 'user' AND i.expires_us > $2
       AND (p.account_role = 'admin' OR m.role = 'admin')
     ORDER BY i.created_us, i.id"
);

/// Accepts an invitation. It must be for the address that the person has at this moment.
const ACCEPT: &str = concat!(
    "UPDATE invitations SET state = 'accepted', ended_us = $4
     WHERE organization = $2 AND id = $3 AND state = 'open' AND expires_us > $4
       AND email = (SELECT own.email FROM principals own WHERE own.id = $1 AND own.kind = 'user' AND own.state = 'active')
       AND ",
    inviter_may!()
);

const REJECT: &str = "
    UPDATE invitations SET state = 'rejected', ended_us = $4
    WHERE organization = $2 AND id = $3 AND state = 'open' AND expires_us > $4
      AND email = (SELECT own.email FROM principals own WHERE own.id = $1 AND own.kind = 'user')";

impl Store {
    /// Stores an invitation.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when the address belongs to a member or has an open invitation;
    /// [`Refusal::InvitationLimit`].
    pub async fn create_invitation(&self, granted: &Granted<ManageMembers>, new: &Invitation) -> Result<()> {
        let organization = granted.organization();
        assert_eq!(organization, new.organization, "a grant is for its own organization only");
        let email = new.email.as_str();
        let mut statements = vec![
            granted.any_rows(
                "UPDATE invitations SET state = 'expired', ended_us = expires_us
                 WHERE organization = $1 AND state = 'open' AND expires_us <= $2",
                values![new.created],
            ),
            granted.one_row(
                "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
                values![],
            ),
            granted.one_row(
                "UPDATE organizations SET name = name WHERE id = $1 AND NOT EXISTS (
                     SELECT 1 FROM members m WHERE m.organization = $1 AND m.principal IN (
                         SELECT id FROM principals WHERE email = $2
                         UNION ALL SELECT id FROM principals WHERE wanted_email = $2))",
                values![email],
            ),
            granted.one_row(
                "UPDATE organizations SET name = name WHERE id = $1 AND (
                     SELECT COUNT(*) FROM invitations i WHERE i.organization = $1 AND i.state = 'open') < $2",
                values![MAX_OPEN],
            ),
            insert(granted, new),
        ];
        statements.extend(record_creation(granted, new.id.0));
        let unmet = |at| -> Error {
            match at {
                1 => Refusal::NotFound(Thing::Organization).into(),
                2 => Refusal::Exists("a member with this address".to_owned()).into(),
                3 => Refusal::InvitationLimit { max: MAX_OPEN }.into(),
                _ => Error::Stale,
            }
        };
        let details = json!({ "email": new.email, "role": new.role.name() });
        let entry = audit_entry(granted.attribution(), "invitation.create", new, details, new.created);
        match self.apply(batch_with_entry([organization], statements, &entry)?, unmet).await {
            Err(Error::Stale) => {
                Err(Refusal::Exists("an open invitation for this address".to_owned()).into())
            }
            outcome => outcome,
        }
    }

    /// An invitation, and whether it is open.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_invitation(
        &self,
        granted: &Granted<ManageMembers>,
        id: InvitationId,
        now: Micros,
    ) -> Result<(Invitation, bool)> {
        let rows = self.read(granted, ONE, values![id]).await?;
        let found = rows.read_first(|columns| Ok((read_invitation(columns)?, columns.text()?)))?;
        let (found, state) = found.ok_or_else(no_such_invitation)?;
        let open = state == "open" && found.expires > now;
        Ok((found, open))
    }

    /// Whether an address has an open invitation from any organization.
    pub async fn is_invited(&self, system: &System, email: &str, now: Micros) -> Result<bool> {
        let sql = "SELECT 1 FROM invitations WHERE email = $1 AND state = 'open' AND expires_us > $2 LIMIT 1";
        Ok(!self.read_unscoped(system, sql, values![email, now]).await?.is_empty())
    }

    /// The organization's open invitations, oldest first.
    pub async fn list_invitations(
        &self,
        granted: &Granted<ManageMembers>,
        now: Micros,
    ) -> Result<Vec<Invitation>> {
        Ok(self.read(granted, Scan(HERE), values![now]).await?.read_all(read_invitation)?)
    }

    /// Cancels an open invitation.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn cancel_invitation(
        &self,
        granted: &Granted<ManageMembers>,
        id: InvitationId,
        now: Micros,
    ) -> Result<()> {
        let organization = granted.organization();
        let sql = "UPDATE invitations SET state = 'cancelled', ended_us = $3
                   WHERE organization = $1 AND id = $2 AND state = 'open' AND expires_us > $3";
        let statement = granted.one_row(sql, values![id, now]);
        let entry = NewAuditEntry::new(granted.attribution(), "invitation.cancel", id, json!({}), now)
            .with_organization(Some(organization));
        let batch = batch_with_entry([organization], vec![statement], &entry)?;
        self.apply(batch, |_| no_such_invitation()).await
    }

    /// The open invitations for the person's address, oldest first.
    pub async fn list_received_invitations(
        &self,
        own: &GrantedPerson,
        now: Micros,
    ) -> Result<Vec<ReceivedInvitation>> {
        let rows = self.read(own, OF_PERSON, values![now]).await?;
        let read_row = |columns: &mut Columns| {
            Ok(ReceivedInvitation {
                invitation: read_invitation(columns)?,
                organization: columns.text()?,
                inviter: columns.maybe_text()?,
            })
        };
        Ok(rows.read_all(read_row)?)
    }

    /// Accepts an invitation: the person becomes a member. It can be accepted once, even when several requests race.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for an invitation to another address.
    pub async fn accept_invitation(&self, own: &GrantedPerson, id: InvitationId, now: Micros) -> Result<()> {
        let found = self.invitation_of(own, id, now).await?;
        let organization = found.organization;
        let accept = own.one_row(ACCEPT, values![organization, id, now]);
        // Not of the person.
        let organization_exists = one_row(
            "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
            values![organization],
        );
        // A person who became a member meanwhile keeps their role.
        let member = own.any_rows(
            "INSERT INTO members (principal, organization, role, created_us) VALUES ($1, $2, $3, $4)
             ON CONFLICT (organization, principal) DO NOTHING",
            values![organization, found.role.name(), now],
        );
        let details = json!({ "role": found.role.name(), "inviter": found.inviter });
        let entry = audit_entry(own.attribution(), "invitation.accept", &found, details, now);
        let statements =
            [accept, organization_exists, member].into_iter().chain(record_creation(own, id.0)).collect();
        let batch = batch_with_entry([organization], statements, &entry)?;
        self.apply(batch, |_| no_such_invitation()).await
    }

    /// Rejects an invitation.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for an invitation to another address.
    pub async fn reject_invitation(&self, own: &GrantedPerson, id: InvitationId, now: Micros) -> Result<()> {
        let found = self.invitation_of(own, id, now).await?;
        let reject = own.one_row(REJECT, values![found.organization, id, now]);
        let entry = audit_entry(own.attribution(), "invitation.reject", &found, json!({}), now);
        let statements = [reject].into_iter().chain(record_creation(own, id.0)).collect();
        let batch = batch_with_entry([found.organization], statements, &entry)?;
        self.apply(batch, |_| no_such_invitation()).await
    }

    async fn invitation_of(&self, own: &GrantedPerson, id: InvitationId, now: Micros) -> Result<Invitation> {
        let all = self.list_received_invitations(own, now).await?;
        let found = all.into_iter().map(|invited| invited.invitation).find(|one| one.id == id);
        found.ok_or_else(no_such_invitation)
    }
}

fn audit_entry(
    by: Attribution,
    action: &str,
    invitation: &Invitation,
    details: Json,
    at: Micros,
) -> NewAuditEntry {
    NewAuditEntry::new(by, action, invitation.id, details, at)
        .with_organization(Some(invitation.organization))
}

fn no_such_invitation() -> Error {
    Refusal::NotFound(Thing::Invitation).into()
}

fn insert(granted: &Granted<ManageMembers>, new: &Invitation) -> Statement {
    granted.one_row(
        "INSERT INTO invitations (organization, id, email, role, inviter, created_us, expires_us, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'open')",
        values![new.id, new.email.as_str(), new.role.name(), new.inviter, new.created, new.expires],
    )
}

fn read_invitation(columns: &mut Columns) -> Result<Invitation, DatabaseError> {
    Ok(Invitation {
        id: InvitationId(columns.id()?),
        organization: OrganizationId(columns.id()?),
        email: columns.text()?,
        role: columns.word(Role::parse)?,
        inviter: PrincipalId(columns.id()?),
        created: columns.time()?,
        expires: columns.time()?,
    })
}
