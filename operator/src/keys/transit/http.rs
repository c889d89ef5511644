//! The connection to the server.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Url};
use rustify::Endpoint;
use rustify::errors::ClientError as RestError;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::token::requests::RenewTokenSelfRequest;
use vaultrs::api::transit::requests::{DecryptDataRequest, EncryptDataRequest, RewrapDataRequest};
use vaultrs::api::{AuthInfo, EndpointError, EndpointMiddleware, EndpointResult};
use vaultrs::error::ClientError;

use super::place::Place;
use crate::keys::{KeyFault, ProviderFault};

/// Connects to the one address of a provider.
///
/// # Guarantees
/// * The server's certificate is checked, against the given authorities alone where some are given.
/// * A token is sent to that address only: no redirect is followed, and no proxy is used, whatever
///   the environment says.
/// * However much the server answers with, no more is read than an honest answer has.
#[derive(Clone)]
pub(super) struct Connector {
    http: reqwest::Client,
    address: Url,
    namespace: Option<String>,
}

impl Connector {
    pub(super) fn new(place: &Place, ca_bundle: Option<&str>) -> Result<Self, ProviderFault> {
        let address = Url::parse(&place.address).ok();
        // A password in it would be shown in messages.
        let plain = |url: &Url| url.username().is_empty() && url.password().is_none();
        let address = address
            .filter(|url| url.scheme() == "https" && url.has_host() && url.path() == "/")
            .filter(plain);
        let address = address.ok_or_else(|| {
            ProviderFault::new(
                KeyFault::Unsupported,
                "spec.vaultTransit.address must be https://HOST:PORT",
            )
        })?;
        let mut builder = reqwest::ClientBuilder::new()
            .tls_backend_rustls()
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(IDLE);
        if let Some(bundle) = ca_bundle {
            builder = builder.tls_certs_only(certificates(bundle)?);
        }
        let http = builder.build().map_err(|_| match ca_bundle {
            Some(_) => no_certificates(),
            None => ProviderFault::new(
                KeyFault::BadCertificate,
                "the operator's image trusts no certificate authority: put the certificate that \
                 signs the server's into spec.vaultTransit.caBundle",
            ),
        })?;
        Ok(Self {
            http,
            address,
            namespace: place.namespace.clone(),
        })
    }

    /// A client that sends this token; an empty one is none. All share their connections.
    pub(super) fn client(&self, token: &str) -> Client {
        Client {
            http: Bounded {
                http: self.http.clone(),
                address: self.address.clone(),
            },
            middle: EndpointMiddleware {
                token: token.to_owned(),
                version: "v1".to_owned(),
                wrap: None,
                namespace: self.namespace.clone(),
            },
        }
    }
}

/// A client that sends one token. No `Debug`.
pub(super) struct Client {
    http: Bounded,
    middle: EndpointMiddleware,
}

impl Client {
    /// The token.
    pub(super) fn token(&self) -> &str {
        &self.middle.token
    }

    /// Logs in with a role id and a secret id.
    pub(super) async fn app_role(
        &self,
        mount: &str,
        role_id: &str,
        secret_id: &str,
    ) -> Result<AuthInfo, ClientError> {
        let [mount, role_id, secret_id] = [mount, role_id, secret_id].map(str::to_owned);
        let endpoint = LoginWithApproleRequest {
            mount,
            role_id,
            secret_id,
        };
        self.auth(endpoint).await
    }

    /// Logs in with a token of a service account.
    pub(super) async fn kubernetes(
        &self,
        mount: &str,
        role: &str,
        jwt: &str,
    ) -> Result<AuthInfo, ClientError> {
        let [mount, role, jwt] = [mount, role, jwt].map(str::to_owned);
        let endpoint = LoginWithKubernetesRequest { mount, role, jwt };
        self.auth(endpoint).await
    }

    /// Renews the token.
    pub(super) async fn renew(&self) -> Result<AuthInfo, ClientError> {
        self.auth(RenewTokenSelfRequest::default()).await
    }

    /// Has a wrapped key unwrapped. Answers with its payload, in base64.
    pub(super) async fn decrypt(
        &self,
        place: &Place,
        wrapped: &str,
    ) -> Result<String, ClientError> {
        let endpoint = DecryptDataRequest {
            mount: place.mount.clone(),
            name: place.key.clone(),
            ciphertext: wrapped.to_owned(),
            ..DecryptDataRequest::default()
        };
        self.data(endpoint).await.map(|answer| answer.plaintext)
    }

