//! Browsers that a person was signed in with before. Each keeps a cookie that says so, which only this deployment can
//! make; it opens nothing. Attempts of a known browser have a budget of their own: strangers who fail on purpose do not
//! keep a person out of it (OWASP calls it a device cookie).

use crate::app::App;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::ids::{PrincipalId, parse_uuid};
use domain::time::{Micros, Span};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How long a browser is known after the last sign-in.
pub const KEPT: Span = Span::minutes(365 * 24 * 60);

/// A browser that is known.
pub(crate) struct KnownBrowser {
    /// Whose it is.
    pub person: PrincipalId,
    /// What tells it from the person's other browsers.
    pub name: String,
}

/// What a browser keeps after somebody signed in: `PERSON.NAME.SECOND.CODE`.
pub fn create_browser_cookie(app: &App, person: PrincipalId) -> String {
    let name = BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<16>());
    let text = format!("{}.{name}.{}", person.0.simple(), app.now().0 / 1_000_000);
    let code = cookie_mac(app, &text).map(|mac| BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    format!("{text}.{}", code.unwrap_or_default())
}

/// The browser that kept something, if it was made here and is not too old.
pub(crate) fn read_browser_cookie(app: &App, kept: Option<&str>) -> Option<KnownBrowser> {
    let (text, given) = kept?.rsplit_once('.')?;
    cookie_mac(app, text)?.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(given).ok()?).ok()?;
    let mut parts = text.split('.');
    let (person, name, second) = (parts.next()?, parts.next()?, parts.next()?.parse::<i64>().ok()?);
    let until = Micros(second.checked_mul(1_000_000)?) + KEPT;
    let known = KnownBrowser { person: PrincipalId(parse_uuid(person)?), name: name.to_owned() };
    (app.now() < until).then_some(known)
}

fn cookie_mac(app: &App, text: &str) -> Option<Hmac<Sha256>> {
    let key = app.keys.derived("known browsers");
    Some(Hmac::<Sha256>::new_from_slice(&key).ok()?.chain_update(text))
}
