//! A watch, applied to an earlier list, gives exactly the later list: across reconnects, servers and restarts.

use crate::session_index::{Choices, Tenant, act};
use crate::world::{Actor, World};
use axum::body::Body;
use domain::ids::SessionId;
use domain::page::ListRange;
use domain::permission::Role;
use domain::time::{Micros, Span};
use jiff::tz::TimeZone;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use server::App;
use server::operations::access::authenticate;
use server::operations::sessions::Encoding;
use server::operations::sessions::ordered::{PageRange, list_page};
use server::operations::sessions::queries::{ListFilter, read_filter};
use server::operations::sessions::visible::{NamedSession, VisibleSource, authorize_sessions};
use server::operations::sessions::watch::{ListWatch, WatchEvent, WatchStart, watch_list};
use server::services::session_bodies::BodyShape;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{OrganizationChoice, RequestedScope, VisibleSessions};

/// Filters of every kind of condition. Some depend on names, on texts or on the time.
const FILTERS: [&str; 12] = [
    "",
    "kind:agent -state:ended",
    "kind:device",
    "tags:red",
    "tags:(red, blue) origin:api",
    "archived:true OR kind:device",
    "has:children",
    "titled:false kind:agent",
    "duration < 30s",
    "title",
    "owner:me",
    "NOT repo:o/a updated > -1h",
];

fn write(_: &App, named: &NamedSession, _: Micros) -> serde_json::Result<Box<RawValue>> {
    to_raw_value(&json!({ "id": named.session.key().id.uuid() }))
}

/// A list: the revision of each session, and the total.
type List = (BTreeMap<SessionId, i64>, u64);

/// Somebody who has read a list, and watches it.
struct Reader<'w> {
    server: &'w World,
    actor: Actor<'w>,
    text: &'static str,
    filter: ListFilter,
    list: List,
    start: WatchStart,
    watch: Option<ListWatch>,
}

async fn see(world: &World, actor: &Actor<'_>) -> VisibleSessions {
    let caller = authenticate::authenticate(world.app(), actor.key.as_deref(), OrganizationChoice::ByDefault);
    authorize_sessions(world.app(), &caller.await.unwrap(), &RequestedScope::Everything).await.unwrap()
}

async fn read_list(world: &World, actor: &Actor<'_>, filter: &ListFilter) -> (List, WatchStart) {
    let visible = see(world, actor).await;
    let at = world.app().now();
    let encode = |named: &NamedSession, now: Micros| write(world.app(), named, now);
    let encoding = Encoding { shape: BodyShape::Tenure, encode: &encode };
    let range = PageRange::Newest(ListRange::Before { position: None, limit: 10_000 });
    let source = VisibleSource::new(world.app(), &visible);
    let page = list_page(world.app(), &source, filter.filter(), range, encoding).await.unwrap();
    let rows = page.list.items.iter().map(|listed| (listed.session.key.id, listed.session.revision));
    let start = WatchStart { position: page.position, at, lookups: filter.hash_lookups() };
    ((rows.collect(), page.list.total), start)
}

