//! The commands about agents, with the arguments that the command line's contract has for them.
//!
//! An agent of Tenure has fewer settings than one of the vendor's. REST drops the others, which the SDKs always send. A
//! command refuses them: somebody typed each of its arguments.

use super::output::Output;
use super::query::read_parameters;
use super::{agents, ids};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::agents::definitions;
use axum::http::StatusCode;
use domain::ids::AgentId;
use serde_json::{Map, Value, json};
use store::Caller;

/// The settings of an agent.
const SETTINGS: [&str; 7] =
    ["name", "display_name", "description", "system_prompt", "default_model_id", "tags", "capabilities"];
/// What names an agent.
const REFERENCE: &str = "an agent's ID or name";
/// The longest name of an unknown argument that an error repeats, in characters.
const MAX_REPEATED_CHARS: usize = 64;

/// Runs a command about agents.
///
/// # Errors
/// [`RequestFailure::NoRoute`] for another command; [`RequestFailure::Body`] naming an argument; those of the command.
pub async fn carry_out(
    app: &App,
    caller: &Caller,
    name: &str,
    params: &Map<String, Value>,
) -> Result<Output, Failure> {
    match name {
        "list_agents" => agents::list_page(app, &caller.authorize()?, &read_parameters(params)?).await,
        "get_agent" => {
            let granted = caller.authorize()?;
            check_arguments(params, &["id"])?;
            agents::get_by_reference(app, &granted, read_text(params, "id", REFERENCE)?).await
        }
        "create_agent" => {
            let granted = caller.authorize()?;
            check_settings(params, &["id"])?;
            agents::create_from_body(app, &granted, params).await
        }
        "update_agent" => {
            let granted = caller.authorize()?;
            check_settings(params, &["id", "status"])?;
            agents::update_from_body(app, &granted, read_agent_id(params, "id")?, params).await
        }
        "upsert_agent" => {
            let granted = caller.authorize()?;
            check_settings(params, &["id"])?;
            agents::upsert_from_body(app, &granted, read_agent_id(params, "id")?, params).await
        }
        "delete_agent" => {
            let granted = caller.authorize()?;
            check_arguments(params, &["id"])?;
            definitions::delete_agent(app, &granted, read_agent_id(params, "id")?).await?;
            Output::json(StatusCode::OK, &json!({ "deleted": true }))
        }
        "check_agent_name" => {
            let granted = caller.authorize()?;
            check_arguments(params, &["name", "exclude_id"])?;
            let except = is_given(params, "exclude_id").then(|| read_agent_id(params, "exclude_id"));
            let name = read_text(params, "name", "a text")?;
            let available = definitions::is_agent_name_free(app, &granted, name, except.transpose()?).await?;
            Output::json(StatusCode::OK, &json!({ "available": available }))
        }
        "copy_agent" => {
            let granted = caller.authorize()?;
            check_arguments(params, &["id"])?;
            agents::copy_by_reference(app, &granted, read_text(params, "id", REFERENCE)?).await
        }
        "export_agent" => {
            let granted = caller.authorize()?;
            check_arguments(params, &["id", "format"])?;
            let id = read_text(params, "id", REFERENCE)?;
            let format = is_given(params, "format").then(|| read_text(params, "format", "json"));
            agents::export_by_reference(app, &granted, id, format.transpose()?).await
        }
        _ => Err(RequestFailure::NoRoute.into()),
    }
}

/// Refuses settings that an agent of Tenure does not have. Two can have only one value, which is accepted: clients send
/// back what they have read.
fn check_settings(params: &Map<String, Value>, others: &[&str]) -> Result<(), Failure> {
    let harness = ids::default_harness().to_string();
    let mut params = params.clone();
    for (name, only) in [("harness_id", harness.as_str()), ("communication", "direct")] {
        match params.remove(name) {
            Some(value) if !is_empty(&value) && value != only => {
                return Err(wrong_argument(name, &format!("{only}, which all agents of Tenure have")));
            }
            _ => {}
        }
    }
    check_arguments(&params, &[others, &SETTINGS].concat())
}

/// Refuses arguments that the command does not have, unless they are empty.
fn check_arguments(params: &Map<String, Value>, known: &[&str]) -> Result<(), Failure> {
    let other = params.iter().find(|(name, value)| !known.contains(&name.as_str()) && !is_empty(value));
    let Some((name, _)) = other else { return Ok(()) };
    let name = name.chars().take(MAX_REPEATED_CHARS).collect::<String>();
    Err(wrong_argument(&name, &format!("no value: on Tenure this command takes only {}", known.join(", "))))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn is_given(params: &Map<String, Value>, name: &str) -> bool {
    params.get(name).is_some_and(|value| !value.is_null())
}

fn read_text<'p>(params: &'p Map<String, Value>, name: &str, expected: &str) -> Result<&'p str, Failure> {
    let text = params.get(name).and_then(Value::as_str);
    text.ok_or_else(|| wrong_argument(name, expected))
}

fn read_agent_id(params: &Map<String, Value>, name: &str) -> Result<AgentId, Failure> {
    let id = params.get(name).and_then(Value::as_str).and_then(|text| ids::read_agent(text).ok());
    id.ok_or_else(|| {
        wrong_argument(name, "an agent ID, which is agent_ and 32 lower-case hexadecimal digits")
    })
}

fn wrong_argument(name: &str, expected: &str) -> Failure {
    RequestFailure::Body(format!("params.{name}: expected {expected}")).into()
}
