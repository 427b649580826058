//! One suite for both databases: a test that passes on one must pass on the other.
//!
//! PostgreSQL needs `export TENURE_TEST_POSTGRES=$(scripts/postgres start DIR)`.

/// Turns each function into a test on SQLite (`sqlite::name`) and one on PostgreSQL (`postgres::name`).
///
/// ```ignore
/// both! {
///     async fn something_holds(db: &TestDatabase) { … }
/// }
/// ```
macro_rules! both {
    ($($(#[$attribute:meta])* async fn $name:ident($db:ident: &TestDatabase) $body:block)+) => {
        $($(#[$attribute])* async fn $name($db: &store::testing::TestDatabase) $body)+

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&store::testing::fresh_sqlite().await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(database) = store::testing::fresh_postgres().await {
                    super::$name(&database).await;
                }
            })+
        }
    };
}

mod access;
mod agents;
mod audit;
mod bulk;
mod database;
mod devices;
mod directory;
mod feed;
mod logins;
mod summaries;
mod world;
