//! Carries out an exchange.

use std::error::Error as _;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};

use super::Client;
use super::connect::ConnectError;
use super::outgoing::Outgoing;
use super::tokens::Key;
use crate::error::Said;
use crate::protocol::{Authorization, Exchange, Head, Step, Target, Token, TokenQuestion};
use crate::{Login, RegistryError, Repository};

/// The largest answer of a token service, and the most that is read of an error.
const LARGEST_TOKEN: u64 = 64 * 1024;

/// A question to a registry.
pub(super) struct Question<'a> {
    /// The repository that it is about.
    pub(super) repository: &'a Repository,
    /// What is done there: `pull`, or `pull,push`.
    pub(super) actions: &'a str,
    /// Who asks.
    pub(super) login: &'a Login,
    /// The method.
    pub(super) method: Method,
    /// The URL.
    pub(super) target: Target,
    /// The headers beside `Authorization`.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: Bytes,
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    pub(super) head: Head,
    /// Who gave the answer.
    pub(super) from: Target,
    /// What it was asked with.
    pub(super) authorization: Option<Authorization>,
    pub(super) body: Incoming,
}

impl Client {
    /// Asks, with whatever redirects and token it takes.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        let Question { repository, actions, login, method, target, headers, body } = question;
        let scope = format!("repository:{}:{actions}", repository.path());
        let key = Key { host: target.authority().to_owned(), scope, login: login.fingerprint() };
        let known = self.tokens.lock().ok().and_then(|tokens| tokens.get(&key, Instant::now()));
        let follows = matches!(method, Method::GET | Method::HEAD);
        let mut exchange = Exchange::new(target, &self.reach, login, &key.scope, known.as_ref(), follows);
        let mut step = exchange.send();
        loop {
            let Step::Send(target, authorization) = &step else { return Err(RegistryError::Unauthorized) };
            let sent = Either::Left(Full::new(body.clone()));
            let (head, answer) = self.send(&method, target, authorization.as_ref(), &headers, sent).await?;
            let next = exchange.answered(&head)?;
            step = match next {
                Step::Done => {
                    let (from, authorization) = (target.clone(), authorization.clone());
                    return Ok(Answer { head, from, authorization, body: answer });
                }
                Step::Send(..) => next,
                Step::Ask(token_question) => {
                    // A connection whose answer has been read can be used again; of a large answer nothing is read.
                    let _ = read_body(answer, LARGEST_TOKEN, "answer").await;
                    let asked = Instant::now();
                    let token = self.token(token_question).await?;
                    if let Ok(mut tokens) = self.tokens.lock() {
                        tokens.keep(key.clone(), token.clone(), asked);
                    }
                    exchange.granted(&token)
                }
            };
        }
    }

    /// Asks a token service. Its answer may not redirect: a login would have to be sent to another host, or not at all.
    async fn token(&self, question: TokenQuestion) -> Result<Token, RegistryError> {
        let TokenQuestion { target, authorization, form } = question;
        let (mut headers, mut method, mut body) = (HeaderMap::new(), Method::GET, Bytes::new());
        if let Some(form) = form {
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form_type);
            (method, body) = (Method::POST, form.into());
        }
        let body = Either::Left(Full::new(body));
        let (head, answer) = self.send(&method, &target, authorization.as_ref(), &headers, body).await?;
        match head.status {
            StatusCode::OK => {
                let bytes = read_body(answer, LARGEST_TOKEN, "answer of the token service").await?;
                Token::read(&bytes).ok_or(RegistryError::Token)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                Err(RegistryError::Unauthorized)
            }
            StatusCode::TOO_MANY_REQUESTS => Err(RegistryError::TooManyRequests),
            status if status.is_server_error() => {
                Err(RegistryError::Fault { status: status.as_u16(), said: Said::default() })
            }
            _ => Err(RegistryError::Token),
        }
    }

    pub(super) async fn send(
        &self,
        method: &Method,
        target: &Target,
        authorization: Option<&Authorization>,
        headers: &HeaderMap,
        body: Outgoing,
    ) -> Result<(Head, Incoming), RegistryError> {
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = target.uri().clone();
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("seccomp-profile"));
        if let Some(authorization) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.value().clone());
        }
        let answer = self.http.request(request).await.map_err(|error| failure(&error, target.authority()))?;
        let (parts, body) = answer.into_parts();
        Ok((Head { status: parts.status, headers: parts.headers }, body))
    }
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// It is not one, or the body is larger than `limit`.
    pub(super) async fn body(self, limit: u64, what: &'static str) -> Result<(Head, Bytes), RegistryError> {
        if self.head.status.is_success() {
            return Ok((self.head, read_body(self.body, limit, what).await?));
        }
        Err(self.failure().await)
    }

    /// Why it is no success.
    pub(super) async fn failure(self) -> RegistryError {
        let status = self.head.status;
        let body = read_body(self.body, LARGEST_TOKEN, "answer").await.unwrap_or_default();
        let said = Said::read(&body);
        match status {
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized,
            StatusCode::FORBIDDEN => RegistryError::Denied(said),
            StatusCode::NOT_FOUND => RegistryError::NotFound(said),
            StatusCode::TOO_MANY_REQUESTS => RegistryError::TooManyRequests,
            status if status.is_server_error() => RegistryError::Fault { status: status.as_u16(), said },
            status => RegistryError::Refused { status: status.as_u16(), said },
        }
    }
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_body(
    mut body: Incoming,
    limit: u64,
    what: &'static str,
) -> Result<Bytes, RegistryError> {
    let too_large = RegistryError::TooLarge { what, limit };
    // What is announced is not read if it is too much.
    if body.size_hint().lower() > limit {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RegistryError::Connection {
            host: "the registry".to_owned(),
            cause: error.to_string(),
        })?;
        let Some(data) = frame.data_ref() else { continue };
        let length = bytes.len() + data.len();
        if length as u64 > limit {
            return Err(too_large);
        }
        if length > bytes.capacity() {
            // Twice as much as before, but no more than the body may have.
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let capacity = length.max(bytes.capacity().saturating_mul(2).min(most));
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(data);
    }
    // Without what is left of the capacity.
    Ok(bytes.into_boxed_slice().into())
}

/// The error of a request that got no answer.
fn failure(error: &hyper_util::client::legacy::Error, host: &str) -> RegistryError {
    let host = host.to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::Unreachable(why) => RegistryError::Unreachable { host, why: *why },
                error => RegistryError::Connect { host, cause: error.to_string() },
            };
        }
        source = cause.source();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    RegistryError::Connection { host, cause: cause.to_string() }
}
