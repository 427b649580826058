//! `/tenure/v1/devices`, `/hosts` and `/queue`: the fleet, as far as the caller may see it.

mod shapes;

use super::errors::TenureError;
use super::lists::{ListRequest, map_page, place_by};
use super::sessions::visible::{Visible, check_names};
use crate::app::App;
use crate::http::query::Query;
use crate::operations::devices::overview;
use axum::Json;
use axum::extract::State;
use protocol::fleet::{FleetDevice, FleetHost, Waiting};
use protocol::lists::List;

/// The parameters of the lists.
const PARAMETERS: &[&str] = &["limit", "cursor", "scope"];

type ListResult<T> = Result<Json<List<T>>, TenureError>;

/// `GET /devices`: by platform, name, version and id.
pub async fn devices(
    Visible(visible): Visible,
    State(app): State<App>,
    query: Query,
) -> ListResult<FleetDevice> {
    check_names(&query, PARAMETERS)?;
    let request = ListRequest::read_visible(&app, "devices", &visible, &query)?;
    let page = request.cut(overview::list_devices(&app, &visible).await?, |listed| {
        let (device, profile) = (&listed.device, &listed.device.profile);
        let texts = [&profile.platform, &profile.name, &profile.version, &device.handle];
        place_by(&texts.map(String::as_str), device.id.0)
    })?;
    let organizations = page.data.iter().map(|listed| listed.device.organization);
    let people = page.data.iter().filter_map(|listed| Some(listed.holder?.principal));
    let names = overview::load_names(&app, &visible, organizations, people).await?;
    Ok(Json(map_page(page, |device| shapes::write_device(&device, &names))))
}

/// `GET /hosts`: by name.
pub async fn hosts(Visible(visible): Visible, State(app): State<App>, query: Query) -> ListResult<FleetHost> {
    check_names(&query, PARAMETERS)?;
    let request = ListRequest::read_visible(&app, "hosts", &visible, &query)?;
    let hosts = overview::list_hosts(&app, &visible).await?;
    let page = request.cut(hosts, |listed| place_by(&[&listed.host.name], listed.host.id.0))?;
    let organizations = page.data.iter().map(|listed| listed.host.organization);
    let names = overview::load_names(&app, &visible, organizations, [].into_iter()).await?;
    Ok(Json(map_page(page, |host| shapes::write_host(&host, &names))))
}

/// `GET /queue`: the waiting requests in the order of the queue.
pub async fn queue(Visible(visible): Visible, State(app): State<App>, query: Query) -> ListResult<Waiting> {
    check_names(&query, PARAMETERS)?;
    let request = ListRequest::read_visible(&app, "queue", &visible, &query)?;
    let requests = overview::list_requests(&app, &visible).await?;
    let page = request.cut(requests, |listed| listed.position.to_be_bytes().to_vec())?;
    let estimates = overview::estimate_waits(&app, &visible, &page.data).await?;
    let organizations = page.data.iter().map(|listed| listed.session.organization);
    let people = page.data.iter().map(|listed| listed.principal);
    let names = overview::load_names(&app, &visible, organizations, people).await?;
    let mut estimates = estimates.into_iter();
    Ok(Json(map_page(page, |request| shapes::write_request(&request, estimates.next().flatten(), &names))))
}
