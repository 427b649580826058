//! Devin's wire: agent sessions as the clients of its API v3 know them, also under its older prefix `/v3beta1`.
//!
//! Sources: the vendor's documentation pages and OpenAPI document, and what its published clients send and read
//! (devinai 0.1.0, devin-cli 1.5.1, llm-devin 0.0.7, the Terraform provider). Where they disagree, the union is
//! accepted.

mod attachments;
mod body;
mod create_session;
mod cursor;
mod enterprise;
pub mod errors;
mod extractors;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod insights;
mod members;
mod messages;
mod organizations;
mod query;
mod roles;
mod service_users;
mod session_lists;
mod sessions;
mod shapes;
mod short_lists;
mod tags;
mod unknown_parameters;
mod usage;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::{self, WireSpec};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, any, on};
use errors::DevinError;

const WIRE: WireSpec = WireSpec {
    name: "devin",
    error_response: |failure| DevinError::from(failure).into_response(),
    authorize: Some(|app, parts| {
        Box::pin(async {
            extractors::Authenticated::from_request_parts(parts, app)
                .await
                .ok()
                .map(|authenticated| authenticated.0)
        })
    }),
};

/// Makes the routes of each row under both prefixes, and the tables of routes and parameters. A row of `organizations`
/// makes two routes: one with the organization in its path, and one without, which means the key's own organization.
/// The brackets list the query parameters that the route knows.
macro_rules! routes {
    (
        organizations { $($omethod:ident $opath:literal [$($oknown:expr),*] $ohandler:path;)* }
        others { $($method:ident $path:literal [$($known:expr),*] $handler:path;)* }
    ) => {
        /// The routes, for the tests' table of callers.
        pub const ROUTES: &[(&str, &str)] = &[
            $(
                (stringify!($omethod), concat!("/v3/organizations/{org}", $opath)),
                (stringify!($omethod), concat!("/v3/organizations", $opath)),
                (stringify!($omethod), concat!("/v3beta1/organizations/{org}", $opath)),
                (stringify!($omethod), concat!("/v3beta1/organizations", $opath)),
            )*
            $(
                (stringify!($method), concat!("/v3", $path)),
                (stringify!($method), concat!("/v3beta1", $path)),
            )*
        ];

        /// The query parameters of each route: method, path without the prefix, and names.
        const ROUTE_PARAMETERS: &[(&str, &str, &[&[&str]])] = &[
            $(
                (stringify!($omethod), concat!("/organizations/{org}", $opath), &[$($oknown),*]),
                (stringify!($omethod), concat!("/organizations", $opath), &[$($oknown),*]),
            )*
            $((stringify!($method), $path, &[$($known),*]),)*
        ];

        fn table() -> Router<App> {
            Router::new()
                $(
                    .route(concat!("/organizations/{org}", $opath), on(MethodFilter::$omethod, $ohandler))
                    .route(concat!("/organizations", $opath), on(MethodFilter::$omethod, $ohandler))
                )*
                $(.route($path, on(MethodFilter::$method, $handler)))*
        }
    };
}

