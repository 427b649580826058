//! What the demo prints.

use domain::page::PageRequest;
use store::access::ViewSessions;

use crate::administration::{Administration, time};
use crate::commands::demo::data::Keys;
use crate::failure::Result;
use crate::values::OrgRef;

/// Prints the addresses, the keys and six commands worth trying, ready to paste.
///
/// # Errors
/// Those of the store.
pub async fn print(url: &str, keys: &Keys, admin: &Administration) -> Result<()> {
    let acme = admin.organization(&OrgRef::Name("Acme Mobile".to_owned())).await?;
    let granted = admin.system.within::<ViewSessions>(acme.id);
    let page = admin.store.device_sessions(&granted, PageRequest { limit: 5, before: None }).await?;
    let (id, before) = match page.items.last() {
        Some(session) => (session.id.to_string(), time(session.id.created())),
        None => ("SESSION".to_owned(), "2026-01-01T00:00:00Z".to_owned()),
    };
    let websocket = url.replacen("http", "ws", 1);
    let Keys { ana, ben, cleo, dora, .. } = keys;
    println!(
        "\
Tenure demo: two organizations, 300 past sessions, and 6 simulated devices of Acme Mobile.

  Sessions (HTTP)       {url}/api/v1/sessions
  Devices (WebSocket)   {websocket}/ws
  Health and metrics    {url}/readyz  {url}/metrics

Keys
  ana@acme.example      readwrite  {ana}
  ben@acme.example      admin      {ben}
  cleo@acme.example     readonly   {cleo}
  dora@globex.example   readwrite  {dora}   (the other organization)

Six commands worth trying, in another terminal:

  export KEY={ana}

  1. The newest sessions of Acme Mobile
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/api/v1/sessions?limit=5'
  2. The page after them
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/api/v1/sessions?limit=5&before={before}'
  3. One session
     curl -s -H \"Authorization: Bearer $KEY\" {url}/api/v1/sessions/{id}
  4. What has happened, in the order of commits
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/tenure/v1/changes?limit=3'

  With the vendor's own client (npm install -g mobilecli):
  export MOBILECLI_FLEET_URL={websocket}/ws MOBILECLI_TOKEN=$KEY MOBILECLI_REMOTE_ONLY=1

  5. Take an Android device
     mobilecli remote allocate --platform android --wait
  6. See it, tap it, give it back (the id is in the answer)
     mobilecli devices && mobilecli screenshot --device ID -o screen.png && mobilecli remote release --device ID

Ctrl-C stops it. The data stays in ./tenure-demo; `tenure demo --fresh` begins again.
"
    );
    Ok(())
}
