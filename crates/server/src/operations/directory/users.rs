//! Users as they see themselves and their sub users.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::operations::login::passwords::{AddressMail, hash_first_password};
use crate::operations::login::second_factor::demand_fresh;
use crate::services::mailer;
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::login::PersonAccess;
use domain::name;
use domain::permission::{PermissionSet, Role};
use domain::principal::{Person, Principal, PrincipalKind, PrincipalState, normalize_email};
use domain::refusal::Thing;
use store::access::ManageMembers;
use store::{Caller, GrantedPerson, System};

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 100;

/// A user as they see themselves, or as another user sees them.
pub struct Profile {
    /// The user.
    pub person: Person,
    /// The user whose sub user it is.
    pub parent: Option<Person>,
    /// The user's permissions, when the caller is the user.
    pub permissions: Option<PermissionSet>,
}

/// What a list of users is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The number.
    Id,
    /// The name.
    Name,
    /// The address.
    Email,
    /// The name of the state.
    Status,
    /// The time of creation.
    Created,
    /// The time of the last change.
    Updated,
}

/// Which users to list.
#[derive(Debug, Clone)]
pub struct PeopleQuery {
    /// Only users in these states; empty means all.
    pub states: Vec<PrincipalState>,
    /// What to sort by.
    pub sort: SortBy,
    /// Whether to reverse the order.
    pub descending: bool,
    /// The page, from 1.
    pub page: u32,
    /// The most users of a page.
    pub limit: u32,
}

/// A page of users, with the total.
pub struct PeoplePage {
    /// The users of the page.
    pub people: Vec<Person>,
    /// How many users match.
    pub total: usize,
}

/// Lists the users that a caller may see.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_people(app: &App, caller: &Caller, listing: &PeopleQuery) -> Result<PeoplePage, Failure> {
    let mut people = app.store.list_people(caller).await?;
    let matches =
        |person: &Person| listing.states.is_empty() || listing.states.contains(&person.principal.state);
    people.retain(matches);
    people.sort_by_cached_key(|person| sort_key(person, listing.sort));
    if listing.descending {
        people.reverse();
    }
    let total = people.len();
    let skipped = (listing.page as usize - 1).saturating_mul(listing.limit as usize);
    let people = people.into_iter().skip(skipped).take(listing.limit as usize).collect();
    Ok(PeoplePage { people, total })
}

/// The sort key. The number comes last, so that no two keys are equal.
fn sort_key(person: &Person, by: SortBy) -> (String, i64, i64) {
    let principal = &person.principal;
    let (text, time) = match by {
        SortBy::Id => (String::new(), 0),
        SortBy::Name => (principal.name.to_lowercase(), 0),
        SortBy::Email => (principal.email.clone().unwrap_or_default(), 0),
        SortBy::Status => (principal.state.name().to_owned(), 0),
        SortBy::Created => (String::new(), principal.created.0),
        SortBy::Updated => (String::new(), person.updated.0),
    };
    (text, time, principal.number)
}

/// The caller's own profile.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn load_own_profile(app: &App, caller: &Caller) -> Result<Profile, Failure> {
    let granted = caller.authorize_self("read:user")?;
    build_profile(app, &granted, Some(caller.permissions())).await
}

/// The profile of the user with this number.
///
/// # Errors
/// [`Refusal::NotFound`], also for a user whom the caller may not see.
pub async fn load_profile(app: &App, caller: &Caller, number: i64) -> Result<Profile, Failure> {
    let granted = app
        .store
        .authorize_over_person(caller, number, PersonAccess::See, "read:user", "read:sub-user")
        .await?;
    let permissions = (granted.person() == caller.principal()).then(|| caller.permissions());
    build_profile(app, &granted, permissions).await
}

/// Finds a user by number, address or id, for an administrator of the account.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::OutOfScope`]; [`Refusal::NotFound`].
pub async fn find_person(app: &App, caller: &Caller, named: &str) -> Result<Principal, Failure> {
    caller.authorize_in_account::<ManageMembers>()?;
    caller.require_scope("read:sub-user")?;
    if let Some(email) = normalize_email(named) {
        let known = app.store.find_person_by_email(&System::for_administration(), &email).await?;
        return Ok(known.ok_or(Refusal::NotFound(Thing::Principal))?.person.principal);
    }
    let id = domain::ids::parse_uuid(named);
    let mut people = app.store.list_people(caller).await?.into_iter().map(|person| person.principal);
    let found = people.find(|one| Some(one.id.0) == id || one.number.to_string() == named);
    found.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}

/// New names; `None` keeps a name.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// The first name.
    pub first: Option<&'a str>,
    /// The last name.
    pub last: Option<&'a str>,
}

/// Changes the caller's own names.
///
/// # Errors
/// [`Refusal::Invalid`].
pub async fn rename_own(app: &App, caller: &Caller, names: Names<'_>) -> Result<Profile, Failure> {
    let granted = caller.authorize_self("write:user")?;
    rename(app, &granted, names, Some(caller.permissions())).await
}

/// Changes the names of the user with this number.
///
/// # Errors
/// [`Refusal::Invalid`]; [`Refusal::NotFound`], also for a user whom the caller may not see; [`Refusal::Forbidden`]
/// for a sub user who has confirmed their address.
pub async fn rename_user(
    app: &App,
    caller: &Caller,
    number: i64,
    names: Names<'_>,
) -> Result<Profile, Failure> {
    let granted = app
        .store
        .authorize_over_person(caller, number, PersonAccess::Change, "write:user", "write:sub-user")
        .await?;
    let permissions = (granted.person() == caller.principal()).then(|| caller.permissions());
    rename(app, &granted, names, permissions).await
}

