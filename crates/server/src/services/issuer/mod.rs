//! The issuer of OpenID Connect that people sign in by: what it says of itself, its keys, and what it is asked. No
//! other issuer is ever asked anything, whatever a request or a token says.

mod claims;
mod http;
mod types;

use crate::settings::Settings;
use claims::{Gathered, basics};
use domain::federation::Claimed;
use domain::time::{Micros, Span};
use http::{Http, NoAnswer};
use openidconnect::core::{
    CoreAuthPrompt, CoreClientAuthMethod, CoreJsonWebKeySet, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreResponseType,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::{Besides, Relying, TokenClaims, Tokens, Verifier};

/// What the issuer says of itself is asked for again after so long.
const FRESH: Span = Span::minutes(60);
/// Its keys are asked for at most so often because of one that is not known.
const KEYS_EVERY: Span = Span::minutes(1);
/// By how much its clock may be ahead.
const SKEW: Span = Span::minutes(1);

/// Algorithms that need no secret to check. The others (`none`, `HS256`) are no signatures of anybody in particular.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Why somebody cannot be known by what the issuer said. For the log: there is no secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It does not answer, or says nothing that can be used.
    #[error("the issuer cannot be used: {0}")]
    Down(String),
    /// It refused what it was asked.
    #[error("the issuer refused: {0}")]
    Refused(String),
    /// What it said is not its own, not for here, or not for now.
    #[error("what the issuer said is not good: {0}")]
    Untrusted(String),
}

impl From<NoAnswer> for Trouble {
    fn from(error: NoAnswer) -> Trouble {
        Trouble::Down(error.to_string())
    }
}

/// Where somebody is sent, and what comes back with them.
pub struct Journey<'a> {
    /// Where they come back to.
    pub back: &'a str,
    /// What the answer is to have.
    pub state: &'a str,
    /// What the token is to have.
    pub nonce: &'a str,
    /// What shows that whoever redeems the code has asked for it (RFC 7636).
    pub verifier: &'a str,
}

/// The issuer.
pub struct Issuer {
    name: IssuerUrl,
    client: ClientId,
    secret: Option<ClientSecret>,
    scopes: Vec<Scope>,
    groups_claim: String,
    /// Whether anything follows from groups.
    groups_count: bool,
    http: Http,
    known: Mutex<Known>,
}

/// What is known of it.
#[derive(Default)]
struct Known {
    itself: Option<(Micros, Arc<Itself>)>,
    keys: Option<(Micros, Arc<CoreJsonWebKeySet>)>,
    /// When its keys were last asked for because of one that was not known.
    sought: Option<Micros>,
}

/// What it says of itself.
struct Itself {
    metadata: CoreProviderMetadata,
    /// Whether it names itself in what comes back (RFC 9207).
    signs_answers: bool,
}

