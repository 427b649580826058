//! A running server with a manual clock, and the users, keys and hosts of a test.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use domain::credential::{Credential, KeySecret, Wire};
use domain::ids::{CredentialId, OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::time::{Micros, Span};
use http_body_util::BodyExt;
use protocol::{DeviceReport, FromHost, ToHost};
use serde_json::{Value, json};
use server::clock::{ManualClock, SeededRandom};
use server::operations::access::authenticate;
use server::operations::access::machine_grant::MachineGrant;
use server::operations::access::machine_grant::ServeRequest;
use server::operations::agents;
use server::operations::devices::hosts;
use server::settings::{FileStore, MailRoute, Settings};
use server::{App, Server};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::testing::{TestDatabase, fresh_postgres, fresh_sqlite};
use store::{OrganizationChoice, Store, System};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// 2026-03-01T12:00:00Z.
pub const START: Micros = Micros(1_772_366_400_000_000);

/// A server with its clock, database and files.
pub struct World {
    pub server: Server,
    pub clock: Arc<ManualClock>,
    pub stop: CancellationToken,
    number: Arc<AtomicU32>,
    database: Arc<TestDatabase>,
    files: Arc<tempfile::TempDir>,
    router: OnceLock<Router>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub async fn sqlite() -> World {
        World::start_on(fresh_sqlite().await).await
    }

    pub async fn postgres() -> Option<World> {
        Some(World::start_on(fresh_postgres().await?).await)
    }

    async fn start_on(database: TestDatabase) -> World {
        let files = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::new(START));
        World::serve(Arc::new(database), files, clock, Arc::new(AtomicU32::new(1)), |_| {}).await
    }

    /// Another server of the same database and clock, with other settings: a second node, or this one after a restart.
    pub async fn another_server(&self, set: impl FnOnce(&mut Settings)) -> World {
        let (database, files) = (self.database.clone(), self.files.clone());
        World::serve(database, files, self.clock.clone(), self.number.clone(), set).await
    }

    async fn serve(
        database: Arc<TestDatabase>,
        files: Arc<tempfile::TempDir>,
        clock: Arc<ManualClock>,
        number: Arc<AtomicU32>,
        set: impl FnOnce(&mut Settings),
    ) -> World {
        let mut settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            database: server::settings::SecretUrl::from(database.url.clone()),
            files: FileStore::Folder(files.path().to_owned()),
            master_key: Some(files.path().join("master.key")),
            signing_keys: files.path().join("keys"),
            mail: MailRoute::Outbox(files.path().join("outbox")),
            // The cheapest parameters of argon2: tests sign in often.
            argon2_memory: 8 << 10,
            argon2_passes: 1,
            body_limit: 256 << 10,
            call_timeout: Duration::from_secs(5),
            // Tests run sweeps themselves.
            sweep_interval: Duration::from_secs(100_000),
            // A stream ends instead of waiting, unless a test is about streams.
            stream_lifetime: Duration::ZERO,
            ..Settings::default()
        };
        set(&mut settings);
        let stop = CancellationToken::new();
        // Servers of one database must not create the same ids.
        let random = Arc::new(SeededRandom::new(number.fetch_add(1, Ordering::SeqCst).into()));
        let server = Server::start_with(settings, stop.clone(), clock.clone(), random).await.unwrap();
        // Waits until the sessions are loaded; a test that broke the database sees that by itself.
        let _ = server.app().sessions.read(server.app().now(), |_| ()).await;
        World { server, clock, stop, number, database, files, router: OnceLock::new() }
    }

    pub fn app(&self) -> &App {
        self.server.app()
    }

    pub fn store(&self) -> &Store {
        self.server.store()
    }

    /// Bytes that are unique within a world and the same in each run.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let number = self.number.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        let mut bytes = [7; N];
        bytes[N - 4..].copy_from_slice(&number);
        bytes
    }

    pub fn advance(&self, span: Span) {
        self.clock.advance(Duration::from_micros(span.0 as u64));
    }

    pub async fn sweep(&self) {
        server::operations::sweep::sweep(self.app()).await;
        self.app().queue.run().await;
    }

    pub async fn organization(&self, name: &str) -> OrganizationId {
        let id = OrganizationId::new(START, self.bytes());
        let new = Organization { id, name: name.into(), created: START, deleted: None, max_devices: None };
        self.store().create_organization(&System::for_administration(), &new).await.unwrap();
        id
    }

    pub async fn member(&self, organization: OrganizationId, role: Role) -> Actor<'_> {
        let principal = self.principal(None, Some((organization, role))).await;
        self.actor(principal, Some(organization), None).await
    }

    pub async fn account_member(&self, role: AccountRole) -> Actor<'_> {
        let principal = self.principal(Some(role), None).await;
        self.actor(principal, None, None).await
    }

    pub async fn principal(
        &self,
        account_role: Option<AccountRole>,
        member: Option<(OrganizationId, Role)>,
    ) -> PrincipalId {
        let id = PrincipalId::new(START, self.bytes());
        let machine =
            account_role.is_some() || member.is_some_and(|(_, role)| !role.fits(PrincipalKind::User));
        let new = Principal {
            id,
            number: 0,
            kind: if machine { PrincipalKind::ServiceUser } else { PrincipalKind::User },
            email: (!machine).then(|| format!("{id}@example.com")),
            name: "Somebody".into(),
            state: PrincipalState::Active,
            created: START,
            account_role,
            default_organization: None,
        };
        self.store().create_principal(&System::for_administration(), &new, None, member).await.unwrap();
        id
    }

    pub async fn actor(
        &self,
        principal: PrincipalId,
        bound: Option<OrganizationId>,
        expires: Option<Micros>,
    ) -> Actor<'_> {
        let secret = KeySecret::new(Wire::MobileNext, self.bytes());
        let credential = Credential {
            organization: bound,
            name: "test".into(),
            expires,
            ..Credential::new(&secret, Wire::MobileNext, principal, START, self.bytes())
        };
        let system = System::for_administration();
        self.store().create_credential(&system, &credential, &secret.hash()).await.unwrap();
        let key = Some(secret.reveal().to_owned());
        Actor {
            world: self,
            key,
            principal,
            credential: credential.id,
            organization: None,
            header: None,
            query: None,
        }
    }

    /// An anonymous caller, or one with any credential, valid or not.
    pub fn caller(&self, key: Option<&str>) -> Actor<'_> {
        let nobody = domain::ids::parse_uuid("00000000000000000000000000000000").unwrap();
        let key = key.map(str::to_owned);
        let (principal, credential) = (PrincipalId(nobody), CredentialId(nobody));
        Actor { world: self, key, principal, credential, organization: None, header: None, query: None }
    }

    /// Connects a host with these devices, each a serial and a platform. A device is real if its serial contains `real`.
    pub async fn host(&self, owner: &Actor<'_>, name: &str, devices: &[(&str, &str)]) -> Host {
        let chosen = OrganizationChoice::ByDefault;
        let caller = authenticate::authenticate(self.app(), owner.key.as_deref(), chosen).await.unwrap();
        let reach = MachineGrant::from_caller(&caller, ServeRequest::ByKey).unwrap();
        let (connection, mut orders) = hosts::connect_host(self.app(), &reach, name, "test").await.unwrap();
        let mute = Arc::new(AtomicBool::new(false));
        let (app, link, silent) = (self.app().clone(), connection.clone(), mute.clone());
        let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (log, ears) = (calls.clone(), heard.clone());
        let task = tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                ears.lock().unwrap().push(order.clone());
                let frame = match order {
                    ToHost::Clean { serial, fence } if !silent.load(Ordering::SeqCst) => {
                        FromHost::Cleaned { serial, fence, problem: None }
                    }
                    ToHost::Call { id, serial, fence, method, params, .. } => {
                        log.lock().unwrap().push((serial.clone(), fence, method.clone()));
                        if silent.load(Ordering::SeqCst) {
                            continue;
                        }
                        let result = json!({ "serial": serial, "method": method, "params": params });
                        FromHost::Answer { id, result: Some(result), error: None }
                    }
                    _ => continue,
                };
                let _ = hosts::handle_frame(&app, &link, frame).await;
            }
        });
        let host = Host { app: self.app().clone(), connection, task, mute, calls, heard };
        host.report(devices).await;
        host
    }
}

