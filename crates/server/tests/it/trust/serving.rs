//! Workers and hosts name the organization that they serve, and their keys must allow it.

use crate::world::{Actor, TestResponse};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use serde_json::json;

const SERVES: &str = protocol::SERVES_HEADER;

async fn claims(worker: &Actor<'_>, headers: &[(&str, &str)]) -> TestResponse {
    let claim = json!({ "worker": "w", "wait_seconds": 0 }).to_string();
    worker.send("POST", "/tenure/v1/work/claim", headers, Body::from(claim)).await
}

both! {
    async fn a_worker_serves_the_requested_organization_if_its_key_allows(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let member = world.member(globex, Role::Readwrite).await;
        let (ours, shared) = (world.member(acme, Role::Worker).await, world.account_member(AccountRole::Worker).await);
        let (acme, globex) = (acme.to_string(), globex.to_string());
        // With a key of an organization it serves that one, with and without naming it.
        assert_eq!(claims(&ours, &[]).await.status, 204);
        assert_eq!(claims(&ours, &[(SERVES, "organization")]).await.status, 204);
        let refused = claims(&ours, &[(SERVES, "account")]).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("a key of the account"), "{}", refused.text());
        assert_eq!(claims(&ours, &[("x-organization-id", &globex)]).await.status, 403);
        // With a key of the account it serves all organizations, unless it names one.
        assert_eq!(claims(&shared, &[(SERVES, "organization")]).await.status, 403);
        for bad in ["everybody", "", "Account"] {
            assert_eq!(claims(&shared, &[(SERVES, bad)]).await.status, 400, "{bad}");
        }
        assert_eq!(claims(&shared, &[(SERVES, "account"), ("x-organization-id", &globex)]).await.status, 400);
        member.agent_session(Some("hi")).await;
        assert_eq!(claims(&shared, &[("x-organization-id", &acme)]).await.status, 204);
        assert_eq!(claims(&shared, &[(SERVES, "account")]).await.status, 200);
    }

    async fn a_host_serves_the_requested_organization_if_its_key_allows(world: &World) {
        let acme = world.organization("Acme").await;
        let (ours, shared) = (world.member(acme, Role::Host).await, world.account_member(AccountRole::Host).await);
        let open = async |host: &Actor<'_>, headers: &[(&str, &str)]| {
            host.send("GET", "/tenure/v1/host", headers, Body::empty()).await.status.as_u16()
        };
        let acme = acme.to_string();
        // 400: the caller would be admitted, but this is not a WebSocket.
        assert_eq!(open(&ours, &[]).await, 400);
        assert_eq!(open(&ours, &[(SERVES, "account")]).await, 403);
        assert_eq!(open(&shared, &[(SERVES, "account")]).await, 400);
        assert_eq!(open(&shared, &[("x-organization-id", &acme)]).await, 400);
        assert_eq!(open(&shared, &[(SERVES, "organization")]).await, 403);
    }
}
