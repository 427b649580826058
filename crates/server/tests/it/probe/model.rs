//! Random sequences of events of login sessions, compared with a simple model: after each step, every token ever issued is
//! valid exactly when the model says so.

use super::{AUTH, PASSWORD, SESSIONS};
use crate::world::{Actor, START, World};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::login::RENEW_EVERY;
use domain::permission::Role;
use domain::principal::PrincipalState;
use domain::time::{Micros, Span};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use server::operations::login;
use server::operations::login::tokens;
use server::operations::login::tokens::Use;
use std::time::Duration;
use store::{OrganizationChoice, System};

const PEOPLE: usize = 2;
const LIMIT: usize = 3;
const IDLE: Span = Span::minutes(60);
const LONG: Span = Span::minutes(8 * 60);
const SHORT: Span = Span::minutes(90);

/// A token is chosen by any number, from all tokens ever issued, valid or not.
#[derive(Debug, Clone)]
enum Step {
    SignIn { person: usize, long: bool, alone: bool },
    Use(Index),
    Renew(Index, bool),
    RevokeOne { by: Index, of: Index },
    RevokeOthers(Index),
    RevokeAll(Index),
    SignOut(Index),
    Password { by: Index, all: bool },
    Suspend(usize),
    Activate(usize),
    LeaveAndReturn(usize),
    Wait(Span),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let waits = [1, 30, 60, 61, 900, 3_599, 3_600, 5_399, 5_400, 28_800].map(Span::seconds);
    prop_oneof![
        8 => (0..PEOPLE, any::<bool>(), proptest::bool::weighted(0.1))
            .prop_map(|(person, long, alone)| Step::SignIn { person, long, alone }),
        6 => index().prop_map(Step::Use),
        3 => (index(), any::<bool>()).prop_map(|(by, long)| Step::Renew(by, long)),
        3 => (index(), index()).prop_map(|(by, of)| Step::RevokeOne { by, of }),
        1 => index().prop_map(Step::RevokeOthers),
        1 => index().prop_map(Step::RevokeAll),
        1 => index().prop_map(Step::SignOut),
        1 => (index(), any::<bool>()).prop_map(|(by, all)| Step::Password { by, all }),
        1 => (0..PEOPLE).prop_map(Step::Suspend),
        2 => (0..PEOPLE).prop_map(Step::Activate),
        1 => (0..PEOPLE).prop_map(Step::LeaveAndReturn),
        8 => proptest::sample::select(waits.to_vec()).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

struct Person {
    id: PrincipalId,
    email: String,
    password: String,
    active: bool,
}

#[derive(Debug)]
struct Session {
    owner: usize,
    seen: Micros,
    idle: Span,
    expires: Micros,
    ended: bool,
}

impl Session {
    fn alive(&self, now: Micros) -> bool {
        !self.ended && now < self.expires && now < self.seen + self.idle
    }
}

#[derive(Debug)]
struct Token {
    text: String,
    session: usize,
    expires: Micros,
}

/// All sessions and tokens, the oldest first.
struct Run<'w> {
    world: &'w World,
    organization: OrganizationId,
    people: Vec<Person>,
    sessions: Vec<Session>,
    tokens: Vec<Token>,
}

impl<'w> Run<'w> {
    async fn begin(world: &'w World, organization: OrganizationId) -> Run<'w> {
        let mut people = Vec::new();
        for _ in 0..PEOPLE {
            let email = format!("p{}@example.com", u32::from_be_bytes(world.bytes()));
            let id = world.user(organization, Role::Readwrite, &email).await;
            people.push(Person { id, email, password: PASSWORD.to_owned(), active: true });
        }
        Run { world, organization, people, sessions: Vec::new(), tokens: Vec::new() }
    }

    fn now(&self) -> Micros {
        self.world.app().now()
    }

    fn good(&self, token: usize) -> bool {
        let Token { session, expires, .. } = &self.tokens[token];
        self.sessions[*session].alive(self.now()) && self.now() < *expires
    }

    fn actor(&self, token: usize) -> Actor<'w> {
        self.world.caller(Some(&self.tokens[token].text))
    }

    /// The effects that any request with a token has.
    async fn record_use(&mut self, token: usize) {
        let (now, number) = (self.now(), self.tokens[token].session);
        let session = &mut self.sessions[number];
        if now < session.seen + RENEW_EVERY {
            return;
        }
        session.seen = now;
        if !session.alive(now) {
            return;
        }
        let (id, owner) = (sid(&self.tokens[token].text), self.people[session.owner].id);
        let own = System::for_background_jobs().grant_person(owner);
        let store = self.world.store();
        let noted = || async { store.load_login(&own, id).await.unwrap().seen == now };
        crate::world::wait_until("the use is noted", noted).await;
    }

