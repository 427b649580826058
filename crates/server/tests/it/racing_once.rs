//! Single-use objects are used once in a race of 32 clients, at two servers of one database.

use crate::probe::{AUTH, PASSWORD, USER, token_in};
use crate::world::{Actor, TestResponse};
use axum::body::Body;
use domain::permission::Role;
use futures_util::future::join_all;
use serde_json::json;

const CLIENTS: usize = 32;

/// Sends the same request from many clients at once, to two servers in turn. Returns the statuses, sorted.
async fn race<'a, F: Future<Output = TestResponse>>(
    actors: [&'a Actor<'a>; 2],
    send: impl Fn(&'a Actor<'a>) -> F,
) -> Vec<u16> {
    let all = (0..CLIENTS).map(|client| send(actors[client % 2]));
    let mut statuses =
        join_all(all).await.iter().map(|response| response.status.as_u16()).collect::<Vec<_>>();
    statuses.sort_unstable();
    statuses
}

/// One success, and the same refusal for all others.
fn once(good: u16, refused: u16) -> Vec<u16> {
    let mut expected = vec![refused; CLIENTS - 1];
    expected.push(good);
    expected.sort_unstable();
    expected
}

both! {
    async fn tokens_sent_by_mail_are_used_once(world: &World) {
        let beside = world.another_server(|_| {}).await;
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let body = json!({ "email": "sub@example.com", "password": PASSWORD });
        assert_eq!(ana.post(&format!("{USER}/current"), body).await.status, 200);
        let verify = json!({ "verify-token": token_in(&world.mail(1).await) }).to_string();
        let anonymous = [&world.caller(None), &beside.caller(None)];
        let path = format!("{AUTH}/verify");
        assert_eq!(race(anonymous, |one| one.call_with("POST", &path, &verify)).await, once(200, 401));
        let forgot = json!({ "email": "sub@example.com" }).to_string();
        let path = format!("{AUTH}/password-restore");
        assert_eq!(anonymous[0].call_with("POST", &path, &forgot).await.status, 200);
        let token = token_in(&world.mail(2).await);
        let restore = json!({ "verify-token": token, "new-password": "another horse" }).to_string();
        let path = format!("{AUTH}/password-restore-verify");
        assert_eq!(race(anonymous, |one| one.call_with("POST", &path, &restore)).await, once(200, 401));
        assert_eq!(world.try_sign_in("sub@example.com", "another horse").await.status, 200);
    }

    async fn an_invitation_is_accepted_once_and_not_rejected_as_well(world: &World) {
        let beside = world.another_server(|_| {}).await;
        let acme = world.organization("Acme").await;
        let eve = world.lone("eve@example.com").await;
        let own = [&eve, &eve.at_server(&beside)];
        let first = world.invite(acme, "eve@example.com", Role::Readwrite).await;
        let path = format!("/api/v1/invitations/{}/accept", first.id);
        assert_eq!(race(own, |one| one.call("POST", &path, Body::empty())).await, once(204, 404));
        // It is either accepted or rejected, never both.
        let globex = world.organization("Globex").await;
        let second = world.invite(globex, "eve@example.com", Role::Readonly).await;
        let both = (0..CLIENTS).map(|client| {
            let (one, word) = (own[client % 2].clone(), if client % 4 < 2 { "accept" } else { "reject" });
            let path = format!("/api/v1/invitations/{}/{word}", second.id);
            async move { (word, one.call("POST", &path, Body::empty()).await.status.as_u16()) }
        });
        let responses = join_all(both).await;
        let won = responses.iter().filter(|(_, status)| *status == 204).collect::<Vec<_>>();
        assert_eq!(won.len(), 1, "{responses:?}");
        let member = eve.naming(globex).get("/api/v1/sessions").await.status == 200;
        assert_eq!(member, won[0].0 == "accept");
    }

    async fn one_address_is_invited_once(world: &World) {
        let beside = world.another_server(|_| {}).await;
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let body = json!({ "email": "eve@example.com", "role": "readonly" });
        let invite = |one| Actor::post(one, "/api/v1/members/invitations", body.clone());
        assert_eq!(race([&ana, &ana.at_server(&beside)], invite).await, once(201, 409));
        let members = ana.get("/api/v1/members").await.json();
        assert_eq!(members["invitations"].as_array().unwrap().len(), 1);
    }

    async fn a_program_gets_one_key(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let program = world.program().await;
        // It is also approved once.
        let responses = join_all((0..CLIENTS).map(|_| ana.lets_in(&program, acme))).await;
        assert_eq!(responses.iter().filter(|status| **status == 200).count(), 1, "{responses:?}");
        let asked = join_all((0..CLIENTS).map(|_| program.asks())).await;
        let keys = asked.iter().filter(|response| response.status == 200).count();
        assert_eq!(keys, 1);
        for refused in asked.iter().filter(|response| response.status != 200) {
            let error = refused.json()["error"].clone();
            assert!(["access_denied", "expired_token", "slow_down"].contains(&error.as_str().unwrap()), "{error}");
        }
        assert_eq!(ana.get("/api/v1/keys").await.json()["data"].as_array().unwrap().len(), 1);
    }

    async fn bad_sign_ins_at_once_are_counted_one_by_one(world: &World) {
        let beside = world.another_server(|_| {}).await;
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let body = json!({ "email": "ana@example.com", "password": "wrong horse" }).to_string();
        let anonymous = [&world.caller(None), &beside.caller(None)];
        let path = format!("{AUTH}/sign-in");
        let statuses = race(anonymous, |one| one.call_with("POST", &path, &body)).await;
        // Ten may fail. Each is counted before it is checked, so of concurrent ones fewer may be checked.
        let failed = statuses.iter().filter(|status| **status == 401).count();
        assert!(failed <= 10 && statuses[failed..].iter().all(|status| *status == 429), "{statuses:?}");
        assert_eq!(world.try_sign_in("ana@example.com", PASSWORD).await.status, 429);
    }
}
