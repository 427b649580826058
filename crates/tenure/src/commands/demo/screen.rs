//! The text that the demo prints.

use domain::session::SessionKind;
use store::Granted;
use store::access::ViewSessions;

use crate::administration::{Administration, format_time};
use crate::commands::demo::data::DemoKeys;
use crate::error::CommandResult;
use crate::values::OrgRef;

/// Prints the addresses, the keys and commands to paste.
///
/// # Errors
/// The database cannot be read.
pub async fn print_screen(url: &str, keys: &DemoKeys, admin: &Administration) -> CommandResult<()> {
    let acme = admin.find_organization(&OrgRef::Name("Acme Mobile".to_owned())).await?;
    let granted = admin.system.grant::<ViewSessions>(acme.id);
    let all = admin.store.list_session_revisions(&granted, SessionKind::Device, u32::MAX).await?;
    // The last one on the first page of five.
    let (id, before) = match all.iter().rev().nth(4) {
        Some((id, _)) => (id.to_string(), format_time(id.creation_time())),
        None => ("SESSION".to_owned(), "2026-01-01T00:00:00Z".to_owned()),
    };
    let websocket = url.replacen("http", "ws", 1);
    let org = format!("org-{}", acme.id.0.simple());
    let busy = find_busy_session(admin, &granted).await?;
    let DemoKeys { ana, ben, cleo, dora, viewer, .. } = keys;
    println!(
        "\
Tenure demo: two organizations with 300 past device sessions, 6 simulated devices, 85 past agent sessions and two agents
at work. A script answers for the agents: no model is used.

  Mobile Next           {url}/api/v1/sessions   {websocket}/ws
  Everruns              {url}/v1/sessions
  Devin                 {url}/v3/organizations/{org}/sessions   {url}/v3/enterprise/sessions
  Health and metrics    {url}/readyz   {url}/metrics

Keys (any key works on every wire)
  ana@acme.example      readwrite  {ana}
  ben@acme.example      admin      {ben}
  cleo@acme.example     readonly   {cleo}
  dora@globex.example   readwrite  {dora}   (the other organization)
  security dashboard    viewer     {viewer}   (a service user of the account: sees both)

Ten commands worth trying, in another terminal:

  export KEY={ana}

  1. The newest device sessions of Acme Mobile
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/api/v1/sessions?limit=5'
  2. The page after them
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/api/v1/sessions?limit=5&before={before}'
  3. One session
     curl -s -H \"Authorization: Bearer $KEY\" {url}/api/v1/sessions/{id}
  4. Changes in the organization, in the order of commits
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/tenure/v1/changes?limit=3'
  5. The agents' sessions, as Everruns' clients see them
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/v1/sessions?limit=5'
  6. One of them at work, live
     curl -sN -H \"Authorization: Bearer $KEY\" {url}/v1/sessions/{busy}/sse
  7. The same sessions as Devin's clients see them, by a tag
     curl -s -H \"Authorization: Bearer $KEY\" '{url}/v3/organizations/{org}/sessions?tags=crash&first=5'
  8. Those of all organizations, with the key of the account
     curl -s -H 'Authorization: Bearer {viewer}' '{url}/v3/enterprise/sessions?first=5'

  With the vendor's own client (npm install -g mobilecli):
  export MOBILECLI_FLEET_URL={websocket}/ws MOBILECLI_TOKEN=$KEY MOBILECLI_REMOTE_ONLY=1

  9. Take an Android device
     mobilecli remote allocate --platform android --wait
 10. See it, tap it, give it back (the id is in the answer)
     mobilecli devices && mobilecli screenshot --device ID -o screen.png && mobilecli remote release --device ID

Ctrl-C stops it. The data stays in ./tenure-demo; `tenure demo --fresh` starts over.
"
    );
    Ok(())
}

/// The Everruns id of the session that an agent is working on.
async fn find_busy_session(admin: &Administration, granted: &Granted<ViewSessions>) -> CommandResult<String> {
    let found = admin.store.search_agent_sessions(granted, "nightly build").await?;
    let session = found.last().map(|id| id.uuid().simple().to_string());
    Ok(session.map_or_else(|| "SESSION".to_owned(), |id| format!("session_{id}")))
}
