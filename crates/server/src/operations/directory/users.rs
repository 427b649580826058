//! People as they see each other: themselves, and the sub users below them.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::operations::login::passwords::AddressMail;
use crate::operations::login::policies;
use crate::operations::login::second_factor::demand_fresh;
use crate::services::mailer;
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::login::Reach;
use domain::name;
use domain::permission::{PermissionSet, Role};
use domain::principal::{Person, Principal, PrincipalKind, PrincipalState, normal_email};
use domain::refusal::Thing;
use store::access::ManageMembers;
use store::{Caller, GrantedPerson, System};

/// Longer names are cut by whoever shows them.
const MAX_NAME: usize = 100;

/// A person as another one, or itself, sees it.
pub struct Profile {
    /// The person.
    pub person: Person,
    /// Whose sub user it is.
    pub parent: Option<Person>,
    /// What it may, where the caller is that person.
    pub permissions: Option<PermissionSet>,
}

/// By what a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The number.
    Id,
    /// What people call it.
    Name,
    /// The address.
    Email,
    /// The state's word.
    Status,
    /// When it was made.
    Created,
    /// When it last changed.
    Updated,
}

/// Which of a list.
#[derive(Debug, Clone)]
pub struct PeopleQuery {
    /// Only those in these states; none is any.
    pub states: Vec<PrincipalState>,
    /// By what it is sorted.
    pub sort: SortBy,
    /// Whether the other way round.
    pub descending: bool,
    /// Which page, from 1.
    pub page: u32,
    /// How many of them.
    pub limit: u32,
}

/// A page of people, and how many there are in all.
pub struct PeoplePage {
    /// The page.
    pub people: Vec<Person>,
    /// How many the same filter gives.
    pub total: usize,
}

/// The people whom a caller may see.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_people(app: &App, caller: &Caller, listing: &PeopleQuery) -> Result<PeoplePage, Failure> {
    let mut people = app.store.list_people(caller).await?;
    let wanted =
        |person: &Person| listing.states.is_empty() || listing.states.contains(&person.principal.state);
    people.retain(wanted);
    people.sort_by_cached_key(|person| sort_key(person, listing.sort));
    if listing.descending {
        people.reverse();
    }
    let total = people.len();
    let skipped = (listing.page as usize - 1).saturating_mul(listing.limit as usize);
    let people = people.into_iter().skip(skipped).take(listing.limit as usize).collect();
    Ok(PeoplePage { people, total })
}

/// What is compared; the number last, so that no two are the same.
fn sort_key(person: &Person, by: SortBy) -> (String, i64, i64) {
    let who = &person.principal;
    let (text, time) = match by {
        SortBy::Id => (String::new(), 0),
        SortBy::Name => (who.name.to_lowercase(), 0),
        SortBy::Email => (who.email.clone().unwrap_or_default(), 0),
        SortBy::Status => (who.state.name().to_owned(), 0),
        SortBy::Created => (String::new(), who.created.0),
        SortBy::Updated => (String::new(), person.updated.0),
    };
    (text, time, who.number)
}

/// The caller itself.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn load_own_profile(app: &App, caller: &Caller) -> Result<Profile, Failure> {
    let granted = caller.authorize_self("read:user")?;
    build_profile(app, &granted, Some(caller.permissions())).await
}

/// The person of a number.
///
/// # Errors
/// [`Refusal::NotFound`] for whom the caller may not know.
pub async fn load_profile(app: &App, caller: &Caller, number: i64) -> Result<Profile, Failure> {
    let granted =
        app.store.authorize_over_person(caller, number, Reach::See, "read:user", "read:sub-user").await?;
    let permissions = (granted.person() == caller.principal()).then(|| caller.permissions());
    build_profile(app, &granted, permissions).await
}

/// The person of a number, an address or an id, for an administrator of the account.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::OutOfScope`]; [`Refusal::NotFound`].
pub async fn find_person(app: &App, caller: &Caller, named: &str) -> Result<Principal, Failure> {
    caller.authorize_in_account::<ManageMembers>()?;
    caller.require_scope("read:sub-user")?;
    if let Some(email) = normal_email(named) {
        let known = app.store.find_person_by_email(&System::administration(), &email).await?;
        return Ok(known.ok_or(Refusal::NotFound(Thing::Principal))?.person.principal);
    }
    let id = domain::ids::parse_uuid(named);
    let mut people = app.store.list_people(caller).await?.into_iter().map(|person| person.principal);
    let found = people.find(|one| Some(one.id.0) == id || one.number.to_string() == named);
    found.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}

