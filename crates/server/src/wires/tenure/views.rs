//! `/tenure/v1/views`: saved views.

use super::errors::TenureError;
use super::lists::{ListRequest, map_page, place_by};
use super::sessions::shapes::{write_organization, write_principal};
use super::sessions::visible::{VisibleTo, check_names};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::{self, WholeRequest};
use crate::http::query::Query;
use crate::operations::devices::overview::load_names;
use crate::operations::views;
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::ids::{ViewId, parse_uuid};
use domain::view::{ListView, ViewContent};
use protocol::lists::List;
use protocol::time::Time;
use protocol::views::{SavedView, ViewDraft};
use std::convert::Infallible;
use store::{SessionNames, VisibleSessions};

/// The view that the path names; `None` for a text that is no id.
pub struct ViewPath(Option<ViewId>);

impl<S: Send + Sync> FromRequestParts<S> for ViewPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ViewPath, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(ViewPath(path.ok().and_then(|Path(text)| parse_uuid(&text)).map(ViewId)))
    }
}

/// `GET /views`: the caller's own and those that the organizations share, by name.
pub async fn list(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<SavedView>>, TenureError> {
    check_names(&query, &["limit", "cursor", "scope"])?;
    let request = ListRequest::read_visible(&app, "views", &visible, &query)?;
    let views = views::list_views(&app, &caller, &visible).await?;
    let page = request.cut(views, |view| place_by(&[&view.content.name], view.id.0))?;
    let names = load_view_names(&app, &visible, &page.data).await?;
    Ok(Json(map_page(page, |view| write_view(view, &names))))
}

/// `POST /views`.
pub async fn create(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<(StatusCode, Json<SavedView>), TenureError> {
    let draft = middleware::read_json::<ViewDraft>(&app, request).await?;
    let shared = draft.shared.unwrap_or(false);
    let view = views::create_view(&app, &caller, &visible, read_content(draft), shared).await?;
    Ok((StatusCode::CREATED, answer(&app, &visible, view).await?))
}

/// `GET /views/{view}`.
pub async fn get(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    ViewPath(id): ViewPath,
) -> Result<Json<SavedView>, TenureError> {
    let view = views::load_view(&app, &caller, &visible, id).await?;
    Ok(answer(&app, &visible, view).await?)
}

/// `PUT /views/{view}`.
pub async fn update(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    ViewPath(id): ViewPath,
    WholeRequest(request): WholeRequest,
) -> Result<Json<SavedView>, TenureError> {
    let draft = middleware::read_json::<ViewDraft>(&app, request).await?;
    let shared = draft.shared;
    let view = views::update_view(&app, &caller, &visible, id, read_content(draft), shared).await?;
    Ok(answer(&app, &visible, view).await?)
}

/// `DELETE /views/{view}`.
pub async fn delete(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    ViewPath(id): ViewPath,
) -> Result<StatusCode, TenureError> {
    views::delete_view(&app, &caller, &visible, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read_content(draft: ViewDraft) -> ViewContent {
    let ViewDraft { name, filter, order, columns, .. } = draft;
    ViewContent { name, written: filter, order, columns, ..ViewContent::default() }
}

async fn answer(app: &App, visible: &VisibleSessions, view: ListView) -> Result<Json<SavedView>, Failure> {
    let names = load_view_names(app, visible, std::slice::from_ref(&view)).await?;
    Ok(Json(write_view(view, &names)))
}

async fn load_view_names(
    app: &App,
    visible: &VisibleSessions,
    views: &[ListView],
) -> Result<SessionNames, Failure> {
    let organizations = views.iter().filter_map(|view| view.organization);
    load_names(app, visible, organizations, views.iter().map(|view| view.creator)).await
}

fn write_view(view: ListView, names: &SessionNames) -> SavedView {
    let ViewContent { name, filter, written, order, columns } = view.content;
    SavedView {
        id: view.id.0,
        name,
        filter,
        filter_as_written: written,
        order,
        columns,
        organization: view.organization.map(|organization| write_organization(names, organization)),
        creator: write_principal(names, view.creator),
        created: Time(view.created.0),
        updated: Time(view.updated.0),
    }
}
