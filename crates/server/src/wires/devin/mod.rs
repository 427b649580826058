//! Devin's wire: agent sessions as the clients of its API v3 know them, also under its older prefix `/v3beta1`.
//!
//! Sources: the vendor's documentation pages and OpenAPI document, and what its published clients send and read
//! (devinai 0.1.0, devin-cli 1.5.1, llm-devin 0.0.7, the Terraform provider). Where they disagree, the union is
//! accepted.

mod body;
mod caller;
mod cursor;
mod errors;
mod filter;
mod query;
mod shapes;
mod warning;

use super::layers::{self, Wire};
use crate::failure::{Failure, RequestFailure};
use crate::state::App;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use errors::DevinError;

const WIRE: Wire = Wire { name: "devin", word: |failure| DevinError::from(failure).into_response() };

pub const ROUTES: &[(&str, &str)] = &[];
const KNOWN: &[(&str, &str, &[&[&str]])] = &[];