    /// Has a payload in base64 wrapped.
    pub(super) async fn encrypt(&self, place: &Place, text: &str) -> Result<String, ClientError> {
        let endpoint = EncryptDataRequest {
            mount: place.mount.clone(),
            name: place.key.clone(),
            plaintext: text.to_owned(),
            ..EncryptDataRequest::default()
        };
        self.data(endpoint).await.map(|answer| answer.ciphertext)
    }

    /// Has a wrapped key wrapped anew.
    pub(super) async fn rewrap(&self, place: &Place, wrapped: &str) -> Result<String, ClientError> {
        let endpoint = RewrapDataRequest {
            mount: place.mount.clone(),
            name: place.key.clone(),
            ciphertext: wrapped.to_owned(),
            ..RewrapDataRequest::default()
        };
        self.data(endpoint).await.map(|answer| answer.ciphertext)
    }

    async fn auth<E: Endpoint<Response = ()>>(&self, endpoint: E) -> Result<AuthInfo, ClientError> {
        let answer = self.ask(endpoint).await?;
        answer.auth.ok_or(ClientError::ResponseEmptyError)
    }

    async fn data<E: Endpoint>(&self, endpoint: E) -> Result<E::Response, ClientError> {
        let answer = self.ask(endpoint).await?;
        answer.data.ok_or(ClientError::ResponseDataEmptyError)
    }

    async fn ask<E: Endpoint>(
        &self,
        endpoint: E,
    ) -> Result<EndpointResult<E::Response>, ClientError> {
        let endpoint = endpoint.with_middleware(&self.middle);
        let answer = endpoint.exec(&self.http).await.map_err(told)?;
        Ok(answer.wrap()?)
    }
}

/// An error, with what the server says of it where it says something.
fn told(error: RestError) -> ClientError {
    if let RestError::ServerResponseError {
        code,
        content: Some(text),
    } = &error
        && let Ok(told) = serde_json::from_str::<EndpointError>(text)
    {
        return ClientError::APIError {
            code: *code,
            errors: told.errors,
        };
    }
    error.into()
}

/// HTTP in the place of vaultrs' own, which reads an answer to its end, however long it is.
struct Bounded {
    http: reqwest::Client,
    address: Url,
}

impl Bounded {
    async fn answer(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, RestError> {
        let request = reqwest::Request::try_from(request);
        let request = request.map_err(|source| RestError::ReqwestBuildError { source })?;
        let (url, method) = (request.url().to_string(), request.method().to_string());
        let answer = self.http.execute(request).await;
        let mut answer = answer.map_err(|error| RestError::RequestError {
            source: error.into(),
            url,
            method,
        })?;
        let body = body(&mut answer).await;
        let body = body.map_err(|error| RestError::ResponseError {
            source: error.into(),
        })?;
        let mut bounded = Response::new(body);
        *bounded.status_mut() = answer.status();
        Ok(bounded)
    }
}

/// As `async_trait` would write it.
impl rustify::client::Client for Bounded {
    fn send<'s, 'f>(
        &'s self,
        request: Request<Vec<u8>>,
    ) -> BoxFuture<'f, Result<Response<Vec<u8>>, RestError>>
    where
        's: 'f,
        Self: 'f,
    {
        self.answer(request).boxed()
    }

    fn base(&self) -> &str {
        self.address.as_str()
    }
}

/// What was answered. One that is too long is as good as none, and the rest of it is not read.
async fn body(answer: &mut reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(Vec::new());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn certificates(bundle: &str) -> Result<Vec<Certificate>, ProviderFault> {
    let text: String = bundle.split_ascii_whitespace().collect();
    let pem = BASE64_STANDARD
        .decode(text)
        .map_err(|_| no_certificates())?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|_| no_certificates())?;
    if found.is_empty() {
        return Err(no_certificates());
    }
    Ok(found)
}

fn no_certificates() -> ProviderFault {
    ProviderFault::new(
        KeyFault::BadCertificate,
        "spec.vaultTransit.caBundle holds no certificates: it must be certificates in PEM, \
         encoded in base64 once more",
    )
}

/// The longest answer, in bytes. A data key has some hundred, wrapped or not, and a login some
/// thousand, with the names of its policies. 32 of these at a time are nothing to a replica's memory.
const MAX_ANSWER: usize = 256 * 1024;

const CONNECT: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
