//! Saved views: a person's own, and those that the members of an organization share.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::sessions::visible::choose_organization;
use domain::Refusal;
use domain::ids::ViewId;
use domain::permission::Permission;
use domain::refusal::Thing;
use domain::view::{ListView, ViewContent};
use filter::LocalTime;
use jiff::tz::TimeZone;
use store::access::UseSessions;
use store::{Caller, GrantedPerson, ViewGrant, VisibleSessions};

/// Lists the views that the visible organizations share, and the caller's own.
pub async fn list_views(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
) -> Result<Vec<ListView>, Failure> {
    Ok(app.store.list_views(visible, authorize_own(caller).as_ref()).await?)
}

/// Loads one of the views that [`list_views`] lists.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn load_view(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    id: Option<ViewId>,
) -> Result<ListView, Failure> {
    let id = id.ok_or(Refusal::NotFound(Thing::View))?;
    Ok(app.store.load_view(visible, authorize_own(caller).as_ref(), id).await?)
}

/// The caller's own views are listed as far as the credential allows.
fn authorize_own(caller: &Caller) -> Option<GrantedPerson> {
    caller.authorize_self("read:user").ok()
}

/// Saves a new view: a shared one in the organization that the caller acts in. When the request is repeated, the answer is
/// the view that was saved before.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::OutOfScope`]; [`Refusal::Invalid`]; [`Failure::Filter`]; [`Refusal::Exists`];
/// [`Refusal::ViewLimit`].
pub async fn create_view(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    content: ViewContent,
    shared: bool,
) -> Result<ListView, Failure> {
    let grant = match shared {
        true => ViewGrant::Shared(caller.authorize::<UseSessions>()?),
        false => ViewGrant::Own(caller.authorize_self("write:user")?),
    };
    if let Some(created) = app.store.find_earlier_view(&grant).await? {
        return load_view(app, caller, visible, Some(created)).await;
    }
    let (content, now) = (check_content(app, content)?, app.now());
    let view = ListView {
        id: ViewId::new(now, app.random_bytes()),
        organization: grant.organization(),
        creator: caller.principal(),
        content,
        created: now,
        updated: now,
    };
    app.store.create_view(&grant, &view).await?;
    Ok(view)
}

/// Changes what a view shows.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`] for another member's view; those of [`create_view`].
pub async fn update_view(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    id: Option<ViewId>,
    content: ViewContent,
    shared: Option<bool>,
) -> Result<ListView, Failure> {
    let view = load_view(app, caller, visible, id).await?;
    let grant = authorize_change(app, caller, &view).await?;
    if shared.is_some_and(|shared| shared != view.organization.is_some()) {
        return Err(Refusal::invalid("shared", "what it is: save another view").into());
    }
    let view = ListView { content: check_content(app, content)?, updated: app.now(), ..view };
    app.store.update_view(&grant, &view).await?;
    Ok(view)
}

/// Deletes a view.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`] for another member's view; [`Refusal::Forbidden`];
/// [`Refusal::OutOfScope`].
pub async fn delete_view(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    id: Option<ViewId>,
) -> Result<(), Failure> {
    let view = load_view(app, caller, visible, id).await?;
    let grant = authorize_change(app, caller, &view).await?;
    Ok(app.store.delete_view(&grant, view.id).await?)
}

/// A shared view belongs to its creator and to the organization's administrators.
async fn authorize_change(app: &App, caller: &Caller, view: &ListView) -> Result<ViewGrant, Failure> {
    let Some(organization) = view.organization else {
        return Ok(ViewGrant::Own(caller.authorize_self("write:user")?));
    };
    let granted = choose_organization(app, caller, organization).await?.authorize::<UseSessions>()?;
    if view.creator != caller.principal() && !granted.has(Permission::ManageSessions) {
        return Err(Refusal::NotYours(Thing::View).into());
    }
    Ok(ViewGrant::Shared(granted))
}

/// Checks a view, and writes its filter in canonical text.
fn check_content(app: &App, content: ViewContent) -> Result<ViewContent, Failure> {
    content.check()?;
    let local = LocalTime { now: app.now(), zone: TimeZone::UTC };
    let read = filter::read(&content.written, &local)
        .map_err(|faults| Failure::Filter { text: content.written.clone(), faults: Box::new(faults) })?;
    if content.written.contains('\0') {
        return Err(Refusal::invalid("filter", "no null character").into());
    }
    Ok(ViewContent { filter: read.to_string(), ..content })
}
