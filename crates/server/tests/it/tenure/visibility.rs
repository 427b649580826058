//! Who sees which sessions: rows, totals, facets, completion, batches and single sessions all agree.

use crate::world::{Actor, World};
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The sessions of a person: one of each kind.
struct Person<'w> {
    name: &'static str,
    actor: Actor<'w>,
    sessions: Vec<(String, String)>,
}

/// A member who has a device session and an agent session, if their role lets them, and a login session.
async fn person<'w>(
    world: &'w World,
    name: &'static str,
    organization: Option<OrganizationId>,
    role: Role,
) -> Person<'w> {
    let actor = match organization {
        Some(organization) => world.member(organization, role).await,
        None => world.account_member(AccountRole::Admin).await,
    };
    let mut sessions = Vec::new();
    if matches!(role, Role::Readwrite | Role::Admin) && organization.is_some() {
        sessions.push((format!("{name} device"), actor.session().await));
        sessions.push((format!("{name} agent"), actor.agent_session(Some("hello")).await.id.to_string()));
    }
    if !matches!(role, Role::Worker | Role::Host) {
        assert_eq!(actor.post("/frontend/api/v1/auth/jwt", json!({})).await.status, 200, "{name}");
        let listed = actor.get("/frontend/api/v1/auth/session").await.json();
        sessions.push((format!("{name} login"), listed["sessions"][0]["id"].as_str().unwrap().to_owned()));
    }
    Person { name, actor, sessions }
}

