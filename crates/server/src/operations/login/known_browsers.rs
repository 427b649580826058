//! Browsers that a user has signed in with before. Each has a cookie that only this deployment can create; it opens
//! nothing. Sign-ins in a known browser have a separate attempt budget, so that anonymous callers cannot lock the
//! user out of it (OWASP calls it a device cookie).

use crate::app::App;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::ids::{PrincipalId, parse_uuid};
use domain::time::{Micros, Span};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How long a browser stays known after the last sign-in.
pub const LIFETIME: Span = Span::minutes(365 * 24 * 60);

/// A known browser.
pub(crate) struct KnownBrowser {
    /// Its user.
    pub person: PrincipalId,
    /// Distinguishes it from the user's other browsers.
    pub name: String,
}

/// The cookie of a browser that a user signs in with: `PERSON.NAME.SECOND.MAC`.
pub fn create_browser_cookie(app: &App, person: PrincipalId) -> String {
    let name = BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<16>());
    let text = format!("{}.{name}.{}", person.0.simple(), app.now().0 / 1_000_000);
    let code = cookie_mac(app, &text).map(|mac| BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    format!("{text}.{}", code.unwrap_or_default())
}

/// The browser of a cookie; `None` when the cookie is forged or too old.
pub(crate) fn read_browser_cookie(app: &App, cookie: Option<&str>) -> Option<KnownBrowser> {
    let (text, given) = cookie?.rsplit_once('.')?;
    cookie_mac(app, text)?.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(given).ok()?).ok()?;
    let mut parts = text.split('.');
    let (person, name, second) = (parts.next()?, parts.next()?, parts.next()?.parse::<i64>().ok()?);
    let until = Micros(second.checked_mul(1_000_000)?) + LIFETIME;
    let known = KnownBrowser { person: PrincipalId(parse_uuid(person)?), name: name.to_owned() };
    (app.now() < until).then_some(known)
}

fn cookie_mac(app: &App, text: &str) -> Option<Hmac<Sha256>> {
    let key = app.keys.derive_key("known browsers");
    Some(Hmac::<Sha256>::new_from_slice(&key).ok()?.chain_update(text))
}
