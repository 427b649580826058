//! Lists in every order, in pages in both directions.

use crate::session_index::{Choices, Tenant, act};
use crate::world::Actor;
use domain::permission::Role;
use domain::session::{Field, OrderField};
use domain::time::Span;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Walks a list to its end and back, and returns its ids.
async fn walk(actor: &Actor<'_>, query: &str) -> Vec<String> {
    let path = |cursor: &Value| match cursor.as_str() {
        Some(cursor) => format!("/tenure/v1/sessions?limit=7&{query}&cursor={cursor}"),
        None => format!("/tenure/v1/sessions?limit=7&{query}"),
    };
    let (mut pages, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let response = actor.get(&path(&cursor)).await;
        assert_eq!(response.status, 200, "{query}: {}", response.text());
        let links = response.headers.get_all("link").iter().count();
        let page = response.json();
        assert_eq!(links, ["next", "prev"].iter().filter(|name| page[**name].is_string()).count());
        pages.push(page.clone());
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let there = pages.iter().flat_map(ids).collect::<Vec<_>>();
    assert!(pages.iter().all(|page| page["total"] == there.len()), "{query}");
    assert_eq!(there.iter().collect::<BTreeSet<_>>().len(), there.len(), "{query}: repeated");
    let mut back = ids(pages.last().unwrap());
    let mut cursor = pages.last().unwrap()["prev"].clone();
    while cursor.is_string() {
        let page = actor.get(&path(&cursor)).await.json();
        back.splice(0..0, ids(&page));
        cursor = page["prev"].clone();
    }
    assert_eq!(back, there, "{query}: walked back");
    there
}

both! {
    async fn a_list_has_each_session_once_in_every_order(world: &World) {
        let mut choices = Choices(5);
        let mut tenants = Vec::new();
        for name in ["Acme", "Globex"] {
            let id = world.organization(name).await;
            let admin = world.member(id, Role::Admin).await;
            tenants.push(Tenant { id, admin, agents: Vec::new(), devices: Vec::new(), deleted: false });
        }
        for step in 0..60 {
            world.advance(Span::seconds(1));
            act(&mut choices, &mut tenants[step % 2], world).await;
        }
        let root = world.account_member(domain::permission::AccountRole::Admin).await;
        for actor in [&root, &tenants[0].admin.clone()] {
            let newest = walk(actor, "").await;
            let mut sorted = newest.clone();
            sorted.sort();
            for field in Field::all().filter(|field| OrderField::from_field(*field).is_some()) {
                for sign in ["", "-"] {
                    let mut ordered = walk(actor, &format!("order={sign}{}", field.name())).await;
                    if (sign, field.name()) == ("-", "created") {
                        assert_eq!(ordered, newest);
                    }
                    ordered.sort();
                    assert_eq!(ordered, sorted, "{sign}{}", field.name());
                }
            }
            let filtered = walk(actor, "filter=kind:agent%20-state:ended&order=updated").await;
            assert!(filtered.len() < newest.len() && !filtered.is_empty());
        }
    }

    async fn bad_parameters_are_named(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        ana.session().await;
        let page = ana.get("/tenure/v1/sessions?limit=1").await.json();
        ana.session().await;
        let page_of_two = ana.get("/tenure/v1/sessions?limit=1").await.json();
        assert!(page["next"].is_null() && page_of_two["next"].is_string());
        let cursor = page_of_two["next"].as_str().unwrap();
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("order=colour", "order"),
            ("order=id", "order"),
            ("fields=id,colour", "fields"),
            ("timezone=Mars/Base", "timezone"),
            ("cursor=x", "cursor"),
            (&format!("cursor={cursor}&filter=kind:device"), "cursor"),
            (&format!("cursor={cursor}&order=created"), "cursor"),
            ("filtr=kind:device", "filtr"),
            ("limit=1&limit=2", "limit"),
        ] {
            let response = ana.get(&format!("/tenure/v1/sessions?{query}")).await;
            assert_eq!((response.status.as_u16(), &response.json()["field"]), (400, &json!(field)), "{query}");
        }
        let bob = world.member(acme, Role::Readwrite).await;
        assert_eq!(bob.get(&format!("/tenure/v1/sessions?cursor={cursor}")).await.status, 400, "of another reader");
        let chosen = ana.get("/tenure/v1/sessions?fields=state,id").await.json();
        assert_eq!(chosen["data"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "state"]);
    }

    async fn a_filter_with_faults_is_refused_with_their_places(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let response = ana.get("/tenure/v1/sessions?filter=kind:agent%20stat:running%20created%20%3E%20yesterdy").await;
        let problem = response.json();
        assert_eq!((response.status.as_u16(), &problem["code"]), (400, &json!("filter")));
        assert_eq!(response.headers["content-type"], "application/problem+json");
        assert_eq!(problem["detail"], "there is no field “stat”");
        assert_eq!(problem["hint"], "did you mean “state”?");
        let places = problem["faults"].as_array().unwrap().iter().map(|fault| (fault["at"].as_u64().unwrap(), fault["length"].as_u64().unwrap(), fault["code"].as_str().unwrap().to_owned()));
        assert_eq!(places.collect::<Vec<_>>(), [(11, 4, "unknown_field".to_owned()), (34, 8, "not_a_time".to_owned())]);
    }

    async fn names_and_words_are_found(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let titled = crate::agents::create_session(&ana, server::operations::agents::create::AgentSessionDraft {
            title: Some("Flaky login test".to_owned()), tags: vec!["nightly".to_owned()], ..Default::default()
        }).await.unwrap().id.to_string();
        let child = crate::agents::create_session(&ben, server::operations::agents::create::AgentSessionDraft {
            parent: domain::ids::SessionId::parse(&titled), ..Default::default()
        }).await.unwrap().id.to_string();
        let device = ana.session().await;
        let me = format!("{}@example.com", ana.principal);
        let counted = [&titled, &child, &device].map(Clone::clone);
        for (filter, expected) in [
            ("owner:me", vec![&titled, &device]),
            (&format!("owner:{me}"), vec![&titled, &device]),
            (&format!("-owner:{me}"), vec![&child]),
            (&format!("owner:{}", ana.principal), vec![&titled, &device]),
            ("title:flaky", vec![&titled]),
            ("title = \"Flaky login test\"", vec![&titled]),
            ("title = \"flaky login test\"", vec![]),
            ("flaky login", vec![&titled]),
            ("\"login flaky\"", vec![]),
            ("has:children", vec![&titled]),
            ("parent:*", vec![&child]),
            ("organization:Acme kind:device", vec![&device]),
            ("organization:Globex", vec![]),
            ("agent:default", vec![&titled, &child]),
            ("tags:night*", vec![&titled]),
            (&format!("id:{device}"), vec![&device]),
            ("is:running", vec![]),
        ] {
            let filter = form_urlencoded::byte_serialize(filter.as_bytes()).collect::<String>();
            let page = ana.get(&format!("/tenure/v1/sessions?filter={filter}")).await.json();
            let found = ids(&page).into_iter().collect::<BTreeSet<_>>();
            let expected = expected.into_iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(found, expected, "{filter}: {counted:?}");
        }
    }

    async fn a_session_shows_the_newest_names(world: &World) {
        let acme = world.organization("Acme").await;
        let ben = world.member(acme, Role::Admin).await;
        let session = ben.session().await;
        let name = async || ben.get(&format!("/tenure/v1/sessions/{session}")).await.json()["organization"]["name"].clone();
        assert_eq!(name().await, "Acme");
        let system = store::System::for_administration();
        world.store().rename_organization(&system, acme, "Acme Mobile", world.app().now()).await.unwrap();
        assert_eq!(name().await, "Acme Mobile");
    }
}