/// New names; nothing leaves one as it is.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// The first one.
    pub first: Option<&'a str>,
    /// The last one.
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

/// Changes the names of the person of a number.
///
/// # Errors
/// [`Refusal::Invalid`]; [`Refusal::NotFound`] for whom the caller may not know; [`Refusal::Forbidden`] for a sub user
/// who has shown that the address is their own.
pub async fn rename_user(
    app: &App,
    caller: &Caller,
    number: i64,
    names: Names<'_>,
) -> Result<Profile, Failure> {
    let granted = app
        .store
        .authorize_over_person(caller, number, Reach::Change, "write:user", "write:sub-user")
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
        name::one_line(field, name.unwrap_or_default(), MAX_NAME)?;
    }
    app.store.set_names(granted, names.first, names.last, app.now()).await?;
    build_profile(app, granted, permissions).await
}

/// A new sub user.
pub struct NewUser<'a> {
    /// Its address, which it has to show to be its own.
    pub email: &'a str,
    /// A password to begin with; without one it sets one by "password forgotten".
    pub password: Option<&'a str>,
    /// What people call it; the address if it is nothing.
    pub name: Option<&'a str>,
    /// Its names.
    pub names: Names<'a>,
}

/// Makes a sub user of the caller, a member of the organization that the caller acts in who may work there, and sends
/// it a mail. It may not sign in before it showed that the address is its own. Whether the address is known is not told:
/// its owner learns by the mail that somebody wanted it. Repeated, it is the one that was made before.
///
/// # Errors
/// [`Refusal::Forbidden`] for who may not manage members; [`Refusal::StaleAuthentication`]; [`Refusal::Exists`] for an
/// address of another sub user of the caller; [`Refusal::Invalid`]; [`Refusal::TooManyAttempts`] for who makes or invites
/// too many people in a while.
pub async fn create_sub_user(app: &App, caller: &Caller, new: NewUser<'_>) -> Result<Profile, Failure> {
    caller.require_scope("write:sub-user")?;
    let granted = caller.authorize::<ManageMembers>()?;
    demand_fresh(app, caller)?;
    if let Some(made) = app.store.find_earlier_creation(&granted).await? {
        return welcome_created_user(app, caller, PrincipalId(made)).await;
    }
    let email = mailer::address(new.email)?;
    for (field, name) in
        [("username", new.name), ("first-name", new.names.first), ("last-name", new.names.last)]
    {
        name::one_line(field, name.unwrap_or_default(), MAX_NAME)?;
    }
    let hash = match new.password {
        Some(password) => {
            policies::demand_passwords(app)?;
            app.passwords.rule.check("password", password)?;
            Some(app.passwords.hash(password, app.random_bytes()).await?)
        }
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

/// Sends a new user its mail, and says who it is.
async fn welcome_user(app: &App, caller: &Caller, person: Person) -> Result<Profile, Failure> {
    if let Err(error) = mail_new_user(app, &person).await {
        // The user is there; "password forgotten" sends another mail, which shows the same.
        tracing::error!(error = error.for_log(), "a mail to a new user was not sent");
    }
    let parent = app.store.load_person(&caller.authorize_self("write:sub-user")?).await?;
    Ok(Profile { person, parent: Some(parent), permissions: None })
}

/// Sends the mail, unless the address had one from this organization lately, or enough from others: see
/// [`AttemptBudget::per_invited_address`].
async fn mail_new_user(app: &App, person: &Person) -> Result<(), Failure> {
    let Principal { id, state, email, default_organization, .. } = &person.principal;
    let (PrincipalState::Pending, Some(email), Some(home)) = (state, email, default_organization) else {
        return Ok(());
    };
    if attempt_budgets::try_reserve(app, &AttemptBudget::per_invited_address(*home, email)).await?.is_err() {
        return Ok(());
    }
    let has_own = app.store.has_own_address(&System::administration().grant_person(*id)).await?;
    login::passwords::send_address_mail(
        app,
        if has_own { AddressMail::Verify } else { AddressMail::AlreadyKnown },
        *id,
        email,
    )
    .await
}

/// The user that an earlier attempt at the same request has made.
async fn welcome_created_user(app: &App, caller: &Caller, made: PrincipalId) -> Result<Profile, Failure> {
    // Who has made it may see it.
    let person = app.store.load_person(&System::administration().grant_person(made)).await?;
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