routes! {
    organizations {
        GET "/sessions" [filter::PARAMETERS] sessions::list;
        POST "/sessions" [] sessions::create;
        GET "/sessions/insights" [filter::PARAMETERS] insights::list;
        GET "/sessions/{devin}" [] sessions::get;
        DELETE "/sessions/{devin}" [&["archive"]] sessions::terminate;
        POST "/sessions/{devin}/archive" [] sessions::archive;
        POST "/sessions/{devin}/unarchive" [] sessions::unarchive;
        GET "/sessions/{devin}/messages" [messages::PARAMETERS] messages::list;
        POST "/sessions/{devin}/messages" [] messages::post;
        GET "/sessions/{devin}/tags" [] tags::get;
        POST "/sessions/{devin}/tags" [] tags::append;
        PUT "/sessions/{devin}/tags" [] tags::replace;
        GET "/sessions/{devin}/attachments" [] attachments::list;
        GET "/sessions/{devin}/insights" [] insights::get;
        POST "/sessions/{devin}/insights/generate" [] insights::generate;
        POST "/attachments" [] attachments::upload;
        GET "/attachments/{uuid}/{name}" [] attachments::fetch;
        GET "/members/users" [short_lists::PARAMETERS] members::list;
        POST "/members/users" [] members::set;
        DELETE "/members/users/{user}" [] members::remove;
        GET "/members/service-users" [short_lists::PARAMETERS] service_users::list;
        GET "/service-users" [short_lists::PARAMETERS] service_users::list;
        POST "/service-users" [] service_users::create;
        GET "/service-users/{user}" [] service_users::get;
        DELETE "/service-users/{user}" [] service_users::delete;
        GET "/service-users/{user}/api-keys" [short_lists::PARAMETERS] service_users::list_keys;
        POST "/service-users/{user}/api-keys" [] service_users::create_key;
        DELETE "/service-users/{user}/api-keys/{key}" [] service_users::revoke_key;
        POST "/service-users/{user}/api-keys/{key}/rotate" [] service_users::rotate_key;
        GET "/consumption/daily" [usage::CONSUMPTION_PARAMETERS] usage::daily;
        GET "/audit-logs" [usage::AUDIT_PARAMETERS] usage::audit_logs;
    }
    others {
        GET "/self" [] members::myself;
        GET "/attachments/{link}" [] attachments::open;
        GET "/enterprise/organizations" [short_lists::PARAMETERS] organizations::list;
        POST "/enterprise/organizations" [] organizations::create;
        GET "/enterprise/organizations/{org}" [] organizations::get;
        PATCH "/enterprise/organizations/{org}" [] organizations::update;
        DELETE "/enterprise/organizations/{org}" [] organizations::delete;
        GET "/enterprise/members/users" [short_lists::PARAMETERS] members::list_in_account;
        GET "/enterprise/members/users/{user}" [] members::get_in_account;
        GET "/enterprise/members/service-users" [short_lists::PARAMETERS] service_users::list;
        GET "/enterprise/service-users" [short_lists::PARAMETERS] service_users::list;
        POST "/enterprise/service-users" [] service_users::create;
        GET "/enterprise/service-users/{user}" [] service_users::get;
        DELETE "/enterprise/service-users/{user}" [] service_users::delete;
        GET "/enterprise/service-users/{user}/api-keys" [short_lists::PARAMETERS] service_users::list_keys;
        POST "/enterprise/service-users/{user}/api-keys" [] service_users::create_key;
        DELETE "/enterprise/service-users/{user}/api-keys/{key}" [] service_users::revoke_key;
        POST "/enterprise/service-users/{user}/api-keys/{key}/rotate" [] service_users::rotate_key;
        GET "/enterprise/roles" [] roles::list;
        GET "/enterprise/consumption/daily" [usage::CONSUMPTION_PARAMETERS, &["org_ids"]] usage::daily_in_account;
        GET "/enterprise/queue" [] usage::queue;
        GET "/enterprise/audit-logs" [usage::AUDIT_PARAMETERS] usage::audit_logs_in_account;
        GET "/enterprise/sessions" [filter::PARAMETERS, filter::ACCOUNT_PARAMETERS] enterprise::list;
        GET "/enterprise/sessions/insights" [filter::PARAMETERS, filter::ACCOUNT_PARAMETERS] enterprise::list_insights;
        GET "/enterprise/sessions/{devin}" [enterprise::PARAMETERS] enterprise::get;
        GET "/enterprise/sessions/{devin}/messages" [enterprise::PARAMETERS, messages::PARAMETERS] enterprise::list_messages;
        POST "/enterprise/sessions/{devin}/messages" [enterprise::PARAMETERS] enterprise::post_message;
        GET "/enterprise/sessions/{devin}/tags" [enterprise::PARAMETERS] enterprise::get_tags;
        POST "/enterprise/sessions/{devin}/tags" [enterprise::PARAMETERS] enterprise::append_tags;
        PUT "/enterprise/sessions/{devin}/tags" [enterprise::PARAMETERS] enterprise::replace_tags;
        GET "/enterprise/sessions/{devin}/attachments" [enterprise::PARAMETERS] enterprise::list_attachments;
        GET "/enterprise/sessions/{devin}/insights" [enterprise::PARAMETERS] enterprise::get_insights;
        POST "/enterprise/sessions/{devin}/insights/generate" [enterprise::PARAMETERS] enterprise::generate_insights;
    }
}

/// The prefixes under which the whole wire is served.
const PREFIXES: [&str; 2] = ["/v3", "/v3beta1"];

/// Builds the routes of this wire.
pub fn routes(app: &App) -> Router<App> {
    let routes = PREFIXES.into_iter().fold(Router::new(), |routes, prefix| {
        routes.nest(prefix, table()).route(&format!("{prefix}/{{*rest}}"), any(no_route))
    });
    let routes = routes
        .layer(from_fn(unknown_parameters::warn_of_unknown))
        .method_not_allowed_fallback(|| async { DevinError::from(Failure::from(RequestFailure::Method)) });
    middleware::wrap_routes(routes, app, WIRE)
}

async fn no_route() -> DevinError {
    Failure::from(RequestFailure::NoRoute).into()
}