    fn end(&mut self, which: impl Fn(usize, &Session) -> bool) {
        for (number, session) in self.sessions.iter_mut().enumerate() {
            session.ended |= which(number, session);
        }
    }

    fn end_all_of(&mut self, person: usize, but: Option<usize>) {
        self.end(|number, session| session.owner == person && Some(number) != but);
    }

    /// Sends a request with a token, which counts as a use if the token is valid. Returns the status and the user.
    async fn send_with(
        &mut self,
        token: usize,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, Option<usize>) {
        let good = self.good(token);
        let response = self.actor(token).call_with(method, path, body).await;
        assert_eq!(response.status == 401, !good, "{method} {path}: {}", response.text());
        (response.status.as_u16(), good.then(|| self.sessions[self.tokens[token].session].owner))
    }

    async fn sign_in(&mut self, person: usize, long: bool, alone: bool) {
        let Person { email, password, active, .. } = &self.people[person];
        let body =
            json!({ "email": email, "password": password, "long-term-token": long, "logout-other": alone });
        let nobody = self.world.caller(None);
        let response = nobody.call_with("POST", &format!("{AUTH}/sign-in"), &body.to_string()).await;
        assert_eq!(response.status, if *active { 200 } else { 401 }, "{}", response.text());
        if !active {
            return;
        }
        let now = self.now();
        let mut open = (0..self.sessions.len())
            .filter(|&number| self.sessions[number].owner == person && self.sessions[number].alive(now))
            .collect::<Vec<_>>();
        open.sort_by_key(|&number| (self.sessions[number].seen, number));
        let stay = if alone { 0 } else { LIMIT - 1 };
        open.truncate(open.len().saturating_sub(stay));
        self.end(|number, _| open.contains(&number));
        let life = if long { LONG } else { SHORT };
        let text = response.json()["jwt-token"]["token"].as_str().unwrap().to_owned();
        self.tokens.push(Token { text, session: self.sessions.len(), expires: now + life });
        let idle = IDLE.min(life);
        self.sessions.push(Session { owner: person, seen: now, idle, expires: now + life, ended: false });
    }

    async fn renew(&mut self, by: usize, long: bool) {
        let good = self.good(by);
        let body = json!({ "long-term-token": long }).to_string();
        let response = self.actor(by).call_with("POST", &format!("{AUTH}/jwt"), &body).await;
        assert_eq!(response.status, if good { 200 } else { 401 }, "{}", response.text());
        if good {
            let life = if long { LONG } else { SHORT };
            let expires = self.tokens[by].expires.min(self.now() + life);
            let text = response.json()["token"].as_str().unwrap().to_owned();
            self.tokens.push(Token { text, session: self.tokens[by].session, expires });
            self.record_use(by).await;
        }
    }

    async fn revoke_one(&mut self, by: usize, of: usize) {
        let target = self.tokens[of].session;
        let path = format!("{SESSIONS}/{}", sid(&self.tokens[of].text));
        let there = self.sessions[target].alive(self.now());
        let (status, Some(owner)) = self.send_with(by, "DELETE", &path, "").await else { return };
        let own = there && self.sessions[target].owner == owner;
        assert_eq!(status, if own { 204 } else { 404 }, "{path}");
        self.end(|number, _| own && number == target);
        self.record_use(by).await;
    }

    /// A request that ends all sessions of its sender, except its own if that stays.
    async fn end_many(&mut self, by: usize, method: &str, path: &str, stays: bool) {
        let (status, Some(owner)) = self.send_with(by, method, path, "").await else { return };
        assert!([200, 204].contains(&status), "{path}: {status}");
        self.end_all_of(owner, stays.then_some(self.tokens[by].session));
        self.record_use(by).await;
    }

    async fn password(&mut self, by: usize, all: bool) {
        let session = self.tokens[by].session;
        let owner = self.sessions[session].owner;
        let new = format!("password-{}", u32::from_be_bytes(self.world.bytes()));
        let body =
            format!("old-password={}&new-password={new}", self.people[owner].password.replace(' ', "+"));
        let path = format!("{AUTH}/current/password?logout-all={all}");
        let (status, Some(_)) = self.send_with(by, "PUT", &path, &body).await else { return };
        assert_eq!(status, 204);
        self.people[owner].password = new;
        self.end_all_of(owner, (!all).then_some(session));
        self.record_use(by).await;
    }

