//! Devices: their handles, and hosts that connect and disconnect.

use crate::world::{NOW, change, create, device, grant, host, organization, pool, request, system, viewer};
use domain::time::Span;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use store::Store;

both! {
    async fn equal_serials_on_two_hosts_have_different_handles(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        // Names that become equal in a handle, and an organization's host with the name of the pool's.
        let hosts = [(None, "rack 1"), (None, "rack-1"), (Some(acme), "rack-1"), (Some(globex), "rack 1")];
        for (owner, name) in hosts {
            let (link, _) = host(&store, owner, name).await;
            let updates = [device("emulator-5554"), device("emulator-5554.rack-1")];
            store.report_devices(&link, &updates, NOW).await.unwrap();
        }
        for organization in [acme, globex] {
            let seen = store.list_devices(&viewer(organization)).await.unwrap();
            let handles = seen.iter().map(|device| device.handle.as_str()).collect::<BTreeSet<_>>();
            assert_eq!((seen.len(), handles.len()), (6, 6), "{handles:?}");
            assert!(handles.contains("emulator-5554"), "the first one is called by its serial");
        }
    }

    async fn a_device_keeps_its_handle_when_it_is_reported_again(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (first, _) = host(&store, Some(acme), "one").await;
        let (second, _) = host(&store, Some(acme), "two").await;
        let mut handles = Vec::new();
        for link in [&first, &second, &first, &second] {
            store.report_devices(link, &[device("emulator-5554")], NOW).await.unwrap();
            let known = store.list_host_devices(&system(), link.host()).await.unwrap();
            assert_eq!(known.len(), 1);
            handles.push(known[0].handle.clone());
        }
        assert_eq!(handles, ["emulator-5554", "emulator-5554.two", "emulator-5554", "emulator-5554.two"]);
    }

    async fn hosts_that_report_at_once_do_not_take_the_same_handle(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let other = Store::new(db.open_again().await);
        let (acme, _) = organization(&store).await;
        let mut links = Vec::new();
        for number in 0..6 {
            links.push(host(&store, Some(acme), &format!("host-{number}")).await.0);
        }
        // Each host is connected to both servers and reports to both.
        let stores = [&store, &other];
        let reports = (0..12).map(|number| {
            let (store, link) = (stores[number % 2], &links[number / 2]);
            async move { store.report_devices(link, &[device("a"), device("b")], NOW).await.unwrap() }
        });
        join_all(reports).await;
        let seen = store.list_devices(&viewer(acme)).await.unwrap();
        let handles = seen.iter().map(|device| device.handle.as_str()).collect::<BTreeSet<_>>();
        assert_eq!((seen.len(), handles.len()), (12, 12), "{handles:?}");
    }

    async fn devices_that_are_no_longer_reported_are_offline_and_still_known(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (link, _) = pool(&store, 2).await;
        store.report_devices(&link, &[device("device-1")], NOW).await.unwrap();
        let known = store.list_host_devices(&system(), link.host()).await.unwrap();
        let online = known.iter().map(|device| (device.serial.as_str(), device.online)).collect::<Vec<_>>();
        assert_eq!(online, [("device-0", false), ("device-1", true)]);
    }

    async fn a_host_is_lost_when_no_server_has_it_for_a_while_and_not_before(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (link, node) = host(&store, Some(acme), "rack").await;
        let device = device("phone");
        store.report_devices(&link, std::slice::from_ref(&device), NOW).await.unwrap();
        let (hold, ask) = request();
        let session = create(&store, acme, owner, NOW).await;
        let session = change(&store, session, ask, NOW).await.unwrap();
        let session = change(&store, session, grant(hold, device.new, 1), NOW).await.unwrap();

        // An hour connected without a new report, then the connection breaks.
        let later = NOW + Span::minutes(60);
        let lost_since = async |cutoff| store.list_lost_hosts(&system(), cutoff).await.unwrap();
        store.renew_host_links(&system(), node, &[link.host()], later).await.unwrap();
        assert_eq!(lost_since(later).await, []);
        store.remove_host_link(&system(), node, link.host()).await.unwrap();
        assert_eq!(lost_since(later - Span::seconds(50)).await, [], "it may only be reconnecting");

        let lost = lost_since(later + Span::seconds(1)).await;
        assert_eq!((lost.len(), lost[0].host, lost[0].name.as_str()), (1, link.host(), "rack"));
        let holds = lost[0].holds.iter().map(|due| (due.session.id, due.hold)).collect::<Vec<_>>();
        assert_eq!(holds, [(session.id, hold)]);
        store.set_host_offline(&system(), link.host()).await.unwrap();
        let known = store.list_host_devices(&system(), link.host()).await.unwrap();
        assert!(!known[0].online && known[0].holder == Some(hold), "its holds are ended one by one");
    }

    async fn a_host_on_the_line_of_another_server_is_not_lost(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (link, gone) = host(&store, Some(acme), "rack").await;
        let (_, other) = host(&store, Some(acme), "rack").await;
        store.report_devices(&link, &[device("phone")], NOW).await.unwrap();
        let later = NOW + Span::minutes(60);
        store.renew_host_links(&system(), other, &[link.host()], later).await.unwrap();
        store.remove_host_link(&system(), gone, link.host()).await.unwrap();
        assert_eq!(store.list_lost_hosts(&system(), later).await.unwrap(), []);
    }

    async fn only_the_newest_hold_of_a_device_can_be_reported_clean(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (link, devices) = pool(&store, 1).await;
        for fence in 1..=2 {
            let (hold, ask) = request();
            let session = create(&store, acme, owner, NOW).await;
            let session = change(&store, session, ask, NOW).await.unwrap();
            let session = change(&store, session, grant(hold, devices[0], fence), NOW).await.unwrap();
            store.record_device_cleaned(&link, "device-0", fence).await.unwrap();
            change(&store, session, crate::world::release(hold), NOW).await.unwrap();
            assert_eq!(store.list_devices_to_clean(&system()).await.unwrap().len(), 1, "held, it was not dirty yet");
            store.record_device_cleaned(&link, "device-0", fence - 1).await.unwrap();
            assert_eq!(store.list_devices_to_clean(&system()).await.unwrap().len(), 1, "an old number changes nothing");
            store.record_device_cleaned(&link, "device-0", fence).await.unwrap();
            assert!(store.list_all_devices(&system()).await.unwrap()[0].is_free());
        }
    }
}
