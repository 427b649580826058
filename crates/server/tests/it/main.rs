//! Tests of the server as its callers see it: through the router, on both databases.

/// Runs each function as a test on SQLite and as one on PostgreSQL, each with its own world.
macro_rules! both {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World) $body:block)+) => {
        $($(#[$attribute])* async fn $name($world: &crate::world::World) $body)+

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::world::World::sqlite().await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(world) = crate::world::World::postgres().await {
                    super::$name(&world).await;
                }
            })+
        }
    };
}

mod agents;
mod agents_racing;
mod allocation;
mod bounds;
mod callers;
mod causes;
mod clock;
mod contracts;
mod coverage;
mod crowding;
mod device_login;
mod devin;
mod door;
mod everruns;
mod front;
mod guessing;
mod hosts;
mod input;
mod key_logins;
mod keys;
mod lifecycle;
mod lost_responses;
mod mass_assignment;
mod membership;
mod methods;
mod oidc;
mod openapi;
mod pages;
mod probe;
mod quota;
mod racing_once;
mod replays;
mod schemes;
mod session_index;
mod sessions;
mod socket;
mod suspending;
mod tenure;
mod tidy;
mod trust;
mod two_wires;
mod waking;
mod work;
mod work_runs;
mod work_tokens;
mod world;
