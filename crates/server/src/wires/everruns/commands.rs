//! `POST /v1/commands/{name}`: the command line sends most of its commands here instead of using REST.

use super::errors::EverrunsError;
use super::extractors::Authenticated;
use super::output::{Output, PathText, path_text};
use super::query::read_parameters;
use super::{agent_commands, events, ids, messages, sessions, stats};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::conditional::KnownTags;
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
use crate::operations::agents;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use store::Caller;

/// A command's body. What clients send about themselves is ignored.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with params")]
struct Envelope {
    #[serde(default)]
    params: Map<String, Value>,
}

/// `POST /commands/{name}`: `{"output":…,"warnings":[…]}`.
pub async fn run(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    name: PathText,
    WholeRequest(body): WholeRequest,
) -> Result<Response, EverrunsError> {
    let envelope: Envelope = middleware::read_json(&app, body).await?;
    let output = carry_out(&app, &caller, &path_text(name), &envelope.params).await?;
    Ok(output.into_command_response()?)
}

async fn carry_out(
    app: &App,
    caller: &Caller,
    name: &str,
    params: &Map<String, Value>,
) -> Result<Output, Failure> {
    // `session_id` is removed, or lists would warn of it as an unknown parameter.
    let mut rest = params.clone();
    let named = rest.remove("session_id");
    let session = || match &named {
        Some(Value::String(id)) => Ok(id.as_str()),
        _ => Err(Failure::from(RequestFailure::Body("params.session_id: expected a session ID".to_owned()))),
    };
    match name {
        "list_sessions" => {
            sessions::list_page(app, &caller.authorize()?, &read_parameters(params)?, &KnownTags::default())
                .await
        }
        "get_session" => {
            sessions::get_by_id(app, &caller.authorize()?, session()?, &KnownTags::default()).await
        }
        "create_session" => sessions::create_from_body(app, &caller.authorize()?, params).await,
        "update_session" => sessions::update_from_body(app, &caller.authorize()?, session()?, &rest).await,
        "cancel_session" => sessions::cancel_by_id(app, &caller.authorize()?, session()?).await,
        "archive_session" => sessions::set_archived(app, &caller.authorize()?, session()?, true).await,
        "unarchive_session" => sessions::set_archived(app, &caller.authorize()?, session()?, false).await,
        "delete_session" => {
            agents::sessions::delete_agent_session(app, &caller.authorize()?, ids::read_session(session()?)?)
                .await?;
            Ok(Output::no_content())
        }
        "pin_session" => {
            agents::sessions::pin_session(app, &caller.authorize()?, ids::read_session(session()?)?).await?;
            Ok(Output::no_content())
        }
        "unpin_session" => {
            agents::sessions::unpin_session(app, &caller.authorize()?, ids::read_session(session()?)?)
                .await?;
            Ok(Output::no_content())
        }
        "get_session_stats" => stats::session_stats(app, &caller.authorize()?).await,
        "get_session_facets" => {
            stats::session_facets(app, &caller.authorize()?, &read_parameters(params)?).await
        }
        "list_events" => {
            events::list_page(app, &caller.authorize()?, session()?, &read_parameters(&rest)?).await
        }
        "list_messages" => {
            messages::list_newest(app, &caller.authorize()?, session()?, &read_parameters(&rest)?).await
        }
        "create_message" => messages::post_message(app, &caller.authorize()?, session()?, &rest).await,
        _ => agent_commands::carry_out(app, caller, name, params).await,
    }
}