    async fn state(&mut self, person: usize, active: bool) {
        let state = if active { PrincipalState::Active } else { PrincipalState::Suspended };
        let (store, id) = (self.world.store(), self.people[person].id);
        store.set_principal_state(&System::for_background_jobs(), id, state, self.now()).await.unwrap();
        self.people[person].active = active;
        if !active {
            self.end_all_of(person, None);
        }
    }

    async fn leave_and_return(&mut self, person: usize) {
        let (store, id, now) = (self.world.store(), self.people[person].id, self.now());
        let granted = System::for_background_jobs().grant(self.organization);
        store.remove_member(&granted, id, now).await.unwrap();
        // Leaving ends what is bound to the organization. A session of a sign-in is bound to none.
        store.set_member(&granted, id, Role::Readwrite, now).await.unwrap();
    }

    async fn step(&mut self, step: Step) {
        let count = self.tokens.len();
        let at = |index: Index| index.index(count);
        match step {
            Step::SignIn { person, long, alone } => self.sign_in(person, long, alone).await,
            Step::Suspend(person) => self.state(person, false).await,
            Step::Activate(person) => self.state(person, true).await,
            Step::LeaveAndReturn(person) => self.leave_and_return(person).await,
            Step::Wait(span) => self.world.advance(span),
            Step::Sweep => login::sessions::sweep_logins(self.world.app()).await.unwrap(),
            _ if count == 0 => {}
            Step::Use(by) => {
                if let (200, Some(_)) = self.send_with(at(by), "GET", SESSIONS, "").await {
                    self.record_use(at(by)).await;
                }
            }
            Step::Renew(by, long) => self.renew(at(by), long).await,
            Step::RevokeOne { by, of } => self.revoke_one(at(by), at(of)).await,
            Step::RevokeOthers(by) => {
                self.end_many(at(by), "DELETE", &format!("{SESSIONS}?keep-current=true"), true).await;
            }
            Step::RevokeAll(by) => self.end_many(at(by), "DELETE", SESSIONS, false).await,
            Step::SignOut(by) => {
                let path = format!("{AUTH}/sign-out");
                let session = self.tokens[at(by)].session;
                if let (200, Some(_)) = self.send_with(at(by), "DELETE", &path, "").await {
                    self.end(|number, _| number == session);
                }
            }
            Step::Password { by, all } => self.password(at(by), all).await,
        }
    }

    /// Reads the store, which records no use: the comparison must not keep a session alive.
    async fn compare(&self) {
        let app = self.world.app();
        for (number, token) in self.tokens.iter().enumerate() {
            let opens = match tokens::read_token(app, Use::Session, &token.text).await {
                Err(_) => false,
                Ok(claims) => {
                    let (id, hash) = (claims.session().unwrap(), claims.hash());
                    app.store
                        .authenticate_login(id, &hash, OrganizationChoice::ByDefault, app.now())
                        .await
                        .is_ok()
                }
            };
            let session = &self.sessions[token.session];
            assert_eq!(
                opens,
                self.good(number),
                "{} is not as {session:?} at {:?}",
                token.session,
                app.now()
            );
        }
    }
}

/// The session that a token names.
fn sid(token: &str) -> SessionId {
    use base64::Engine;
    let part = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&part).unwrap();
    SessionId::from_uuid(claims["sid"].as_str().unwrap().parse().unwrap()).unwrap()
}

both! {
    async fn in_any_order_of_events_tokens_are_valid_as_in_the_model(world: &World) {
        let world = world.another_server(|settings| {
            let span = |span: Span| Duration::from_micros(span.0.unsigned_abs());
            settings.logins_per_user = u32::try_from(LIMIT).unwrap();
            (settings.login_idle, settings.login_long, settings.login_short) = (span(IDLE), span(LONG), span(SHORT));
            settings.sign_in_attempts = 1_000_000;
        }).await;
        assert_eq!(START.0 % 1_000_000, 0, "tokens expire at whole seconds");
        let acme = world.organization("Acme").await;
        let sqlite = world.app().settings.database.reveal().starts_with("sqlite:");
        let cases = if sqlite { 32 } else { 8 };
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
        let runtime = tokio::runtime::Handle::current();
        let run = |steps: Vec<Step>| {
            runtime.block_on(async {
                let mut run = Run::begin(&world, acme).await;
                for step in steps {
                    run.step(step).await;
                    run.compare().await;
                }
            });
            Ok(())
        };
        tokio::task::block_in_place(|| {
            TestRunner::new(config).run(&proptest::collection::vec(step(), 1..50), run).unwrap();
        });
    }
}
