//! `/user`: the caller and their sub users. This wire names users by number.

use super::extractors::{Authenticated, MaybeAuthenticated};
use super::fields::{AcceptedBody, Fields, QueryFields};
use super::shapes::{Anonymous, Filter, HandlerResult, Pagination, Sort, User, UserShort, Users, respond};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::WholeRequest;
use crate::operations::directory::users;
use crate::operations::directory::users::Names;
use crate::operations::directory::users::NewUser;
use crate::operations::directory::users::PeopleQuery;
use crate::operations::directory::users::SortBy;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use domain::Refusal;
use domain::principal::PrincipalState;
use domain::refusal::Thing;

const DEFAULT_LIMIT: u32 = 10;
const MAX_LIMIT: i64 = 100;

const SORTS: [(&str, SortBy); 6] = [
    ("id", SortBy::Id),
    ("username", SortBy::Name),
    ("email", SortBy::Email),
    ("status", SortBy::Status),
    ("created", SortBy::Created),
    ("updated", SortBy::Updated),
];

/// `GET /user`.
pub async fn list(
    known: Authenticated,
    State(app): State<App>,
    QueryFields(query): QueryFields,
) -> HandlerResult {
    let listing = read_listing(&query).map_err(Failure::from)?;
    let page = users::list_people(&app, &known.caller, &listing).await?;
    let users = page.people.iter().map(UserShort::from).collect::<Vec<_>>();
    let field = SORTS.iter().find(|(_, sort)| *sort == listing.sort).map_or("id", |(name, _)| name);
    respond(&Users {
        filter: Filter { status: listing.states.iter().map(|state| state.name()).collect() },
        pagination: Pagination {
            count: users.len(),
            limit: listing.limit,
            page: listing.page,
            total: page.total,
        },
        sort: Sort { field, order: if listing.descending { "desc" } else { "asc" } },
        users: (!users.is_empty()).then_some(users),
    })
}

fn read_listing(fields: &Fields) -> Result<PeopleQuery, Refusal> {
    let number = |name, most, default| -> Result<u32, Refusal> {
        let number = fields.number(name, 1..=most)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default))
    };
    let states = fields.words("status")?.unwrap_or_default();
    let states = states.into_iter().filter(|name| *name != "anonymous").map(|name| {
        let state = PrincipalState::parse(name).filter(|state| *state != PrincipalState::Deleted);
        state.ok_or_else(|| fields.invalid("status", "some of pending, active and suspended"))
    });
    let sort = match fields.text("sort[field]")? {
        None => SortBy::Id,
        Some(name) => {
            let known = SORTS.iter().find(|(known, _)| *known == name).map(|(_, sort)| *sort);
            known.ok_or_else(|| {
                fields.invalid("sort[field]", "id, username, email, status, created or updated")
            })?
        }
    };
    let descending = match fields.text("sort[order]")? {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(fields.invalid("sort[order]", "asc or desc")),
    };
    Ok(PeopleQuery {
        states: states.collect::<Result<_, _>>()?,
        sort,
        descending,
        page: number("pagination[page]", i64::from(i32::MAX), 1)?,
        limit: number("pagination[limit]", MAX_LIMIT, DEFAULT_LIMIT)?,
    })
}

/// `GET /user/current`: also answers anonymous callers.
pub async fn current(MaybeAuthenticated(known): MaybeAuthenticated, State(app): State<App>) -> HandlerResult {
    match known {
        Some(known) => respond(&User::from(users::load_own_profile(&app, &known.caller).await?)),
        None => respond(&Anonymous { id: 0, status: "anonymous" }),
    }
}

/// `PUT /user/current`.
pub async fn change_own(
    known: Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Json).await?;
    let names = read_names(&fields).map_err(Failure::from)?;
    respond(&User::from(users::rename_own(&app, &known.caller, names).await?))
}

/// `POST /user/current`: creates a sub user of the caller. The vendor's field names are unknown; these are those of a user.
pub async fn create(
    known: Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Both).await?;
    let new = read_new_user(&fields).map_err(Failure::from)?;
    respond(&User::from(users::create_sub_user(&app, &known.caller, new).await?))
}

fn read_new_user(fields: &Fields) -> Result<NewUser<'_>, Refusal> {
    Ok(NewUser {
        email: fields.require_text("email")?,
        password: fields.text("password")?,
        name: fields.text("username")?,
        names: read_names(fields)?,
    })
}

/// `GET /user/{user-id}`.
pub async fn get(known: Authenticated, State(app): State<App>, user: UserPath) -> HandlerResult {
    respond(&User::from(users::load_profile(&app, &known.caller, user_number(user)?).await?))
}

/// `PUT /user/{user-id}`.
pub async fn change_of(
    known: Authenticated,
    State(app): State<App>,
    user: UserPath,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let number = user_number(user)?;
    let fields = Fields::read(&app, request, AcceptedBody::Json).await?;
    let names = read_names(&fields).map_err(Failure::from)?;
    respond(&User::from(users::rename_user(&app, &known.caller, number, names).await?))
}

fn read_names(fields: &Fields) -> Result<Names<'_>, Refusal> {
    Ok(Names { first: fields.text("first-name")?, last: fields.text("last-name")? })
}

/// A user's number in a path, before it is parsed.
pub type UserPath = Result<Path<String>, PathRejection>;

/// Parses a user's number in a path. A malformed number is reported as not found.
pub fn user_number(path: UserPath) -> Result<i64, Failure> {
    let digits = |text: &String| text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = path.ok().map(|Path(text)| text).filter(digits).and_then(|text| text.parse().ok());
    number.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}