/// A connected host. It replies to every call, unless it is mute.
pub struct Host {
    app: App,
    connection: Arc<server::HostConnection>,
    task: JoinHandle<()>,
    pub mute: Arc<AtomicBool>,
    /// Serial, fencing number and method of each received call.
    pub calls: Arc<std::sync::Mutex<Vec<(String, i64, String)>>>,
    /// Every received order, in the order of arrival.
    pub heard: Arc<std::sync::Mutex<Vec<ToHost>>>,
}

impl Host {
    pub async fn report(&self, devices: &[(&str, &str)]) {
        let report = |(serial, platform): &(&str, &str)| DeviceReport {
            serial: (*serial).into(),
            platform: (*platform).into(),
            kind: if serial.contains("real") { "real".into() } else { "emulator".into() },
            name: if *platform == "ios" { "iPhone 16".into() } else { "Pixel 9".into() },
            model: "Model".into(),
            version: if *platform == "ios" { "18.2".into() } else { "16".into() },
            online: true,
        };
        let devices = devices.iter().map(report).collect();
        hosts::handle_frame(&self.app, &self.connection, FromHost::Devices { devices }).await.unwrap();
    }

    /// Waits for the call of a method, for a mute host. Returns the id and the file of the call.
    pub async fn wait_for_call(&self, expected: &str) -> (u64, Option<protocol::CallFile>) {
        let found = || {
            let heard = self.heard.lock().unwrap();
            heard.iter().find_map(|order| match order {
                ToHost::Call { id, method, file, .. } if method == expected => Some((*id, file.clone())),
                _ => None,
            })
        };
        wait_until(&format!("the host gets the call {expected}"), || async { found().is_some() }).await;
        found().unwrap()
    }