async fn rename(
    app: &App,
    granted: &GrantedPerson,
    names: Names<'_>,
    permissions: Option<PermissionSet>,
) -> Result<Profile, Failure> {
    for (field, name) in [("first-name", names.first), ("last-name", names.last)] {
        name::check_line(field, name.unwrap_or_default(), MAX_NAME)?;
    }
    app.store.set_names(granted, names.first, names.last, app.now()).await?;
    build_profile(app, granted, permissions).await
}

/// A sub user to be created.
pub struct NewUser<'a> {
    /// The address, which the user must confirm.
    pub email: &'a str,
    /// The first password; without one, the user sets it by "password forgotten".
    pub password: Option<&'a str>,
    /// The display name; the address when it is empty.
    pub name: Option<&'a str>,
    /// First and last name.
    pub names: Names<'a>,
}

/// Creates a sub user of the caller, with role `readwrite` in the caller's organization, and sends them a mail. They
/// cannot sign in until they have confirmed the address. The answer does not reveal whether another user has the
/// address: its owner learns by the mail. When the request is repeated, the answer is the user that was created
/// before.
///
/// # Errors
/// [`Refusal::Forbidden`] for a caller who may not manage members; [`Refusal::StaleAuthentication`];
/// [`Refusal::Exists`] for the address of another sub user of the caller; [`Refusal::Invalid`];
/// [`Refusal::TooManyAttempts`] for a caller who has created or invited too many people recently.
pub async fn create_sub_user(app: &App, caller: &Caller, new: NewUser<'_>) -> Result<Profile, Failure> {
    caller.require_scope("write:sub-user")?;
    let granted = caller.authorize::<ManageMembers>()?;
    demand_fresh(app, caller)?;
    if let Some(made) = app.store.find_earlier_creation(&granted).await? {
        return welcome_created_user(app, caller, PrincipalId(made)).await;
    }
    let email = mailer::parse_address(new.email)?;
    for (field, name) in
        [("username", new.name), ("first-name", new.names.first), ("last-name", new.names.last)]
    {
        name::check_line(field, name.unwrap_or_default(), MAX_NAME)?;
    }
    let hash = match new.password {
        Some(password) => Some(hash_first_password(app, &app.passwords, password).await?),
        None => None,
    };
    let now = app.now();
    let name = new.name.filter(|name| !name.is_empty()).unwrap_or(&email);
    let mut person = Person {
        principal: Principal {
            id: PrincipalId::new(now, app.random_bytes()),
            number: 0,
            kind: PrincipalKind::User,
            email: Some(email.clone()),
            name: name.to_owned(),
            state: PrincipalState::Pending,
            created: now,
            account_role: None,
            default_organization: Some(granted.organization()),
        },
        parent: Some(caller.principal()),
        first_name: new.names.first.unwrap_or_default().to_owned(),
        last_name: new.names.last.unwrap_or_default().to_owned(),
        updated: now,
    };
    let parent = caller.principal();
    let role = Role::Readwrite;
    let mails = AttemptBudget::per_inviter(app, parent);
    attempt_budgets::reserve_attempts(app, [mails]).await?;
    match app.store.create_sub_user(&granted, parent, &person, hash.as_deref(), role).await {
        Ok(number) => person.principal.number = number,
        Err(error) => {
            attempt_budgets::return_attempts(app, [mails]).await?;
            return Err(error.into());
        }
    }
    welcome_user(app, caller, person).await
}

/// Sends the mail to a new user; returns their profile.
async fn welcome_user(app: &App, caller: &Caller, person: Person) -> Result<Profile, Failure> {
    if let Err(error) = mail_new_user(app, &person).await {
        // The user exists. "Password forgotten" sends them another mail, which confirms the address as well.
        tracing::error!(error = error.log_text(), "cannot send a mail to a new user");
    }
    let parent = app.store.load_person(&caller.authorize_self("write:sub-user")?).await?;
    Ok(Profile { person, parent: Some(parent), permissions: None })
}

/// Sends the mail, unless the address recently got one from this organization, or several from others: see
/// [`AttemptBudget::per_invited_address`].
async fn mail_new_user(app: &App, person: &Person) -> Result<(), Failure> {
    let Principal { id, state, email, default_organization, .. } = &person.principal;
    let (PrincipalState::Pending, Some(email), Some(home)) = (state, email, default_organization) else {
        return Ok(());
    };
    if attempt_budgets::try_reserve(app, &AttemptBudget::per_invited_address(*home, email)).await?.is_err() {
        return Ok(());
    }
    let has_own = app.store.has_own_address(&System::for_administration().grant_person(*id)).await?;
    login::passwords::send_address_mail(
        app,
        if has_own { AddressMail::Verify } else { AddressMail::AlreadyKnown },
        *id,
        email,
    )
    .await
}

/// The user that an earlier attempt at the same request created.
async fn welcome_created_user(app: &App, caller: &Caller, made: PrincipalId) -> Result<Profile, Failure> {
    // The creator may see the user.
    let person = app.store.load_person(&System::for_administration().grant_person(made)).await?;
    if person.principal.state == PrincipalState::Deleted {
        return Err(Refusal::NotFound(Thing::Principal).into());
    }
    welcome_user(app, caller, person).await
}

async fn build_profile(
    app: &App,
    granted: &GrantedPerson,
    permissions: Option<PermissionSet>,
) -> Result<Profile, Failure> {
    let person = app.store.load_person(granted).await?;
    if person.principal.state == PrincipalState::Deleted {
        return Err(Refusal::NotFound(Thing::Principal).into());
    }
    let parent = app.store.load_parent(granted, &person).await?;
    Ok(Profile { person, parent, permissions })
}