impl<'w> Reader<'w> {
    async fn open(server: &'w World, actor: &Actor<'_>, text: &'static str) -> Reader<'w> {
        let actor = actor.at_server(server);
        let visible = see(server, &actor).await;
        let filter = read_filter(server.app(), &visible, text, TimeZone::UTC).await.unwrap();
        let (list, start) = read_list(server, &actor, &filter).await;
        Reader { server, actor, text, filter, list, start, watch: None }
    }

    /// Connects again, at a server, and goes on from the last position.
    async fn connect(&mut self, server: &'w World) {
        (self.server, self.actor) = (server, self.actor.at_server(server));
        let visible = see(server, &self.actor).await;
        // A token has the filter as it was read.
        let filter = read_filter(server.app(), &visible, &self.filter.text(), TimeZone::UTC).await.unwrap();
        let watch = watch_list(server.app(), &visible, &filter, &self.start, write).await.unwrap();
        self.filter = filter;
        self.apply(&watch.since).await;
        self.watch = Some(watch);
    }

    async fn apply(&mut self, event: &WatchEvent) {
        let changes = match event {
            WatchEvent::Changes(changes) => changes,
            WatchEvent::Resync => {
                let visible = see(self.server, &self.actor).await;
                let text = self.filter.text();
                self.filter = read_filter(self.server.app(), &visible, &text, TimeZone::UTC).await.unwrap();
                (self.list, self.start) = read_list(self.server, &self.actor, &self.filter).await;
                return;
            }
        };
        for listed in changes.entered.iter().chain(&changes.changed) {
            self.list.0.insert(listed.session.key.id, listed.session.revision);
        }
        for id in &changes.left {
            self.list.0.remove(id);
        }
        self.list.1 = changes.total;
        if let Some(next) = &changes.next {
            self.start = next.clone();
        }
    }

    /// Applies what has come, until the list is what a new reader gets.
    async fn settle(&mut self) {
        let mut waits = 0;
        loop {
            let visible = see(self.server, &self.actor).await;
            let text = self.filter.text();
            let filter = read_filter(self.server.app(), &visible, &text, TimeZone::UTC).await.unwrap();
            let (current, _) = read_list(self.server, &self.actor, &filter).await;
            if self.list == current {
                return;
            }
            let watch = self.watch.as_mut().unwrap();
            match tokio::time::timeout(Duration::from_secs(10), watch.next()).await {
                Ok(Some(event)) => self.apply(&event).await,
                Ok(None) => self.connect(self.server).await,
                Err(_) => panic!("{:?}: no event after {waits}: {:?}, not {current:?}", self.text, self.list),
            }
            waits += 1;
        }
    }
}

fn pick<'w>(choices: &mut Choices, servers: &[&'w World]) -> &'w World {
    servers[choices.next(servers.len())]
}

async fn live<'w>(world: &'w World, servers: &[&'w World], seed: u64) {
    println!("seed {seed}");
    let mut choices = Choices(seed);
    let mut tenants = Vec::new();
    for name in ["Acme", "Globex"] {
        let id = world.organization(&format!("{name} {seed}")).await;
        let admin = world.member(id, Role::Admin).await;
        tenants.push(Tenant { id, admin, agents: Vec::new(), devices: Vec::new(), deleted: false });
    }
    for _ in 0..20 {
        world.advance(Span::seconds(1));
        let number = choices.next(2);
        act(&mut choices, &mut tenants[number], servers[0]).await;
    }
    let root = world.account_member(domain::permission::AccountRole::Admin).await;
    let actors = [tenants[0].admin.clone(), root];
    let mut readers = Vec::new();
    for text in FILTERS {
        for actor in &actors {
            readers.push(Reader::open(pick(&mut choices, servers), actor, text).await);
        }
    }
    for round in 0..6 {
        for reader in &mut readers {
            // Some stay away for a while.
            if round % 2 == 0 || choices.next(3) > 0 {
                reader.connect(pick(&mut choices, servers)).await;
            } else {
                reader.watch = None;
            }
        }
        for _ in 0..12 {
            world.advance(Span::seconds(1));
            let number = choices.next(2);
            let server = pick(&mut choices, servers);
            act(&mut choices, &mut tenants[number], server).await;
        }
        for reader in &mut readers {
            if reader.watch.is_none() {
                reader.connect(pick(&mut choices, servers)).await;
            }
            reader.settle().await;
        }
    }
}

/// The frames of a stream so far.
async fn read_frames(body: Body, wanted: usize) -> (Body, Vec<(String, String, Value)>) {
    use http_body_util::BodyExt;
    let (mut body, mut text, mut frames) = (body, String::new(), Vec::new());
    while frames.len() < wanted {
        let frame =
            tokio::time::timeout(Duration::from_secs(10), body.frame()).await.expect("a frame in time");
        let Some(Ok(frame)) = frame else { break };
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        while let Some((frame, rest)) = text.clone().split_once("\n\n") {
            let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            if let Some(data) = line("data") {
                let frame = (
                    line("event").unwrap().to_owned(),
                    line("id").unwrap_or_default().to_owned(),
                    serde_json::from_str(data).unwrap(),
                );
                frames.push(frame);
            }
            text = rest.to_owned();
        }
    }
    (body, frames)
}

async fn open_stream(actor: &Actor<'_>, path: &str, last: Option<&str>) -> (u16, Body) {
    use tower::ServiceExt;
    let mut request = axum::http::Request::builder().uri(path);
    request = request.header("authorization", format!("Bearer {}", actor.key.as_ref().unwrap()));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let router = server::wires::router(actor.world.app().clone());
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status().as_u16(), response.into_body())
}