    /// Sends a frame to the server, for example a reply to [`Host::wait_for_call`].
    pub async fn send_frame(&self, frame: FromHost) {
        hosts::handle_frame(&self.app, &self.connection, frame).await.unwrap();
    }

    pub async fn leave(self) {
        hosts::disconnect_host(&self.app, &self.connection).await;
        self.task.abort();
    }
}

/// A caller.
#[derive(Clone)]
pub struct Actor<'w> {
    pub world: &'w World,
    pub key: Option<String>,
    pub principal: PrincipalId,
    pub credential: CredentialId,
    pub organization: Option<String>,
    /// An additional header, and an addition to the query.
    pub header: Option<(&'static str, String)>,
    pub query: Option<String>,
}

/// The response to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestResponse {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl<'w> Actor<'w> {
    /// The same caller, with an organization in the header.
    pub fn naming(&self, organization: impl ToString) -> Actor<'w> {
        Actor { organization: Some(organization.to_string()), ..self.clone() }
    }

    /// The same caller, at another server.
    pub fn at_server<'o>(&self, world: &'o World) -> Actor<'o> {
        let Actor { key, principal, credential, organization, header, query, .. } = self.clone();
        Actor { world, key, principal, credential, organization, header, query }
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.call("GET", path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.call("POST", path, Body::from(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> TestResponse {
        self.call("DELETE", path, Body::empty()).await
    }

    /// Calls with a body and its content type: JSON, or else a form.
    pub async fn call_with(&self, method: &str, path: &str, body: &str) -> TestResponse {
        let json = body.starts_with('{');
        let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        self.send(method, path, &[("content-type", kind)], Body::from(body.to_owned())).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Body) -> TestResponse {
        self.send(method, path, &[], body).await
    }

    /// Calls with additional headers.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> TestResponse {
        let first = if path.contains('?') { '&' } else { '?' };
        let query = self.query.iter().map(|more| format!("{first}{more}")).collect::<String>();
        let mut request = Request::builder().method(method).uri(format!("{path}{query}"));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(organization) = &self.organization {
            // Each wire reads one of the two.
            request = request.header("x-organization-id", organization).header("x-org-id", organization);
        }
        let own = self.header.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in headers.iter().copied().chain(own) {
            request = request.header(name, value);
        }
        self.world.send(request.body(body).unwrap()).await
    }

    /// Creates a device session. Returns its id.
    pub async fn session(&self) -> String {
        let response = self.call("POST", "/api/v1/sessions", Body::empty()).await;
        assert_eq!(response.status, StatusCode::CREATED, "{}", response.text());
        response.json()["id"].as_str().unwrap().to_owned()
    }

    /// The grant of a permission, in the named or the default organization.
    pub async fn grant<P: store::access::PermissionType>(&self) -> store::Granted<P> {
        let chosen = match &self.organization {
            Some(organization) => OrganizationChoice::Named(OrganizationId::parse(organization)),
            None => OrganizationChoice::ByDefault,
        };
        let key = self.key.as_deref();
        authenticate::authenticate(self.world.app(), key, chosen).await.unwrap().authorize::<P>().unwrap()
    }

    /// Creates an agent session of the agent `default`, with or without a message.
    pub async fn agent_session(&self, text: Option<&str>) -> domain::agent::AgentSession {
        let post =
            |text: &str| agents::messages::MessageDraft { text: text.to_owned(), ..Default::default() };
        let new = agents::create::AgentSessionDraft { message: text.map(post), ..Default::default() };
        agents::create::create_agent_session(self.world.app(), &self.grant().await, new).await.unwrap()
    }

    /// Posts a message to an agent session.
    pub async fn says(&self, session: domain::ids::SessionId, text: &str) {
        let post = agents::messages::MessageDraft { text: text.to_owned(), ..Default::default() };
        agents::messages::post_message(self.world.app(), &self.grant().await, session, post).await.unwrap();
    }

    /// Requests a device of a platform for a session.
    pub async fn ask(&self, session: &str, platform: &str) -> TestResponse {
        self.ask_with(session, &[("platform", "EQUALS", platform)]).await
    }

    /// Requests a device by filters: attribute, operator and value.
    pub async fn ask_with(&self, session: &str, filters: &[(&str, &str, &str)]) -> TestResponse {
        let filter = |(attribute, operator, value): &(&str, &str, &str)| json!({ "attribute": attribute, "operator": operator, "value": value });
        let filters = filters.iter().map(filter).collect::<Vec<_>>();
        self.post(&format!("/api/v1/sessions/{session}/devices"), json!({ "filters": filters })).await
    }

    pub async fn release(&self, session: &str, device: &str) -> TestResponse {
        let path = format!("/api/v1/sessions/{session}/devices/{device}/release");
        self.call("POST", &path, Body::empty()).await
    }

    pub async fn devices_of(&self, session: &str) -> Value {
        self.get(&format!("/api/v1/sessions/{session}/devices")).await.json()["data"].clone()
    }
}

impl World {
    /// Sends a request through the router. The response must match the contract of its route.
    pub async fn send(&self, request: Request<Body>) -> TestResponse {
        let router = self.router.get_or_init(|| server::wires::router(self.app().clone())).clone();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let response = TestResponse { status: parts.status, headers: parts.headers, body };
        crate::contracts::check_response(method.as_str(), &path, &response);
        response
    }
}

/// Waits until a condition is true. It is checked again whenever the runtime is idle.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, is_true: impl Fn() -> F) {
    let waiting = async {
        while !is_true().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "timed out: {what}");
}
