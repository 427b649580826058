//! People: profiles, sub users and passwords.

use crate::access::key_families::KeyRoot;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Caller, GrantedPerson, ManageMembers, System};
use crate::audit::attribution::{Attribution, Grant};
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError, Statement};
use crate::directory::principals::{NewPrincipal, principal_columns, read_principal};
use crate::logins::sessions::end_all_statements;
use crate::rows::{any_rows, batch, one_row, values};
use crate::{ATTEMPTS, Error, Granted, Result, Store};
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::login::{PersonAccess, PersonRelation, SubUserTies, relation_to_person};
use domain::permission::{Permission, Role};
use domain::principal::{Person, PrincipalState};
use domain::refusal::Thing;
use domain::session::Ending;
use domain::time::Micros;
use serde_json::json;

/// The columns of a person; see [`read_person`].
macro_rules! columns {
    () => {
        concat!(principal_columns!(), ", p.parent, p.first_name, p.last_name, p.updated_us")
    };
}

const BY_NUMBER: &str =
    concat!("SELECT ", columns!(), " FROM principals p WHERE p.number = $1 AND p.state <> 'deleted'");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM principals p WHERE p.id = $1");
/// The hash is NULL when somebody else chose the password, in an organization, and the person has a role in the
/// account or another membership: such a password must not give access elsewhere.
const BY_EMAIL: &str = concat!(
    "SELECT ",
    columns!(),
    ", CASE WHEN p.password_given_in IS NULL
              OR (p.account_role IS NULL AND NOT EXISTS (
                  SELECT 1 FROM members m WHERE m.principal = p.id AND m.organization <> p.password_given_in))
            THEN p.password_hash END
     FROM principals p WHERE p.email = $1 AND p.kind = 'user'"
);

/// A person and their sub users.
const OWN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM principals p WHERE (p.id = $1 OR p.parent = $1) AND p.kind = 'user' AND p.state <> 'deleted'"
);
/// The memberships of a person's sub users.
const MEMBERSHIPS_BELOW: &str = "SELECT m.principal, m.organization FROM principals p
     JOIN members m ON m.principal = p.id WHERE p.parent = $1";
const MEMBERSHIPS: &str = "SELECT m.principal, m.organization FROM members m WHERE m.principal = $1";
const EVERYBODY: &str =
    concat!("SELECT ", columns!(), " FROM principals p WHERE p.kind = 'user' AND p.state <> 'deleted'");

/// What a sign-in is checked against.
#[derive(Clone)]
pub struct SignInRecord {
    /// The person with the address.
    pub person: Person,
    /// The hash of their password, if they have one.
    pub password_hash: Option<String>,
}

/// A password to set.
#[derive(Clone, Copy)]
pub struct NewPassword<'a> {
    /// The hash that the change was decided on; `None` where there was no password.
    pub decided_on: Option<&'a str>,
    /// The hash of the new password.
    pub hash: &'a str,
    /// Whether all keys of the person and their families are revoked as well.
    pub revokes_keys: bool,
}

impl Store {
    /// The person with an address. The address must be normalized.
    pub async fn find_person_by_email(&self, system: &System, email: &str) -> Result<Option<SignInRecord>> {
        let rows = self.read_unscoped(system, BY_EMAIL, values![email]).await?;
        let record = |columns: &mut Columns| {
            Ok(SignInRecord { person: read_person(columns)?, password_hash: columns.maybe_text()? })
        };
        Ok(rows.read_first(record)?)
    }

    /// Whether the address that is shown for a person is theirs; see [`Store::create_sub_user`].
    pub async fn has_own_address(&self, granted: &GrantedPerson) -> Result<bool> {
        let sql = "SELECT 1 FROM principals WHERE id = $1 AND email IS NOT NULL";
        Ok(!self.read(granted, sql, values![]).await?.is_empty())
    }

