//! Why each POST may be repeated after its response was lost.

use std::collections::{BTreeMap, BTreeSet};

/// Why a POST that is repeated with its idempotency key takes effect once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The batch that applies it also records the request.
    Noted,
    /// It sets a state: setting it twice changes nothing more.
    Sets,
    /// Its body names the turn, the fencing number and the position of each item: an item is accepted once.
    Numbered,
    /// Its response is a secret or short-lived: it is not stored, and a repetition gets a new one.
    NotKept,
    /// Its caller is anonymous, and idempotency keys belong to callers: its token is used once.
    Unknown,
    /// A form of a page, whose browser sends no keys.
    Page,
}

use Why::{NotKept, Noted, Numbered, Page, Sets, Unknown};

/// Every POST of every wire, as its contract names it.
#[rustfmt::skip]
const POSTS: &[(&str, Why)] = &[
    ("/api/v1/sessions", Noted),
    ("/api/v1/sessions/{session}/devices", Noted),
    ("/api/v1/sessions/{session}/devices/{device}/release", Sets),
    ("/api/v1/organizations", Noted),
    ("/api/v1/keys", Noted),
    ("/api/v1/members", Sets),
    ("/api/v1/members/invitations", Noted),
    ("/api/v1/invitations/{invitation}/accept", Noted),
    ("/api/v1/invitations/{invitation}/reject", Noted),
    ("/login/device/code", NotKept),
    ("/login/device/token", NotKept),
    ("/login/device", NotKept),
    ("/v1/agents", Noted),
    ("/v1/sessions", Noted),
    // Stops the running turn, if there is one. A second stop is a no_op.
    ("/v1/sessions/{session}/cancel", Sets),
    ("/v1/sessions/{session}/messages", Noted),
    // Creates, posts and deletes like its endpoints. All other commands set a state.
    ("/v1/commands/{name}", Noted),
    ("/organizations[/{org}]/sessions", Noted),
    ("/organizations[/{org}]/sessions/{devin}/archive", Sets),
    ("/organizations[/{org}]/sessions/{devin}/unarchive", Sets),
    ("/organizations[/{org}]/sessions/{devin}/messages", Noted),
    ("/organizations[/{org}]/sessions/{devin}/tags", Sets),
    ("/organizations[/{org}]/sessions/{devin}/insights/generate", Sets),
    ("/organizations[/{org}]/attachments", Noted),
    ("/organizations[/{org}]/members/users", Sets),
    ("/organizations[/{org}]/service-users", Noted),
    ("/organizations[/{org}]/service-users/{user}/api-keys", Noted),
    ("/organizations[/{org}]/service-users/{user}/api-keys/{key}/rotate", Noted),
    ("/enterprise/organizations", Noted),
    ("/enterprise/service-users", Noted),
    ("/enterprise/service-users/{user}/api-keys", Noted),
    ("/enterprise/service-users/{user}/api-keys/{key}/rotate", Noted),
    ("/enterprise/sessions/{devin}/messages", Noted),
    ("/enterprise/sessions/{devin}/tags", Sets),
    ("/enterprise/sessions/{devin}/insights/generate", Sets),
    ("/frontend/api/v1/auth/sign-in", NotKept),
    ("/frontend/api/v1/auth/jwt", NotKept),
    ("/frontend/api/v1/auth/api-token", Noted),
    // Sends a mail. The newest one counts.
    ("/frontend/api/v1/auth/password-restore", Sets),
    ("/frontend/api/v1/auth/password-restore-verify", Unknown),
    ("/frontend/api/v1/auth/verify", Unknown),
    ("/frontend/api/v1/user/current", Noted),
    ("/tenure/v1/sessions", Noted),
    // It only reads.
    ("/tenure/v1/sessions:batchGet", Sets),
    ("/tenure/v1/sessions/{session}:end", Sets),
    // A use of now counts, whenever it comes.
    ("/tenure/v1/sessions/{session}:extend", Sets),
    ("/tenure/v1/sessions/{session}:archive", Sets),
    ("/tenure/v1/sessions/{session}:unarchive", Sets),
    ("/tenure/v1/sessions/{session}:message", Noted),
    ("/tenure/v1/views", Noted),
    ("/tenure/v1/sign-in", NotKept),
    ("/tenure/v1/sign-in/code", NotKept),
    ("/tenure/v1/me/authenticate", Noted),
    // Replaces the former proposal.
    ("/tenure/v1/me/totp", Sets),
    ("/tenure/v1/me/totp/confirm", Noted),
    ("/tenure/v1/me/totp/remove", Noted),
    ("/tenure/v1/me/recovery-codes", Noted),
    // Ends the sessions of its preview that are still open.
    ("/tenure/v1/login-sessions/revoke", Sets),
    ("/tenure/v1/work/claim", NotKept),
    ("/tenure/v1/work/{session}/heartbeat", Sets),
    ("/tenure/v1/work/{session}/report", Numbered),
    ("/tenure/v1/work/{session}/done", Numbered),
    ("/sign-in", Page),
    ("/sign-in/code", Page),
    ("/sign-out", Page),
    ("/restore", Page),
    ("/restore/verify", Page),
    ("/account/end", Page),
    ("/account/end-others", Page),
    ("/account/end-all", Page),
    ("/account/revoke-keys", Page),
    ("/account/password", Page),
    ("/account/authenticate", Page),
    ("/account/totp", Page),
    ("/account/totp/confirm", Page),
    ("/account/totp/remove", Page),
    ("/account/recovery-codes", Page),
];

/// The POSTs whose stored response is returned to a repetition.
pub fn repeatable_posts() -> Vec<&'static str> {
    let kept = |why: Why| [Noted, Sets, Numbered].contains(&why);
    POSTS.iter().filter(|(_, why)| kept(*why)).map(|(pattern, _)| *pattern).collect()
}

#[test]
fn every_post_has_a_reason_why_it_may_be_repeated() {
    let said = POSTS.iter().copied().collect::<BTreeMap<_, _>>();
    assert_eq!(said.len(), POSTS.len(), "each one once");
    assert_eq!(said.keys().copied().collect::<BTreeSet<_>>(), crate::contracts::posts());
}
