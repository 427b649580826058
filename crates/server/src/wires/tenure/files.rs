//! Files: uploads of clients and recordings of hosts.
//!
//! A client's URL has a token that authorizes it, because the vendor's clients send no credential there. A host uses its key.

use super::errors::TenureError;
use super::extractors::AuthorizedReach;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::WholeRequest;
use crate::http::middleware::content_length;
use crate::operations::devices::files;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use domain::Refusal;
use domain::ids::FileId;
use domain::refusal::Thing;
use futures_util::Stream;
use store::StoredFile;
use store::access::ConnectHosts;

type PathText = Result<Path<String>, PathRejection>;

/// `PUT /files/{token}`: receives the bytes of an announced upload.
pub async fn receive(
    State(app): State<App>,
    token: PathText,
    WholeRequest(request): WholeRequest,
) -> Result<StatusCode, TenureError> {
    let length = content_length(request.headers());
    let body = request.into_body().into_data_stream();
    files::receive_upload(&app, &path_text(token)?, length, body).await?;
    Ok(StatusCode::OK)
}

/// `GET /files/{token}`: downloads a recording.
pub async fn fetch(State(app): State<App>, token: PathText) -> Result<Response, TenureError> {
    let (file, bytes) = files::fetch_recording(&app, &path_text(token)?).await?;
    Ok(download(&file, bytes))
}

/// `GET /host/files/{file}`: sends a host an app to install.
pub async fn send_to_host(
    AuthorizedReach(reach): AuthorizedReach<ConnectHosts>,
    State(app): State<App>,
    file: PathText,
) -> Result<Response, TenureError> {
    let (file, bytes) = files::fetch_upload(&app, reach.organization(), file_id(file)?).await?;
    Ok(download(&file, bytes))
}

/// `PUT /host/files/{file}`: receives a recording from a host.
pub async fn receive_from_host(
    AuthorizedReach(reach): AuthorizedReach<ConnectHosts>,
    State(app): State<App>,
    file: PathText,
    WholeRequest(request): WholeRequest,
) -> Result<StatusCode, TenureError> {
    files::receive_recording(
        &app,
        reach.organization(),
        file_id(file)?,
        request.into_body().into_data_stream(),
    )
    .await?;
    Ok(StatusCode::OK)
}

fn path_text(path: PathText) -> Result<String, Failure> {
    path.map(|Path(text)| text).map_err(|_| Refusal::NotFound(Thing::File).into())
}

fn file_id(path: PathText) -> Result<FileId, Failure> {
    let id = domain::ids::parse_uuid(&path_text(path)?);
    id.map(FileId).ok_or_else(|| Refusal::NotFound(Thing::File).into())
}

fn download(
    file: &StoredFile,
    bytes: impl Stream<Item = object_store::Result<Bytes>> + Send + 'static,
) -> Response {
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.size));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let name = format!("attachment; filename=\"{}\"", file.name);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}
