//! The OpenID Connect issuer that users sign in by: its metadata, its keys, and the requests to it. No other issuer is
//! ever contacted, whatever a request or a token says.

mod claims;
mod http;
mod types;

use crate::settings::Settings;
use claims::{CollectedClaims, standard_claims};
use domain::federation::IdentityClaims;
use domain::time::{Micros, Span};
use http::{HttpClient, HttpError};
use openidconnect::core::{
    CoreAuthPrompt, CoreClientAuthMethod, CoreJsonWebKeySet, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreResponseType,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use types::{IssuerClient, TokenClaims, Tokens, UserInfo, Verifier};

/// The issuer's metadata and keys are fetched again after this time.
const MAX_AGE: Span = Span::minutes(60);
/// The least time between two fetches of keys because of an unknown key.
const REFETCH_INTERVAL: Span = Span::minutes(1);
/// How far the issuer's clock may be ahead.
const SKEW: Span = Span::minutes(1);

/// The algorithms with a public key. The others (`none`, `HS256`) do not prove who signed.
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

/// Why a sign-in by the issuer cannot be verified. Contains no secret, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// The issuer does not respond, or its response cannot be used.
    #[error("the issuer cannot be used: {0}")]
    Down(String),
    /// The issuer refused the request.
    #[error("the issuer refused: {0}")]
    Refused(String),
    /// The response is not from the issuer, not for this server, or not valid now.
    #[error("the issuer's response is not valid: {0}")]
    Untrusted(String),
}

impl From<HttpError> for IssuerError {
    fn from(error: HttpError) -> IssuerError {
        IssuerError::Down(error.to_string())
    }
}

/// The parameters of an authorization request.
pub struct AuthorizationRequest<'a> {
    /// The URL that the issuer redirects to.
    pub redirect_url: &'a str,
    /// The value that the redirect must return.
    pub state: &'a str,
    /// The value that the ID token must have.
    pub nonce: &'a str,
    /// The PKCE verifier (RFC 7636).
    pub verifier: &'a str,
}

/// The issuer.
pub struct Issuer {
    name: IssuerUrl,
    client: ClientId,
    secret: Option<ClientSecret>,
    scopes: Vec<Scope>,
    groups_claim: String,
    /// Whether groups give any role.
    uses_groups: bool,
    http: HttpClient,
    cache: Mutex<IssuerCache>,
}

/// What was fetched from the issuer, and when.
#[derive(Default)]
struct IssuerCache {
    metadata: Option<(Micros, Arc<IssuerMetadata>)>,
    keys: Option<(Micros, Arc<CoreJsonWebKeySet>)>,
    /// When the keys were last fetched because of an unknown key.
    refetched: Option<Micros>,
}

/// The issuer's metadata.
struct IssuerMetadata {
    provider: CoreProviderMetadata,
    /// Whether each redirect has the issuer's name (RFC 9207).
    sends_issuer: bool,
}