fn ids(response: &Value) -> BTreeSet<String> {
    response["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Checks that every answer shows exactly the expected sessions.
async fn check_all(what: &str, actor: &Actor<'_>, query: &str, all: &[(String, String)], expected: &[&str]) {
    let named = |id: &String| all.iter().find(|(_, known)| known == id).map(|(name, _)| name.clone());
    let expected = expected.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let list = actor.get(&format!("/tenure/v1/sessions?limit=500&{query}")).await;
    assert_eq!(list.status, 200, "{what}: {}", list.text());
    let list = list.json();
    let shown = ids(&list).iter().map(|id| named(id).unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(shown, expected, "{what}: the list");
    assert_eq!(list["total"], expected.len(), "{what}: the total");
    let facets = actor.get(&format!("/tenure/v1/sessions/facets?by=kind,owner&{query}")).await.json();
    assert_eq!(facets["total"], expected.len(), "{what}: the total of the facets");
    for field in ["kind", "owner"] {
        let counts = facets["facets"][field].as_array().unwrap().iter();
        let sum = counts.map(|value| value["count"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum, expected.len() as u64, "{what}: the facets of {field}");
    }
    let histogram = actor.get(&format!("/tenure/v1/sessions/histogram?split=kind&{query}")).await.json();
    let started =
        histogram["series"].as_array().unwrap().iter().flat_map(|line| line["started"].as_array().unwrap());
    assert_eq!(
        started.map(|count| count.as_u64().unwrap()).sum::<u64>(),
        expected.len() as u64,
        "{what}: over time"
    );
    let ids = all.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
    let batch = actor.post(&format!("/tenure/v1/sessions:batchGet?{query}"), json!({ "ids": ids })).await;
    let batch = batch.json();
    let found = self::ids(&batch).iter().map(|id| named(id).unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(found, expected, "{what}: the batch");
    assert_eq!(batch["missing"].as_array().unwrap().len(), all.len() - expected.len(), "{what}");
    let wanted = format!("id:({})", ids.join(", ")).replace(' ', "%20").replace(',', "%2C");
    let by_id = actor.get(&format!("/tenure/v1/sessions?limit=500&filter={wanted}&{query}")).await.json();
    assert_eq!(by_id["total"], expected.len(), "{what}: by ids");
    for (name, id) in all {
        let status = actor.get(&format!("/tenure/v1/sessions/{id}?{query}")).await.status.as_u16();
        assert_eq!(status, if expected.contains(name) { 200 } else { 404 }, "{what}: {name}");
    }
    check_completion(what, actor, query, all, &expected).await;
}

/// Completion offers the values of visible sessions only.
async fn check_completion(
    what: &str,
    actor: &Actor<'_>,
    query: &str,
    all: &[(String, String)],
    expected: &BTreeSet<String>,
) {
    for (field, kind) in [("origin", "agent"), ("login.client", "login"), ("platform", "device")] {
        let offered = actor.get(&format!("/tenure/v1/filter/complete?text={field}:&{query}")).await.json();
        let counts = offered["items"].as_array().unwrap().iter().filter_map(|item| item["count"].as_u64());
        let visible = all.iter().filter(|(name, _)| expected.contains(name) && name.ends_with(kind)).count();
        assert!(counts.sum::<u64>() <= visible as u64, "{what}: completion of {field}: {offered}");
    }
    let owners = actor.get(&format!("/tenure/v1/filter/complete?text=owner:&{query}")).await.json();
    let counts = owners["items"].as_array().unwrap().iter().filter_map(|item| item["count"].as_u64());
    assert_eq!(counts.sum::<u64>(), expected.len() as u64, "{what}: completion of owners: {owners}");
}

both! {
    async fn everybody_sees_exactly_what_they_may(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let people = [
            person(world, "ana", Some(acme), Role::Readwrite).await,
            person(world, "ben", Some(acme), Role::Admin).await,
            person(world, "cleo", Some(acme), Role::Readonly).await,
            person(world, "otto", Some(acme), Role::Auditor).await,
            person(world, "dora", Some(globex), Role::Readwrite).await,
            person(world, "root", None, Role::Admin).await,
        ];
        let all = people.iter().flat_map(|person| person.sessions.clone()).collect::<Vec<_>>();
        let acme_work = ["ana device", "ana agent", "ben device", "ben agent"];
        let globex_work = ["dora device", "dora agent"];
        let acme_logins = ["ana login", "ben login", "cleo login", "otto login"];
        let everything = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let [ana, ben, cleo, otto, dora, root] = &people;
        for (person, expected) in [
            (ana, [&acme_work[..], &["ana login"]].concat()),
            (ben, [&acme_work[..], &acme_logins].concat()),
            (cleo, [&acme_work[..], &["cleo login"]].concat()),
            (otto, vec!["otto login"]),
            (dora, [&globex_work[..], &["dora login"]].concat()),
            (root, everything.clone()),
        ] {
            check_all(person.name, &person.actor, "", &all, &expected).await;
        }
        // One organization: also for those who see more.
        for (person, organization, expected) in [
            (ben, acme, [&acme_work[..], &acme_logins].concat()),
            (cleo, acme, [&acme_work[..], &["cleo login"]].concat()),
            (root, acme, [&acme_work[..], &acme_logins].concat()),
            (root, globex, [&globex_work[..], &["dora login"]].concat()),
        ] {
            let what = format!("{} in one organization", person.name);
            check_all(&what, &person.actor, &format!("scope={organization}"), &all, &expected).await;
            check_all(&what, &person.actor.naming(organization), "", &all, &expected).await;
        }
        check_all("root in both", &root.actor, &format!("scope={acme},{globex}"), &all,
            &everything.iter().copied().filter(|name| *name != "root login").collect::<Vec<_>>()).await;
        check_all("root in the account", &root.actor, "scope=account", &all, &everything).await;
        let viewer = world.account_member(AccountRole::Viewer).await;
        check_all("viewer", &viewer, "scope=account", &all, &[&acme_work[..], &globex_work].concat()).await;
        // A key that is bound to an organization sees no other. There, its owner is an administrator.
        let bound = world.actor(root.actor.principal, Some(globex), None).await;
        check_all("bound", &bound, "", &all, &["dora device", "dora agent", "dora login", "root login"]).await;
    }

    async fn a_scope_that_one_may_not_see_is_refused_alike(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let gone = world.organization("Gone").await;
        let system = store::System::for_administration();
        world.store().delete_organization(&system, gone, world.app().now()).await.unwrap();
        let ana = world.member(acme, Role::Admin).await;
        let root = world.account_member(AccountRole::Admin).await;
        let unknown = domain::ids::SessionId::new(world.app().now(), 1);
        let paths = ["sessions", "sessions/facets", "filter/fields", "filter/complete"];
        for path in paths {
            let ask = async |actor: &Actor<'_>, scope: &str| {
                let response = actor.get(&format!("/tenure/v1/{path}?scope={scope}")).await;
                (response.status.as_u16(), response.body)
            };
            let refused = ask(&ana, &globex.to_string()).await;
            assert_eq!(refused.0, 403, "{path}");
            for other in [gone.to_string(), unknown.to_string(), "x".into(), format!("{acme},{globex}")] {
                assert_eq!(ask(&ana, &other).await, refused, "{path} {other}");
            }
            assert_eq!(ask(&root, &gone.to_string()).await, refused, "{path}: of the account, a deleted one");
            assert_eq!(ask(&ana, "account").await.0, 403, "{path}");
            assert_eq!(ask(&ana, &acme.to_string()).await.0, 200, "{path}");
        }
    }

    async fn workers_hosts_and_nobody_see_nothing(world: &World) {
        let acme = world.organization("Acme").await;
        for role in [Role::Worker, Role::Host] {
            let machine = world.principal(None, Some((acme, role))).await;
            let machine = world.actor(machine, None, None).await;
            for path in ["sessions", "sessions/facets", "filter/fields", "filter/complete", "watch?token=x"] {
                let response = machine.get(&format!("/tenure/v1/{path}")).await;
                assert_eq!((response.status.as_u16(), &response.json()["code"]), (403, &json!("out_of_scope")), "{role:?} {path}");
            }
        }
        assert_eq!(world.caller(None).get("/tenure/v1/sessions").await.status, 401);
        // A person without an organization sees their own sign-ins.
        let nowhere = world.principal(None, None).await;
        let nowhere = world.actor(nowhere, None, None).await;
        assert_eq!(nowhere.get("/tenure/v1/sessions").await.json()["total"], 0);
    }

    async fn who_loses_a_membership_loses_its_sessions_at_once(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        ana.session().await;
        assert_eq!(ana.get("/tenure/v1/sessions").await.json()["total"], 1);
        let path = format!("/api/v1/members/{}", ana.principal);
        assert_eq!(ben.delete(&path).await.status, 204);
        let after = ana.get("/tenure/v1/sessions").await;
        assert!(after.status == 401 || after.json()["total"] == 0, "{}", after.text());
    }
}
