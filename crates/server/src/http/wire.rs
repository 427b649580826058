//! What the server needs to know of a wire: its routes, its errors and what it needs of the middleware.

use super::middleware;
use super::route::{Route, RouteNeeds};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use futures_util::future::BoxFuture;
use store::Caller;

/// A wire, or the pages, or the service endpoints.
#[derive(Clone, Copy)]
pub struct WireSpec {
    /// Its name, for logs and metrics.
    pub name: &'static str,
    /// Lists its routes, without the prefixes.
    pub table: fn() -> Vec<Route>,
    /// The prefixes under which all of its routes are served.
    pub prefixes: &'static [&'static str],
    /// The paths below which it answers for unknown routes.
    pub bases: &'static [&'static str],
    /// Makes its error response.
    pub error_response: fn(Failure) -> Response,
    /// The header that chooses the organization. `None` on a wire without one.
    pub organization_header: Option<&'static str>,
    /// Authenticates as its handlers do. `None` on a wire without idempotency keys.
    pub authorize: Option<Authorize>,
    /// Whether requests to its routes are counted in the quota of their address. Requests that match no route always are.
    pub rate_limited: bool,
    /// `Content-Security-Policy` of responses that set none.
    pub content_policy: &'static str,
    /// `Referrer-Policy` of responses that set none.
    pub referrer_policy: &'static str,
    /// The methods of a path, for `Allow`, where the router has more.
    pub allowed_methods: fn(&str) -> Option<&'static str>,
    /// Adds the wire's own middleware, which runs inside of the common one.
    pub own_middleware: fn(MethodRouter<App>) -> MethodRouter<App>,
}

/// Authenticates as a wire's handlers do: the same credential, organization and quotas. `None` when that fails; the
/// handler then reports why.
pub type Authorize = for<'a> fn(&'a App, &'a mut Parts) -> BoxFuture<'a, Option<Caller>>;

/// Authenticates with a wire's extractor.
pub fn authorize_by<'a, E>(app: &'a App, parts: &'a mut Parts) -> BoxFuture<'a, Option<Caller>>
where
    E: FromRequestParts<App> + Into<Caller> + 'static,
{
    Box::pin(async { E::from_request_parts(parts, app).await.ok().map(Into::into) })
}

impl WireSpec {
    /// A wire of JSON without a prefix, with the usual needs.
    pub const fn new(
        name: &'static str,
        table: fn() -> Vec<Route>,
        error_response: fn(Failure) -> Response,
    ) -> WireSpec {
        WireSpec {
            name,
            table,
            prefixes: &[""],
            bases: &[],
            error_response,
            organization_header: None,
            authorize: None,
            rate_limited: true,
            content_policy: "default-src 'none'; frame-ancestors 'none'",
            referrer_policy: "no-referrer",
            allowed_methods: |_| None,
            own_middleware: |handler| handler,
        }
    }

    /// All of its routes, under each prefix.
    pub fn routes(self) -> impl Iterator<Item = Route> {
        let routes = (self.table)();
        self.prefixes
            .iter()
            .flat_map(move |prefix| routes.iter().map(|route| route.below(prefix)).collect::<Vec<_>>())
    }

    /// Builds its router, with the middleware around each handler.
    pub fn router(self, app: &App) -> Router<App> {
        let mut router = Router::new();
        for route in self.routes() {
            router = router.route(&route.path, self.wrap(app, route.handler, route.needs));
        }
        for base in self.bases {
            let no_route = self.failing_handler(app, RequestFailure::NoRoute);
            router = router.route(&format!("{base}/{{*rest}}"), no_route);
        }
        router.method_not_allowed_fallback(self.failing_handler(app, RequestFailure::Method))
    }

    /// A handler that always answers with this failure.
    pub fn failing_handler(self, app: &App, failure: RequestFailure) -> MethodRouter<App> {
        let handler = any(async move |uri: Uri| {
            let methods = match failure {
                RequestFailure::Method => (self.allowed_methods)(uri.path()),
                _ => None,
            };
            let mut response = (self.error_response)(failure.into());
            if let Some(methods) = methods {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            response
        });
        self.wrap(app, handler, RouteNeeds::default())
    }

    fn wrap(self, app: &App, handler: MethodRouter<App>, needs: RouteNeeds) -> MethodRouter<App> {
        let state = (app.clone(), self, needs);
        (self.own_middleware)(handler).layer(from_fn_with_state(state, middleware::handle_request))
    }
}
