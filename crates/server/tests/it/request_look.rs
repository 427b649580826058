//! A request that only reads needs one look at the database to authenticate and for its first read of the index.

use crate::world::World;
use server::services::request_look;
use store::System;

#[tokio::test]
async fn a_look_serves_the_first_read_of_the_index_in_a_request_that_only_reads() {
    let world = World::sqlite().await;
    let look = || async { world.store().look(&System::for_background_jobs()).await.unwrap() };
    let uses = |only_reads| async move {
        let request = async {
            assert!(request_look::find().is_none() && request_look::use_for_index().is_none());
        };
        request_look::share_in(only_reads, request).await;
        let request = async {
            request_look::keep(look().await);
            let uses = [request_look::use_for_index(), request_look::use_for_index()];
            (uses.map(|used| used.is_some()), request_look::find().is_some())
        };
        request_look::share_in(only_reads, request).await
    };
    assert_eq!(uses(true).await, ([true, false], true));
    assert_eq!(uses(false).await, ([false, false], false));
    // A task that a request has left behind, such as the one of a WebSocket, is no request.
    request_look::keep(look().await);
    assert!(request_look::find().is_none());
}
