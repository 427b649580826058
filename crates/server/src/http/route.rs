//! Routes: a wire writes each of its routes once, as one line with everything that is known of it.

use crate::app::App;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};
use domain::permission::Permission;
use std::time::Duration;

/// Who may call a route. The handler's extractors and operations check it; the tests' table of callers compares both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Everybody, without a credential.
    Anyone,
    /// The holder of a token that is valid only there, such as the address of a file.
    TokenHolder,
    /// Any caller. The operation decides what they may do.
    Authenticated,
    /// Users who have signed in. API keys are refused.
    SignedIn,
    /// Callers with this permission in the chosen organization.
    Permitted(Permission),
    /// Callers with this permission in the whole account.
    InAccount(Permission),
}

/// The kind of a route's bodies, which decides their limits of size and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// Held in memory.
    #[default]
    Plain,
    /// A form with a file.
    Form,
    /// An announced file, in either direction. It has its own size limit.
    File,
}

/// What a route needs of the middleware.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteNeeds {
    /// The kind of its bodies.
    pub body: BodyKind,
    /// How long its handler may wait on purpose, beside the usual time limit.
    pub wait: Duration,
}

/// A route.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path's pattern, such as `/v1/sessions/{session}`.
    pub path: String,
    /// Who may call it.
    pub callers: Callers,
    /// The names of its query parameters, on a wire that warns of others.
    pub query: &'static [&'static [&'static str]],
    /// The actions of the object that the path names: each is a path of its own, with a colon and the action at the end. The
    /// router cannot tell such paths apart, so one handler has all of them.
    pub actions: &'static [&'static str],
    /// What it needs of the middleware.
    pub needs: RouteNeeds,
    /// Its handler.
    pub handler: MethodRouter<App>,
}

/// A `GET` route.
pub fn get<H: Handler<T, App>, T: 'static>(path: &str, callers: Callers, handler: H) -> Route {
    Route::new(Method::GET, path, callers, routing::get(handler))
}

/// A `POST` route.
pub fn post<H: Handler<T, App>, T: 'static>(path: &str, callers: Callers, handler: H) -> Route {
    Route::new(Method::POST, path, callers, routing::post(handler))
}

/// A `PUT` route.
pub fn put<H: Handler<T, App>, T: 'static>(path: &str, callers: Callers, handler: H) -> Route {
    Route::new(Method::PUT, path, callers, routing::put(handler))
}

/// A `PATCH` route.
pub fn patch<H: Handler<T, App>, T: 'static>(path: &str, callers: Callers, handler: H) -> Route {
    Route::new(Method::PATCH, path, callers, routing::patch(handler))
}

/// A `DELETE` route.
pub fn delete<H: Handler<T, App>, T: 'static>(path: &str, callers: Callers, handler: H) -> Route {
    Route::new(Method::DELETE, path, callers, routing::delete(handler))
}

impl Route {
    fn new(method: Method, path: &str, callers: Callers, handler: MethodRouter<App>) -> Route {
        let needs = RouteNeeds::default();
        Route { method, path: path.to_owned(), callers, query: &[], actions: &[], needs, handler }
    }

    /// The route with these actions.
    pub fn actions(self, actions: &'static [&'static str]) -> Route {
        Route { actions, ..self }
    }

    /// One route for each action of a route that has them.
    pub fn split_actions(self) -> Vec<Route> {
        let of_action = |action: &&str| Route { path: format!("{}:{action}", self.path), ..self.clone() };
        match self.actions {
            [] => vec![self],
            actions => actions.iter().map(of_action).collect(),
        }
    }

    /// The route with these lists of query parameters.
    pub fn query(self, query: &'static [&'static [&'static str]]) -> Route {
        Route { query, ..self }
    }

    /// The route with bodies of this kind.
    pub fn body(self, body: BodyKind) -> Route {
        Route { needs: RouteNeeds { body, ..self.needs }, ..self }
    }

    /// The route with a handler that may wait for this many seconds.
    pub fn wait(self, seconds: u64) -> Route {
        Route { needs: RouteNeeds { wait: Duration::from_secs(seconds), ..self.needs }, ..self }
    }

    /// The same route below a prefix.
    pub fn below(&self, prefix: &str) -> Route {
        Route { path: format!("{prefix}{}", self.path), ..self.clone() }
    }
}
