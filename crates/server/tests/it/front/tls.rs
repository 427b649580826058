//! TLS, with a test authority and a client that trusts only that one.

use super::{SOON, address, statuses};
use crate::world::{World, wait_until};
use axum::http::Request;
use domain::permission::Role;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::front::tls::Tls;
use server::settings::Settings;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "tenure.example.com";

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

/// A certificate and its key, in PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), root }
    }

    fn pair(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert =
            CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority and offers these protocols.
    fn client(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        // A resumed session would not get a certificate.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// The files of a pair.
struct Files(tempfile::TempDir);

impl Files {
    fn create(pair: &Pair) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        files.write(&pair.cert, &pair.key);
        files
    }

    fn write(&self, cert: &str, key: &str) {
        fs::write(self.cert(), cert).unwrap();
        fs::write(self.key(), key).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// A server with this pair and a time limit for handshakes.
    async fn world(&self, time: Duration) -> World {
        let set = |settings: &mut Settings| {
            settings.tls_cert = Some(self.cert());
            settings.tls_key = Some(self.key());
            settings.head_timeout = time;
        };
        World::sqlite().await.another_server(set).await
    }
}

async fn connect(world: &World, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address(world)).await.unwrap();
    client.connect(ServerName::try_from(NAME).unwrap(), stream).await
}

fn certificate(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn get(stream: &mut TlsStream<TcpStream>, end: &str) -> u16 {
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {NAME}\r\nconnection: {end}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = vec![0; 4096];
    let count = tokio::time::timeout(SOON, stream.read(&mut response)).await.unwrap().unwrap();
    statuses(&String::from_utf8_lossy(&response[..count]))[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_spoken_over_tls_and_cookies_are_secure() {
    let authority = Authority::new();
    let files = Files::create(&authority.pair());
    let world = files.world(SOON).await;
    assert!(world.server.base_url().starts_with("https://127.0.0.1:"), "{}", world.server.base_url());
    for protocols in [&[][..], &[b"http/1.1".as_slice()], &[b"http/1.1", b"h2"]] {
        let mut stream = connect(&world, &authority.client(protocols)).await.unwrap();
        // The server chooses h2 if both support it.
        if !protocols.contains(&b"h2".as_slice()) {
            assert_eq!(get(&mut stream, "close").await, 200);
        }
        let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let expected = if protocols.len() == 2 {
            Some(b"h2".to_vec())
        } else {
            protocols.first().map(|name| name.to_vec())
        };
        assert_eq!(chosen, expected);
    }
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Admin, "ana@example.com").await;
    let response = world.try_sign_in("ana@example.com", crate::probe::PASSWORD).await;
    let cookies = response.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookies = cookies.map(|cookie| (cookie.split('=').next().unwrap(), cookie.ends_with("; Secure")));
    let names = ["jwt", "__Host-tenure-session", "__Host-tenure-browser"];
    assert_eq!(cookies.collect::<Vec<_>>(), names.map(|name| (name, true)));
    assert_eq!(response.headers["strict-transport-security"], "max-age=31536000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_has_the_same_limits() {
    let authority = Authority::new();
    let files = Files::create(&authority.pair());
    let world = files.world(SOON).await;
    let ana = world.member(world.organization("Acme").await, Role::Readonly).await;
    let stream = connect(&world, &authority.client(&[b"h2"])).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let url = |path: &str| format!("https://{NAME}{path}");
    let key = ana.key.as_deref().unwrap();
    for (path, host, status, word) in [
        ("/api/v1/sessions", None, 200, "data"),
        ("/nothing", None, 404, "not_found"),
        ("/api/v1/sessions", Some("a@b"), 400, "malformed_request"),
        (&format!("/api/v1/sessions?{}", "a".repeat(20_000)), None, 414, "uri_too_long"),
    ] {
        let mut request = Request::get(url(path)).header("authorization", format!("Bearer {key}"));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path:.40}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(word), "{path:.40}: {body:?}");
    }
    drop(sender);
    let _ = connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_tls_gets_no_response() {
    let authority = Authority::new();
    let files = Files::create(&authority.pair());
    let world = files.world(Duration::from_secs(1)).await;
    let plain = super::exchange(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!plain.contains("HTTP/") && !plain.contains("ok"), "{plain}");
    // A silent connection is closed after the time limit of a head.
    assert_eq!(super::exchange(&world, b"").await, "");
    let other = Authority::new().client(&[]);
    assert!(connect(&world, &other).await.is_err(), "a client trusts whom it was told to");
    wait_until("all are gone", || async { world.app().front.connections.count() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_loaded_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let (first, second, third) = (authority.pair(), authority.pair(), authority.pair());
    let files = Files::create(&first);
    let world = files.world(SOON).await;
    let client = authority.client(&[b"http/1.1"]);
    let (front, tls) = (&world.app().front, world.app().front.tls.as_ref().unwrap());
    let mut old = connect(&world, &client).await.unwrap();
    let before = certificate(&old);
    assert!(!tls.refresh().unwrap(), "nothing has changed");
    // A half-written pair: the new certificate with the old key.
    files.write(&second.cert, &first.key);
    assert!(tls.refresh().unwrap_err().to_string().contains("does not fit"));
    assert!(!tls.refresh().unwrap(), "the same complaint once");
    fs::remove_file(files.key()).unwrap();
    assert!(tls.refresh().unwrap_err().to_string().contains("cannot be read"));
    front.refresh();
    assert_eq!(certificate(&connect(&world, &client).await.unwrap()), before, "the old one stays");
    files.write(&second.cert, &second.key);
    front.refresh();
    let mut new = connect(&world, &client).await.unwrap();
    assert_ne!(certificate(&new), before);
    assert_eq!(
        (get(&mut old, "close").await, get(&mut new, "close").await),
        (200, 200),
        "both connections go on"
    );
    files.write(&third.cert, "nothing");
    front.refresh();
    files.write(&first.cert, &first.key);
    front.refresh();
    assert_eq!(certificate(&connect(&world, &client).await.unwrap()), before);
}

#[test]
fn an_unusable_certificate_is_refused_with_name_and_reason() {
    let authority = Authority::new();
    let (one, other) = (authority.pair(), authority.pair());
    let files = Files::create(&one);
    let missing = Path::new("/nowhere/at-all.pem").to_owned();
    let try_open = |cert: PathBuf, key: PathBuf| {
        let settings = Settings { tls_cert: Some(cert), tls_key: Some(key), ..Settings::default() };
        Tls::open(&settings).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(try_open(files.cert(), files.key()), Ok(()));
    let told = |cert: &Path, key: &Path| try_open(cert.to_owned(), key.to_owned()).unwrap_err();
    let (cert, key) = (files.cert(), files.key());
    assert!(
        told(&missing, &key)
            .starts_with("tls_cert: the file /nowhere/at-all.pem cannot be read: No such file")
    );
    assert!(
        told(&cert, &missing)
            .starts_with("tls_key: the file /nowhere/at-all.pem cannot be read: No such file")
    );
    assert_eq!(
        told(&key, &key),
        format!("tls_cert: the file {} has no certificate in PEM format", key.display())
    );
    assert!(told(&cert, &cert).ends_with("cert.pem has no private key without a password in PEM format"));
    files.write(&one.cert, &other.key);
    let unfit = told(&cert, &key);
    assert!(
        unfit.contains("cert.pem") && unfit.contains("key.pem") && unfit.contains("does not fit"),
        "{unfit}"
    );
    for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\u{1}\u{2}"] {
        files.write(broken, &one.key);
        let text = told(&cert, &key);
        assert!(text.contains("cert.pem") && !text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn tls_needs_both_settings_and_may_listen_on_every_address() {
    let pem = || Some(PathBuf::from("x.pem"));
    let open = || "0.0.0.0:443".parse().unwrap();
    let check =
        |tls_cert, tls_key| Settings { listen: open(), tls_cert, tls_key, ..Settings::default() }.check_tls();
    assert!(check(pem(), pem()).is_ok());
    assert_eq!(
        check(pem(), None).unwrap_err().to_string(),
        "tls_cert is set and tls_key is not: TLS needs both"
    );
    assert_eq!(
        check(None, pem()).unwrap_err().to_string(),
        "tls_key is set and tls_cert is not: TLS needs both"
    );
    let told = check(None, None).unwrap_err();
    assert!(told.hint().unwrap().contains("--tls-cert"), "{told}");
}