impl Issuer {
    /// The one of the settings. Nothing is asked yet.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn new(settings: &Settings) -> Result<Option<Issuer>, String> {
        let Some(name) = settings.oidc_issuer.clone() else { return Ok(None) };
        let name = IssuerUrl::new(name).map_err(|error| error.to_string())?;
        let others = settings.oidc_scopes.iter().filter(|scope| *scope != "openid");
        Ok(Some(Issuer {
            http: Http::new(name.url())?,
            name,
            client: ClientId::new(settings.oidc_client_id.clone()),
            secret: settings
                .oidc_client_secret
                .as_ref()
                .map(|secret| ClientSecret::new(secret.reveal().to_owned())),
            scopes: others.map(|scope| Scope::new(scope.clone())).collect(),
            groups_claim: settings.oidc_groups_claim.clone(),
            groups_count: settings.uses_groups(),
            known: Mutex::default(),
        }))
    }

    /// How it calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where somebody signs in. With `fresh` they have to show again who they are, if that was longer ago.
    ///
    /// # Errors
    /// [`Trouble::Down`].
    pub async fn door(
        &self,
        now: Micros,
        journey: &Journey<'_>,
        fresh: Option<Duration>,
    ) -> Result<String, Trouble> {
        let itself = self.itself(now).await?;
        let client = self.relying(&itself, CoreJsonWebKeySet::default(), journey.back)?;
        let (state, nonce) = (journey.state.to_owned(), journey.nonce.to_owned());
        let verifier = PkceCodeVerifier::new(journey.verifier.to_owned());
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(self.scopes.iter().cloned())
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        if let Some(fresh) = fresh {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(fresh);
        }
        Ok(request.url().0.to_string())
    }

    /// That what came back did not come from another issuer (RFC 9207).
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn answered(&self, now: Micros, issuer: Option<&str>) -> Result<(), Trouble> {
        let mixed = |what: &str| Err(Trouble::Untrusted(what.to_owned()));
        match issuer {
            Some(issuer) if issuer != self.name.as_str() => mixed("another issuer answered"),
            Some(_) => Ok(()),
            None if self.itself(now).await?.signs_answers => mixed("the answer does not say whose it is"),
            None => Ok(()),
        }
    }

    /// Who somebody is that came back with a code.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn redeem(&self, now: Micros, code: &str, journey: &Journey<'_>) -> Result<Claimed, Trouble> {
        let itself = self.itself(now).await?;
        let client = self.relying(&itself, CoreJsonWebKeySet::default(), journey.back)?;
        let exchange = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| Trouble::Down(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(journey.verifier.to_owned()));
        let tokens = exchange.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(said) => Trouble::Refused(said.error().as_ref().to_owned()),
            RequestTokenError::Request(error) => error.into(),
            other => Trouble::Down(other.to_string()),
        })?;
        let nonce = Nonce::new(journey.nonce.to_owned());
        let claims = self.checked(now, &itself, &tokens, &nonce).await?;
        let mut gathered = Gathered::new(basics!(&claims), claims.additional_claims());
        let groups = self.groups_count.then_some(self.groups_claim.as_str());
        if !gathered.complete(groups)
            && let Some(besides) = self.besides(&client, &tokens, &claims).await?
        {
            gathered = gathered.and(basics!(&besides), besides.additional_claims());
        }
        let authenticated = claims.auth_time().map(|time| Micros(time.timestamp_micros()));
        let how = claims.auth_method_refs().into_iter().flatten();
        let multi_factor = how.into_iter().any(|method| method.as_str() == "mfa");
        Ok(Claimed { multi_factor, ..gathered.claimed(&self.groups_claim, authenticated)? })
    }

    /// The claims of the token, after all of it was checked.
    async fn checked(
        &self,
        now: Micros,
        itself: &Itself,
        tokens: &Tokens,
        nonce: &Nonce,
    ) -> Result<TokenClaims, Trouble> {
        let untrusted = |what: &dyn std::fmt::Display| Trouble::Untrusted(what.to_string());
        let token = tokens.id_token().ok_or_else(|| untrusted(&"there is no ID token"))?;
        let unknown =
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey);
        let mut keys = self.keys(now, itself, false).await?;
        let mut outcome = token.claims(&self.verifier(now, &keys), nonce).cloned();
        if outcome.as_ref().is_err_and(|error| *error == unknown) {
            keys = self.keys(now, itself, true).await?;
            outcome = token.claims(&self.verifier(now, &keys), nonce).cloned();
        }
        let claims = outcome.map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(why) => untrusted(&why),
            other => untrusted(&other),
        })?;
        // The library leaves this to whoever uses it.
        if claims.authorized_party().is_some_and(|party| *party != self.client) {
            return Err(untrusted(&"it was given to another party"));
        }
        if let Some(expected) = claims.access_token_hash() {
            let verifier = self.verifier(now, &keys);
            let algorithm = token.signing_alg().map_err(|error| untrusted(&error))?;
            let key = token.signing_key(&verifier).map_err(|error| untrusted(&error))?;
            let hash = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
            if hash.map_err(|error| untrusted(&error))? != *expected {
                return Err(untrusted(&"it belongs to another access token"));
            }
        }
        Ok(claims)
    }

    fn verifier(&self, now: Micros, keys: &CoreJsonWebKeySet) -> Verifier<'static> {
        let time = move || chrono::DateTime::from_timestamp_micros(now.0).unwrap_or_default();
        let latest = now + SKEW;
        // As for a client without a secret: nothing that a secret could have signed is taken.
        Verifier::new_public_client(self.client.clone(), self.name.clone(), keys.clone())
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(time)
            .set_issue_time_verifier_fn(move |at| {
                let early = at.timestamp_micros() <= latest.0;
                early.then_some(()).ok_or_else(|| "it was issued in the future".to_owned())
            })
    }

    /// What the issuer answers to whoever has the access token, where it answers at all.
    async fn besides(
        &self,
        client: &Relying,
        tokens: &Tokens,
        claims: &TokenClaims,
    ) -> Result<Option<Besides>, Trouble> {
        if client.user_info_url().is_none() {
            return Ok(None);
        }
        let (access, subject) = (AccessToken::new(tokens.access_token().secret().clone()), claims.subject());
        let request = client.user_info(access, Some(subject.clone()));
        let request = request.map_err(|error| Trouble::Down(error.to_string()))?;
        let besides: Besides = request.request_async(&self.http).await.map_err(|error| match error {
            openidconnect::UserInfoError::ClaimsVerification(error) => Trouble::Untrusted(error.to_string()),
            openidconnect::UserInfoError::Request(error) => error.into(),
            other => Trouble::Down(other.to_string()),
        })?;
        Ok(Some(besides))
    }

    fn relying(&self, itself: &Itself, keys: CoreJsonWebKeySet, back: &str) -> Result<Relying, Trouble> {
        let metadata = itself.metadata.clone().set_jwks(keys);
        // By the header, as everybody has to be able to (RFC 6749, section 2.3.1), unless it says otherwise.
        let methods = metadata.token_endpoint_auth_methods_supported().cloned().unwrap_or_default();
        let has = |method| methods.contains(&method);
        let in_body =
            has(CoreClientAuthMethod::ClientSecretPost) && !has(CoreClientAuthMethod::ClientSecretBasic);
        let back = RedirectUrl::new(back.to_owned()).map_err(|error| Trouble::Down(error.to_string()))?;
        let client = Relying::from_provider_metadata(metadata, self.client.clone(), self.secret.clone());
        let way = if in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(client.set_redirect_uri(back).set_auth_type(way))
    }

    /// What it says of itself, not older than [`FRESH`].
    async fn itself(&self, now: Micros) -> Result<Arc<Itself>, Trouble> {
        let fresh = |at: Micros| now >= at && now < at + FRESH;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).itself.clone();
        if let Some((_, itself)) = known.filter(|(at, _)| fresh(*at)) {
            return Ok(itself);
        }
        let itself = Arc::new(self.ask_itself().await?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).itself = Some((now, itself.clone()));
        Ok(itself)
    }

    async fn ask_itself(&self) -> Result<Itself, Trouble> {
        let down = |error: &dyn std::fmt::Display| Trouble::Down(error.to_string());
        let place = format!("{}/.well-known/openid-configuration", self.name.as_str().trim_end_matches('/'));
        let place = url::Url::parse(&place).map_err(|error| down(&error))?;
        let text = self.http.get(&place).await?;
        let metadata: CoreProviderMetadata = serde_json::from_slice(&text).map_err(|error| down(&error))?;
        if metadata.issuer() != &self.name {
            return Err(down(&format!("it calls itself {:?}", metadata.issuer().as_str())));
        }
        let places = [
            Some(metadata.authorization_endpoint().url()),
            metadata.token_endpoint().map(|place| place.url()),
            metadata.userinfo_endpoint().map(|place| place.url()),
            Some(metadata.jwks_uri().url()),
        ];
        if let Some(place) = places.into_iter().flatten().find(|place| !self.http.may_ask(place)) {
            return Err(down(&format!("{place} is not https")));
        }
        let all: serde_json::Value = serde_json::from_slice(&text).map_err(|error| down(&error))?;
        let signs_answers = all["authorization_response_iss_parameter_supported"] == true;
        Ok(Itself { metadata, signs_answers })
    }

    /// Its keys. When one is missing they are asked for again, once a minute: whoever sends tokens of unknown keys makes
    /// nobody ask more often.
    async fn keys(
        &self,
        now: Micros,
        itself: &Itself,
        missing: bool,
    ) -> Result<Arc<CoreJsonWebKeySet>, Trouble> {
        if let Some(keys) = self.known_keys(now, missing) {
            return Ok(keys);
        }
        let text = self.http.get(itself.metadata.jwks_uri().url()).await?;
        let keys = serde_json::from_slice::<CoreJsonWebKeySet>(&text);
        let keys = Arc::new(keys.map_err(|error| Trouble::Down(format!("its keys: {error}")))?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys = Some((now, keys.clone()));
        Ok(keys)
    }

    fn known_keys(&self, now: Micros, missing: bool) -> Option<Arc<CoreJsonWebKeySet>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, keys) = known.keys.clone()?;
        if missing && known.sought.is_none_or(|at| now < at || now >= at + KEYS_EVERY) {
            known.sought = Some(now);
            return None;
        }
        (missing || (now >= at && now < at + FRESH)).then_some(keys)
    }
}
