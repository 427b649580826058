//! `POST /v1/commands/{name}`: what the command line sends instead of REST, for the commands of sessions.

use super::errors::EverrunsError;
use super::extractors::Known;
use super::output::{Output, PathText, text};
use super::query::Query;
use super::{events, ids, messages, sessions, stats};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::operations::agents;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use store::Caller;

/// A command's body. What else a client says of itself is left out.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with params")]
struct Envelope {
    #[serde(default)]
    params: Map<String, Value>,
}

/// `POST /commands/{name}`: `{"output":…,"warnings":[…]}`.
pub async fn run(
    Known(caller): Known,
    State(app): State<App>,
    name: PathText,
    Whole(body): Whole,
) -> Result<Response, EverrunsError> {
    let envelope: Envelope = middleware::json(&app, body).await?;
    let output = carry_out(&app, &caller, &text(name), &envelope.params).await?;
    Ok(output.of_command()?)
}

async fn carry_out(
    app: &App,
    caller: &Caller,
    name: &str,
    params: &Map<String, Value>,
) -> Result<Output, Failure> {
    // The session stands among the parameters, where a list would take it for one it does not know.
    let mut rest = params.clone();
    let named = rest.remove("session_id");
    let session = || match &named {
        Some(Value::String(id)) => Ok(id.as_str()),
        _ => Err(Failure::from(RequestFailure::Body("params.session_id: expected a session ID".to_owned()))),
    };
    match name {
        "list_sessions" => sessions::page(app, &caller.authorize()?, &Query::of_command(params)?).await,
        "get_session" => sessions::one(app, &caller.authorize()?, session()?).await,
        "create_session" => sessions::begin(app, &caller.authorize()?, params).await,
        "update_session" => sessions::change(app, &caller.authorize()?, session()?, &rest).await,
        "cancel_session" => sessions::stop(app, &caller.authorize()?, session()?).await,
        "archive_session" => sessions::put_away(app, &caller.authorize()?, session()?, true).await,
        "unarchive_session" => sessions::put_away(app, &caller.authorize()?, session()?, false).await,
        "delete_session" => {
            agents::sessions::delete_agent_session(app, &caller.authorize()?, ids::read_session(session()?)?)
                .await?;
            Ok(Output::nothing())
        }
        "pin_session" => {
            agents::sessions::pin_session(app, &caller.authorize()?, ids::read_session(session()?)?).await?;
            Ok(Output::nothing())
        }
        "unpin_session" => {
            agents::sessions::unpin_session(app, &caller.authorize()?, ids::read_session(session()?)?)
                .await?;
            Ok(Output::nothing())
        }
        "get_session_stats" => stats::count(app, &caller.authorize()?).await,
        "get_session_facets" => stats::divide(app, &caller.authorize()?, &Query::of_command(params)?).await,
        "list_events" => {
            events::page(app, &caller.authorize()?, session()?, &Query::of_command(&rest)?).await
        }
        "list_messages" => {
            messages::newest(app, &caller.authorize()?, session()?, &Query::of_command(&rest)?).await
        }
        "create_message" => messages::say(app, &caller.authorize()?, session()?, &rest).await,
        _ => Err(RequestFailure::NoRoute.into()),
    }
}
