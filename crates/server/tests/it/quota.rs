//! The storage quota of an organization, under concurrency.

use crate::clock::upload;
use domain::permission::Role;
use futures_util::future::join_all;
use store::System;

both! {
    async fn uploads_at_the_same_time_never_exceed_the_quota(world: &World) {
        let quota = 100_000;
        let world = world.another_server(|settings| settings.org_storage_quota = quota).await;
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let used = async || world.store().count_used_bytes(&System::for_administration().grant(acme)).await.unwrap();
        let sent = join_all((0..8).map(|_| upload(&ana, acme, 40_000))).await;
        let good = sent.iter().filter(|response| response.status == 200).count();
        assert!(sent.iter().all(|response| [200, 413].contains(&response.status.as_u16())), "{sent:?}");
        assert!((1..=2).contains(&good), "{good} were kept");
        assert_eq!(used().await, 40_000 * good as u64, "what was refused takes no room");
        // The quota can be used to the last byte.
        let left = quota - used().await;
        assert_eq!(upload(&ana, acme, left as usize + 1).await.status, 413);
        assert_eq!(upload(&ana, acme, left as usize).await.status, 200);
        assert_eq!((used().await, upload(&ana, acme, 1).await.status.as_u16()), (quota, 413));
    }
}