both! {
    async fn a_watch_gives_the_later_list(world: &World) {
        for seed in 1..3 {
            live(world, &[world], seed).await;
        }
    }

    async fn a_stream_begins_where_the_list_was_read_and_goes_on_from_an_event(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let first = ana.session().await;
        let list = ana.get("/tenure/v1/sessions?filter=kind:device").await.json();
        let path = format!("/tenure/v1/watch?token={}", list["watch"].as_str().unwrap());
        // Between the list and the watch.
        let second = ana.session().await;
        let (status, body) = open_stream(&ana, &path, None).await;
        assert_eq!(status, 200);
        let (body, frames) = read_frames(body, 1).await;
        assert_eq!((frames[0].0.as_str(), &frames[0].2["total"]), ("changes", &json!(2)));
        assert_eq!(frames[0].2["changed"][0]["id"], second, "{frames:?}");
        for (event, id, data) in &frames {
            crate::contracts::check_frame("/tenure/v1/watch", event, id, data);
        }
        let third = ana.session().await;
        let (body, frames) = read_frames(body, 1).await;
        assert_eq!((&frames[0].2["entered"][0]["id"], &frames[0].2["total"]), (&json!(third), &json!(3)));
        let last = frames[0].1.clone();
        drop(body);
        assert_eq!(ana.delete(&format!("/api/v1/sessions/{first}")).await.status, 204);
        let (status, body) = open_stream(&ana, &path, Some(&last)).await;
        assert_eq!(status, 200);
        let (_, frames) = read_frames(body, 1).await;
        let changed = frames[0].2["changed"].as_array().unwrap();
        assert_eq!((changed.len(), &changed[0]["id"]), (1, &json!(first)), "{frames:?}");
        // A token belongs to its reader.
        let bob = world.member(acme, Role::Readwrite).await;
        assert_eq!(open_stream(&bob, &path, None).await.0, 400);
        assert_eq!(open_stream(&ana, &path, Some("x")).await.0, 400);
        assert_eq!(open_stream(&ana, "/tenure/v1/watch?token=x", None).await.0, 400);
    }

    async fn a_reader_who_loses_access_is_cut(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let list = ana.get("/tenure/v1/sessions").await.json();
        let path = format!("/tenure/v1/watch?token={}", list["watch"].as_str().unwrap());
        let (_, body) = open_stream(&ana, &path, None).await;
        let (body, _) = read_frames(body, 1).await;
        assert_eq!(ben.delete(&format!("/api/v1/members/{}", ana.principal)).await.status, 204);
        ben.session().await;
        let (_, frames) = read_frames(body, 5).await;
        assert!(frames.iter().all(|(event, ..)| event == "resync"), "nothing of the organization: {frames:?}");
        assert_ne!(open_stream(&ana, &path, None).await.0, 500);
    }

    async fn a_watch_of_an_admin_tells_when_the_people_of_the_organization_change(world: &World) {
        let acme = world.organization("Acme").await;
        let ben = world.member(acme, Role::Admin).await;
        let list = ben.get("/tenure/v1/sessions").await.json();
        let path = format!("/tenure/v1/watch?token={}", list["watch"].as_str().unwrap());
        world.member(acme, Role::Readonly).await;
        let (_, body) = open_stream(&ben, &path, None).await;
        let (_, frames) = read_frames(body, 1).await;
        assert_eq!(frames[0].0, "resync", "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_at_another_server() {
    if let Some(world) = World::postgres().await {
        let other = world.another_server(|_| {}).await;
        for seed in 11..13 {
            live(&world, &[&world, &other], seed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_not_kept_is_a_resync() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readwrite).await;
    ana.session().await;
    let mut reader = Reader::open(&world, &ana, "").await;
    ana.session().await;
    let store::FeedPosition::Numbered { number, .. } = reader.start.position else { panic!("of SQLite") };
    for position in [
        store::FeedPosition::Numbered { number, at_us: 7 },
        store::FeedPosition::Numbered { number: number + 1_000, at_us: 7 },
        store::FeedPosition::parse("10:20:").unwrap(),
    ] {
        reader.start.position = position;
        let visible = see(&world, &ana).await;
        let watch = watch_list(world.app(), &visible, &reader.filter, &reader.start, write).await.unwrap();
        assert!(matches!(watch.since, WatchEvent::Resync), "{:?}", reader.start);
    }
}