    /// The person of a grant.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_person(&self, granted: &GrantedPerson) -> Result<Person> {
        let rows = self.read(granted, BY_ID, values![]).await?;
        rows.read_first(read_person)?.ok_or(Refusal::NotFound(Thing::Principal).into())
    }

    /// Grants the caller access to the person with a number: themselves, a sub user of theirs (see
    /// [`domain::login::relation_to_person`]), or anybody for an administrator of the account. `own` and `other` are the scopes
    /// that the credential needs.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the caller cannot see the person; [`Refusal::Forbidden`] when they can see but not
    /// change them; [`Refusal::OutOfScope`].
    pub async fn authorize_over_person(
        &self,
        caller: &Caller,
        number: i64,
        access: PersonAccess,
        own: &'static str,
        other: &'static str,
    ) -> Result<GrantedPerson> {
        let rows = self.read_unscoped(&System::for_granted_reads(), BY_NUMBER, values![number]).await?;
        let found = rows.read_first(read_person)?.ok_or(Refusal::NotFound(Thing::Principal))?;
        self.authorize_over(caller, &found, access, own, other).await
    }

    /// Grants the caller access to change the owner of a session: see [`Store::authorize_over_person`].
    ///
    /// # Errors
    /// Those of [`Store::authorize_over_person`].
    pub async fn authorize_over_owner(&self, caller: &Caller, owner: PrincipalId) -> Result<GrantedPerson> {
        if owner == caller.principal() {
            return Ok(caller.authorize_self("write:user")?);
        }
        let rows = self.read_unscoped(&System::for_granted_reads(), BY_ID, values![owner]).await?;
        let found = rows.read_first(read_person)?.ok_or(Refusal::NotFound(Thing::Principal))?;
        self.authorize_over(caller, &found, PersonAccess::Change, "write:user", "write:sub-user").await
    }

    async fn authorize_over(
        &self,
        caller: &Caller,
        found: &Person,
        access: PersonAccess,
        own: &'static str,
        other: &'static str,
    ) -> Result<GrantedPerson> {
        let not_found = || Error::from(Refusal::NotFound(Thing::Principal));
        let system = System::for_granted_reads();
        let memberships = self.read_unscoped(&system, MEMBERSHIPS, values![found.principal.id]).await?;
        let memberships = memberships.read_all(read_member)?;
        let (ties, person) = (build_ties(caller, found, &memberships), found.principal.id);
        let administrator = caller.authorize_in_account::<ManageMembers>().is_ok();
        let relate = |access| relation_to_person(caller.principal(), administrator, person, access, ties);
        let visible = relate(PersonAccess::See).ok_or_else(not_found)?;
        caller.require_scope(if visible == PersonRelation::Same { own } else { other })?;
        let relation = relate(access).ok_or(Refusal::Forbidden(Permission::ManageMembers))?;
        Ok(GrantedPerson { person, by: caller.attribution(), relation })
    }

    /// The people whom the caller can see: themselves and their sub users, or everybody for an administrator of the
    /// account.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub async fn list_people(&self, caller: &Caller) -> Result<Vec<Person>> {
        caller.require_scope("read:sub-user")?;
        let scan_caller =
            caller.attribution().scan_caller(caller.organization().unwrap_or(OrganizationId::ACCOUNT));
        if caller.authorize_in_account::<ManageMembers>().is_ok() {
            let everybody = self.read_one::<Scan>(scan_caller, any_rows(EVERYBODY, values![])).await?;
            return Ok(everybody.read_all(read_person)?);
        }
        let own = [
            any_rows(OWN, values![caller.principal()]),
            any_rows(MEMBERSHIPS_BELOW, values![caller.principal()]),
        ];
        let [people, memberships] = self.read_in_lane::<Scan, 2>(scan_caller, own).await?;
        let (mut people, memberships) = (people.read_all(read_person)?, memberships.read_all(read_member)?);
        people.retain(|one| {
            let ties = build_ties(caller, one, &memberships);
            relation_to_person(caller.principal(), false, one.principal.id, PersonAccess::See, ties).is_some()
        });
        Ok(people)
    }

    /// The parent of a person.
    pub async fn load_parent(&self, _: &GrantedPerson, child: &Person) -> Result<Option<Person>> {
        let Some(parent) = child.parent else { return Ok(None) };
        let rows = self.read_unscoped(&System::for_granted_reads(), BY_ID, values![parent]).await?;
        Ok(rows.read_first(read_person)?)
    }

    /// Creates a sub user of the caller as a member of the caller's organization. Returns the number.
    ///
    /// When another user has the address, the new user only shows it, and nobody can sign in as them. So the maker
    /// does not learn that the address is known.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when the caller has a sub user with the address; [`Error::Stale`] when others take and free
    /// the address all the time.
    pub async fn create_sub_user(
        &self,
        granted: &Granted<ManageMembers>,
        parent: PrincipalId,
        new: &Person,
        password_hash: Option<&str>,
        role: Role,
    ) -> Result<i64> {
        let system = System::for_granted_reads().attribute_to(granted.attribution());
        let member = Some((granted.organization(), role));
        let email = new.principal.email.as_deref().unwrap_or_default();
        let own = "SELECT 1 FROM principals WHERE parent = $1 AND COALESCE(email, wanted_email) = $2";
        if !self.read_unscoped(&system, own, values![parent, email]).await?.is_empty() {
            return Err(Refusal::Exists(format!("a sub user with the address {email}")).into());
        }
        let details = any_rows(
            "UPDATE principals SET parent = $2, first_name = $3, last_name = $4,
                 password_given_in = CASE WHEN password_hash IS NULL THEN password_given_in ELSE $5 END
             WHERE id = $1",
            values![
                new.principal.id,
                parent,
                new.first_name.as_str(),
                new.last_name.as_str(),
                granted.organization()
            ],
        );
        for _ in 0..ATTEMPTS {
            let address_taken = self.is_taken(email).await?;
            let row = NewPrincipal { principal: &new.principal, password_hash, member, address_taken };
            match self.insert_principal(&system, &row, vec![details.clone()], None).await {
                // Somebody else took the address meanwhile.
                Err(Error::Refused(Refusal::Exists(_))) if !address_taken => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    /// Changes a person's names; `None` leaves a name as it is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn set_names(
        &self,
        granted: &GrantedPerson,
        first: Option<&str>,
        last: Option<&str>,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE principals SET first_name = COALESCE($2, first_name), last_name = COALESCE($3, last_name),
                       updated_us = $4 WHERE id = $1 AND state <> 'deleted'";
        let statement = granted.one_row(sql, values![first, last, now]);
        self.apply(batch([], vec![statement]), |_| Refusal::NotFound(Thing::Principal).into()).await
    }

    /// The hash of the person's password, for checking it before a new one is set.
    pub async fn load_password_hash(&self, granted: &GrantedPerson) -> Result<Option<String>> {
        let sql = "SELECT password_hash FROM principals WHERE id = $1";
        let rows = self.read(granted, sql, values![]).await?;
        Ok(rows.read_first(Columns::maybe_text)?.flatten())
    }

    /// Sets a person's password and ends their login sessions, except `excepted`.
    ///
    /// # Errors
    /// [`Error::Stale`] when the password was changed meanwhile.
    pub async fn set_password(
        &self,
        granted: &GrantedPerson,
        new: &NewPassword<'_>,
        excepted: Option<SessionId>,
        ending: &Ending,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE principals SET password_hash = $3, updated_us = $4,
                       password_given_in = CASE WHEN CAST($5 AS BIGINT) = 1 THEN default_organization END
                   WHERE id = $1 AND state <> 'deleted' AND COALESCE(password_hash, '') = $2";
        let person = granted.person();
        let by_maker = i64::from(granted.relation() == PersonRelation::Maker);
        let set = granted.one_row(sql, values![new.decided_on.unwrap_or_default(), new.hash, now, by_maker]);
        let mut statements = password_statements(set, person, excepted, ending, now);
        let mut details = json!({});
        if new.revokes_keys {
            let keys = KeyRoot::Owner(person);
            details = json!({ "revoked": self.list_valid_keys(keys).await? });
            statements.extend(keys.revocation(granted.actor(), now));
        }
        let entry = NewAuditEntry::new(granted.attribution(), "password.change", person, details, now);
        self.apply(batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?, |_| Error::Stale).await
    }

    /// Replaces the hash of an unchanged password.
    ///
    /// # Errors
    /// [`Error::Stale`] when the hash is no longer `current`: another sign-in replaced it, or the password was changed.
    pub async fn replace_password_hash(
        &self,
        _: &System,
        person: PrincipalId,
        current: &str,
        hash: &str,
    ) -> Result<()> {
        let sql = "UPDATE principals SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
        self.apply(batch([], vec![one_row(sql, values![person, current, hash])]), |_| Error::Stale).await
    }

    /// Resets a password by the token that was sent to the person's address. Uses up the token, verifies the address
    /// and ends all login sessions of the person.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the token is unknown, used or expired.
    pub async fn restore_password(
        &self,
        system: &System,
        token: &SecretHash,
        hash: &str,
        ending: &Ending,
        now: Micros,
    ) -> Result<PrincipalId> {
        let person = self.token_owner(system, "restore", token, now).await?;
        let set = one_row(
            "UPDATE principals SET password_hash = $2, updated_us = $3, password_given_in = NULL,
                 state = CASE WHEN state = 'pending' THEN 'active' ELSE state END
             WHERE id = $1 AND state IN ('active', 'pending')",
            values![person, hash, now],
        );
        let mut statements = vec![use_token_statement("restore", token, now)];
        statements.extend(password_statements(set, person, None, ending, now));
        let entry = NewAuditEntry::new(
            attribute_to_person(system, person),
            "password.restore",
            person,
            json!({}),
            now,
        );
        let batch = batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?;
        self.apply(batch, |_| Error::Unauthenticated).await?;
        Ok(person)
    }

    /// Verifies an address by the token that was sent to it. Returns the person.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the token is unknown, used or expired.
    pub async fn verify_address(&self, system: &System, token: &SecretHash, now: Micros) -> Result<Person> {
        let id = self.token_owner(system, "verify", token, now).await?;
        let set = one_row(
            "UPDATE principals SET state = 'active', updated_us = $2 WHERE id = $1 AND state = 'pending'",
            values![id, now],
        );
        let statements = vec![use_token_statement("verify", token, now), set];
        let entry = NewAuditEntry::new(attribute_to_person(system, id), "user.verify", id, json!({}), now);
        self.apply(batch_with_entry([], statements, &entry)?, |_| Error::Unauthenticated).await?;
        let rows = self.read_unscoped(system, BY_ID, values![id]).await?;
        rows.read_first(read_person)?.ok_or(Error::Unauthenticated)
    }

    /// Stores a token that is sent to a person. It replaces earlier tokens with this purpose.
    pub async fn store_one_time_token(
        &self,
        _: &System,
        person: PrincipalId,
        purpose: &'static str,
        token: &SecretHash,
        expires: Micros,
    ) -> Result<()> {
        let statements = vec![
            any_rows(
                "DELETE FROM one_time_tokens WHERE principal = $1 AND purpose = $2",
                values![person, purpose],
            ),
            any_rows(
                "INSERT INTO one_time_tokens (hash, principal, purpose, expires_us) VALUES ($1, $2, $3, $4)",
                values![&token.0[..], person, purpose, expires],
            ),
        ];
        Ok(self.database.apply(batch([], statements)).await?)
    }

    /// The person whose password a token can reset. The token stays valid.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it is unknown, used or expired.
    pub async fn find_restore_token_owner(
        &self,
        system: &System,
        token: &SecretHash,
        now: Micros,
    ) -> Result<PrincipalId> {
        self.token_owner(system, "restore", token, now).await
    }

    async fn token_owner(
        &self,
        system: &System,
        purpose: &'static str,
        token: &SecretHash,
        now: Micros,
    ) -> Result<PrincipalId> {
        let sql =
            "SELECT principal FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND expires_us > $3";
        let rows = self.read_unscoped(system, sql, values![&token.0[..], purpose, now]).await?;
        rows.read_first(Columns::id)?.map(PrincipalId).ok_or(Error::Unauthenticated)
    }
}

/// How a person is related to the caller. `memberships` must include all of the person's.
fn build_ties(
    caller: &Caller,
    person: &Person,
    memberships: &[(PrincipalId, OrganizationId)],
) -> SubUserTies {
    let organizations = memberships.iter().filter(|(member, _)| *member == person.principal.id);
    SubUserTies {
        maker: person.parent,
        pending: person.principal.state == PrincipalState::Pending,
        managed: organizations
            .map(|(_, organization)| *organization)
            .all(|organization| caller.manages_members_of(organization)),
        account_role: person.principal.account_role.is_some(),
    }
}

/// Attributes an action to the person: a token from their mailbox proves who they are.
fn attribute_to_person(system: &System, person: PrincipalId) -> Attribution {
    Attribution { principal: Some(person), ..system.0 }
}

/// Uses up a token. It works once, even when several requests race.
fn use_token_statement(purpose: &'static str, token: &SecretHash, now: Micros) -> Statement {
    one_row(
        "DELETE FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND expires_us > $3",
        values![&token.0[..], purpose, now],
    )
}

fn password_statements(
    set: Statement,
    person: PrincipalId,
    excepted: Option<SessionId>,
    ending: &Ending,
    now: Micros,
) -> Vec<Statement> {
    let mut statements = vec![set];
    // The password is no longer forgotten, so tokens to reset it are deleted.
    statements.push(any_rows(
        "DELETE FROM one_time_tokens WHERE principal = $1 AND purpose = 'restore'",
        values![person],
    ));
    statements.extend(end_all_statements(person, excepted, ending, now));
    statements
}

fn read_person(columns: &mut Columns) -> Result<Person, DatabaseError> {
    Ok(Person {
        principal: read_principal(columns)?,
        parent: columns.maybe_id()?.map(PrincipalId),
        first_name: columns.text()?,
        last_name: columns.text()?,
        updated: columns.time()?,
    })
}

fn read_member(columns: &mut Columns) -> Result<(PrincipalId, OrganizationId), DatabaseError> {
    Ok((PrincipalId(columns.id()?), OrganizationId(columns.id()?)))
}