impl Issuer {
    /// The issuer of the settings, if they have one. It is not contacted yet.
    ///
    /// # Errors
    /// A message, for an invalid URL or when TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<Option<Issuer>, String> {
        let Some(name) = settings.oidc_issuer.clone() else { return Ok(None) };
        let name = IssuerUrl::new(name).map_err(|error| error.to_string())?;
        let others = settings.oidc_scopes.iter().filter(|scope| *scope != "openid");
        Ok(Some(Issuer {
            http: HttpClient::new(name.url())?,
            name,
            client: ClientId::new(settings.oidc_client_id.clone()),
            secret: settings
                .oidc_client_secret
                .as_ref()
                .map(|secret| ClientSecret::new(secret.reveal().to_owned())),
            scopes: others.map(|scope| Scope::new(scope.clone())).collect(),
            groups_claim: settings.oidc_groups_claim.clone(),
            uses_groups: settings.uses_groups(),
            cache: Mutex::default(),
        }))
    }

    /// The URL by which it names itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL at which a user signs in. With `max_age`, the issuer must authenticate the user again if the last time was
    /// longer ago.
    ///
    /// # Errors
    /// [`IssuerError::Down`].
    pub async fn authorization_url(
        &self,
        now: Micros,
        authorization: &AuthorizationRequest<'_>,
        max_age: Option<Duration>,
    ) -> Result<String, IssuerError> {
        let metadata = self.metadata(now).await?;
        let client = self.client(&metadata, authorization.redirect_url)?;
        let (state, nonce) = (authorization.state.to_owned(), authorization.nonce.to_owned());
        let verifier = PkceCodeVerifier::new(authorization.verifier.to_owned());
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(self.scopes.iter().cloned())
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        if let Some(max_age) = max_age {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(max_age);
        }
        Ok(request.url().0.to_string())
    }

    /// Checks that a redirect came from this issuer (RFC 9207). `issuer` is the name in the redirect.
    ///
    /// # Errors
    /// [`IssuerError::Untrusted`] for another issuer, or without a name where the issuer always sends it;
    /// [`IssuerError::Down`].
    pub async fn check_redirect(&self, now: Micros, issuer: Option<&str>) -> Result<(), IssuerError> {
        let untrusted = |message: &str| Err(IssuerError::Untrusted(message.to_owned()));
        match issuer {
            Some(issuer) if issuer != self.name.as_str() => untrusted("the redirect names another issuer"),
            Some(_) => Ok(()),
            None if self.metadata(now).await?.sends_issuer => {
                untrusted("the redirect does not name its issuer")
            }
            None => Ok(()),
        }
    }

    /// Redeems a code for the user's claims.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub async fn redeem_code(
        &self,
        now: Micros,
        code: &str,
        authorization: &AuthorizationRequest<'_>,
    ) -> Result<IdentityClaims, IssuerError> {
        let metadata = self.metadata(now).await?;
        let client = self.client(&metadata, authorization.redirect_url)?;
        let exchange = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| IssuerError::Down(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(authorization.verifier.to_owned()));
        let tokens = exchange.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(response) => {
                IssuerError::Refused(response.error().as_ref().to_owned())
            }
            RequestTokenError::Request(error) => error.into(),
            other => IssuerError::Down(other.to_string()),
        })?;
        let nonce = Nonce::new(authorization.nonce.to_owned());
        let claims = self.verify_token(now, &metadata, &tokens, &nonce).await?;
        let mut collected = CollectedClaims::new(standard_claims!(&claims), claims.additional_claims());
        let groups = self.uses_groups.then_some(self.groups_claim.as_str());
        if !collected.are_complete(groups)
            && let Some(info) = self.fetch_user_info(&client, &tokens, &claims).await?
        {
            collected = collected.merge_user_info(standard_claims!(&info), info.additional_claims());
        }
        let authenticated = claims.auth_time().map(|time| Micros(time.timestamp_micros()));
        let mut methods = claims.auth_method_refs().into_iter().flatten();
        let multi_factor = methods.any(|method| method.as_str() == "mfa");
        Ok(IdentityClaims { multi_factor, ..collected.into_identity(&self.groups_claim, authenticated)? })
    }

    /// Verifies the ID token. Returns its claims.
    async fn verify_token(
        &self,
        now: Micros,
        metadata: &IssuerMetadata,
        tokens: &Tokens,
        nonce: &Nonce,
    ) -> Result<TokenClaims, IssuerError> {
        let untrusted = |error: &dyn std::fmt::Display| IssuerError::Untrusted(error.to_string());
        let token = tokens.id_token().ok_or_else(|| untrusted(&"there is no ID token"))?;
        let unknown_key =
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey);
        let mut keys = self.keys(now, metadata, false).await?;
        let mut outcome = token.claims(&self.verifier(now, &keys), nonce).cloned();
        if outcome.as_ref().is_err_and(|error| *error == unknown_key) {
            keys = self.keys(now, metadata, true).await?;
            outcome = token.claims(&self.verifier(now, &keys), nonce).cloned();
        }
        let claims = outcome.map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(why) => untrusted(&why),
            other => untrusted(&other),
        })?;
        // The library leaves these two checks to its caller.
        if claims.authorized_party().is_some_and(|party| *party != self.client) {
            return Err(untrusted(&"it was issued to another party"));
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
        // As for a client without a secret, so that no signature made with a secret is accepted.
        Verifier::new_public_client(self.client.clone(), self.name.clone(), keys.clone())
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(time)
            .set_issue_time_verifier_fn(move |at| {
                let early = at.timestamp_micros() <= latest.0;
                early.then_some(()).ok_or_else(|| "it was issued in the future".to_owned())
            })
    }

    /// Fetches the claims of the user info endpoint. `None` if the issuer has none.
    async fn fetch_user_info(
        &self,
        client: &IssuerClient,
        tokens: &Tokens,
        claims: &TokenClaims,
    ) -> Result<Option<UserInfo>, IssuerError> {
        if client.user_info_url().is_none() {
            return Ok(None);
        }
        let (access, subject) = (AccessToken::new(tokens.access_token().secret().clone()), claims.subject());
        let request = client.user_info(access, Some(subject.clone()));
        let request = request.map_err(|error| IssuerError::Down(error.to_string()))?;
        let info: UserInfo = request.request_async(&self.http).await.map_err(|error| match error {
            openidconnect::UserInfoError::ClaimsVerification(error) => {
                IssuerError::Untrusted(error.to_string())
            }
            openidconnect::UserInfoError::Request(error) => error.into(),
            other => IssuerError::Down(other.to_string()),
        })?;
        Ok(Some(info))
    }

    fn client(&self, metadata: &IssuerMetadata, redirect_url: &str) -> Result<IssuerClient, IssuerError> {
        let provider = metadata.provider.clone();
        // The secret goes into the header, which every issuer must support (RFC 6749, section 2.3.1), unless the metadata
        // offers only the body.
        let methods = provider.token_endpoint_auth_methods_supported().cloned().unwrap_or_default();
        let has = |method| methods.contains(&method);
        let in_body =
            has(CoreClientAuthMethod::ClientSecretPost) && !has(CoreClientAuthMethod::ClientSecretBasic);
        let redirect_url = RedirectUrl::new(redirect_url.to_owned())
            .map_err(|error| IssuerError::Down(error.to_string()))?;
        let client = IssuerClient::from_provider_metadata(provider, self.client.clone(), self.secret.clone());
        let auth_type = if in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(client.set_redirect_uri(redirect_url).set_auth_type(auth_type))
    }

    /// The issuer's metadata, not older than [`MAX_AGE`].
    async fn metadata(&self, now: Micros) -> Result<Arc<IssuerMetadata>, IssuerError> {
        let is_fresh = |at: Micros| now >= at && now < at + MAX_AGE;
        let cached = self.cache().metadata.clone();
        if let Some((_, metadata)) = cached.filter(|(at, _)| is_fresh(*at)) {
            return Ok(metadata);
        }
        let metadata = Arc::new(self.fetch_metadata().await?);
        self.cache().metadata = Some((now, metadata.clone()));
        Ok(metadata)
    }

    fn cache(&self) -> MutexGuard<'_, IssuerCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch_metadata(&self) -> Result<IssuerMetadata, IssuerError> {
        let down = |error: &dyn std::fmt::Display| IssuerError::Down(error.to_string());
        let url = format!("{}/.well-known/openid-configuration", self.name.as_str().trim_end_matches('/'));
        let url = url::Url::parse(&url).map_err(|error| down(&error))?;
        let text = self.http.get(&url).await?;
        let provider: CoreProviderMetadata = serde_json::from_slice(&text).map_err(|error| down(&error))?;
        if provider.issuer() != &self.name {
            return Err(down(&format!("it calls itself {:?}", provider.issuer().as_str())));
        }
        let urls = [
            Some(provider.authorization_endpoint().url()),
            provider.token_endpoint().map(|endpoint| endpoint.url()),
            provider.userinfo_endpoint().map(|endpoint| endpoint.url()),
            Some(provider.jwks_uri().url()),
        ];
        if let Some(url) = urls.into_iter().flatten().find(|url| !self.http.is_allowed(url)) {
            return Err(down(&format!("{url} is not https")));
        }
        let fields: serde_json::Value = serde_json::from_slice(&text).map_err(|error| down(&error))?;
        let sends_issuer = fields["authorization_response_iss_parameter_supported"] == true;
        Ok(IssuerMetadata { provider, sends_issuer })
    }

    /// The issuer's keys. When a key is `missing` they are fetched again, at most once in [`REFETCH_INTERVAL`], so that
    /// tokens of unknown keys do not cause more requests.
    async fn keys(
        &self,
        now: Micros,
        metadata: &IssuerMetadata,
        missing: bool,
    ) -> Result<Arc<CoreJsonWebKeySet>, IssuerError> {
        if let Some(keys) = self.cached_keys(now, missing) {
            return Ok(keys);
        }
        let text = self.http.get(metadata.provider.jwks_uri().url()).await?;
        let keys = serde_json::from_slice::<CoreJsonWebKeySet>(&text);
        let keys = Arc::new(keys.map_err(|error| IssuerError::Down(format!("its keys: {error}")))?);
        self.cache().keys = Some((now, keys.clone()));
        Ok(keys)
    }

    fn cached_keys(&self, now: Micros, missing: bool) -> Option<Arc<CoreJsonWebKeySet>> {
        let mut cache = self.cache();
        let (at, keys) = cache.keys.clone()?;
        if missing && cache.refetched.is_none_or(|at| now < at || now >= at + REFETCH_INTERVAL) {
            cache.refetched = Some(now);
            return None;
        }
        (missing || (now >= at && now < at + MAX_AGE)).then_some(keys)
    }
}
