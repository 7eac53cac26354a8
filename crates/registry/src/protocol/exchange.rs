//! One question to a registry, step by step.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Challenge, Reach, Target, Token, TokenQuestion};
use crate::{Login, RegistryError};

/// The most redirects that are followed for one question.
const MOST_REDIRECTS: u8 = 5;

/// The value of the header `Authorization`, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization(HeaderValue);

impl Authorization {
    /// That of a user name and a password; `None` for any other login.
    pub(crate) fn basic(login: &Login) -> Option<Self> {
        let Login::Password { username, password } = login else { return None };
        let text = STANDARD.encode(format!("{username}:{password}"));
        Self::of(&format!("Basic {text}"))
    }

    /// That of a token.
    pub(crate) fn bearer(token: &str) -> Self {
        // A token has printable characters only, see `Token::read`.
        Self::of(&format!("Bearer {token}")).unwrap_or_else(|| Self(HeaderValue::from_static("Bearer")))
    }

    fn of(text: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The value.
    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// An answer without its body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
}

impl Head {
    /// A header, if it is text.
    pub(crate) fn text(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where a redirect leads.
    pub(crate) fn location(&self) -> Option<&str> {
        let is_redirect = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        self.text(header::LOCATION).filter(|_| is_redirect)
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send the request.
    Send(Target, Option<Authorization>),
    /// Ask for a token.
    Ask(TokenQuestion),
    /// The last answer is the answer to the question.
    Done,
}

/// The state of a question.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    reach: &'a Reach,
    login: &'a Login,
    scope: &'a str,
    /// Where the question went first. Only this origin receives an authorization.
    origin: Target,
    at: Target,
    redirects: u8,
    authorization: Option<Authorization>,
    /// Whether the authorization is an answer to a challenge of this exchange.
    is_answer: bool,
    /// Whether answers may redirect, as those to questions that change nothing may.
    follows: bool,
}

impl<'a> Exchange<'a> {
    /// A question to `target`. `token` is one that was valid for the same scope and login before.
    pub(crate) fn new(
        target: Target,
        reach: &'a Reach,
        login: &'a Login,
        scope: &'a str,
        token: Option<&Token>,
        follows: bool,
    ) -> Self {
        let authorization = token.map(Token::authorization);
        let at = target.clone();
        Self {
            reach,
            login,
            scope,
            origin: target,
            at,
            redirects: 0,
            authorization,
            is_answer: false,
            follows,
        }
    }

    /// The next request.
    pub(crate) fn send(&self) -> Step {
        let is_home = self.at.has_origin_of(&self.origin);
        Step::Send(self.at.clone(), self.authorization.clone().filter(|_| is_home))
    }

    /// What follows from an answer.
    ///
    /// # Errors
    /// The registry cannot be asked, or refuses the login.
    pub(crate) fn answered(&mut self, head: &Head) -> Result<Step, RegistryError> {
        if head.status == StatusCode::UNAUTHORIZED {
            return self.challenged(head);
        }
        let Some(location) = head.location() else { return Ok(Step::Done) };
        if !self.follows {
            return Err(RegistryError::Redirected);
        }
        if self.redirects >= MOST_REDIRECTS {
            return Err(RegistryError::TooManyRedirects);
        }
        self.redirects += 1;
        self.at = self.at.follow(location, self.reach).map_err(RegistryError::Redirect)?;
        Ok(self.send())
    }

    fn challenged(&mut self, head: &Head) -> Result<Step, RegistryError> {
        // Another host has no right to ask for a login, and an answer that was refused is not given again.
        if self.is_answer || !self.at.has_origin_of(&self.origin) {
            return Err(RegistryError::Unauthorized);
        }
        let headers = head.headers.get_all(header::WWW_AUTHENTICATE);
        match Challenge::of(headers.iter().filter_map(|value| value.to_str().ok())) {
            Some(Challenge::Basic) => {
                self.authorization =
                    Some(Authorization::basic(self.login).ok_or(RegistryError::Unauthorized)?);
                self.is_answer = true;
                Ok(self.send())
            }
            Some(Challenge::Bearer { realm, service }) => {
                let realm = self.at.follow(&realm, self.reach).map_err(RegistryError::TokenService)?;
                let service = service.as_deref();
                let question = TokenQuestion::new(&realm, service, self.scope, self.login, self.reach);
                question.map(Step::Ask).map_err(RegistryError::TokenService)
            }
            None => Err(RegistryError::Unauthorized),
        }
    }

    /// What follows from a token.
    pub(crate) fn granted(&mut self, token: &Token) -> Step {
        self.authorization = Some(token.authorization());
        self.is_answer = true;
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: &str = "repository:team/app:pull";

    fn reach() -> Reach {
        Reach::default()
    }

    fn head(status: u16, headers: &[(&str, &str)]) -> Head {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        Head { status: StatusCode::from_u16(status).unwrap(), headers: map }
    }

    fn start<'a>(reach: &'a Reach, login: &'a Login, token: Option<&Token>) -> Exchange<'a> {
        let target = Target::of("a.example", "/v2/team/app/manifests/1", reach).unwrap();
        Exchange::new(target, reach, login, SCOPE, token, true)
    }

    /// Where a step goes, and whether with an authorization.
    fn sent(step: Result<Step, RegistryError>) -> (String, bool) {
        match step.unwrap() {
            Step::Send(target, authorization) => (target.uri().to_string(), authorization.is_some()),
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn a_login_is_sent_only_after_a_challenge_and_only_to_the_registry() {
        let (reach, login) = (reach(), Login::user("u", "p"));
        let mut exchange = start(&reach, &login, None);
        assert!(!sent(Ok(exchange.send())).1);
        let challenge = head(401, &[("www-authenticate", "Basic realm=\"x\"")]);
        assert!(sent(exchange.answered(&challenge)).1);
        let away = head(307, &[("location", "https://cdn.example/x")]);
        assert_eq!(sent(exchange.answered(&away)), ("https://cdn.example/x".to_owned(), false));
        // A challenge of the other host gets nothing.
        assert!(matches!(exchange.answered(&challenge), Err(RegistryError::Unauthorized)));
        let mut exchange = start(&reach, &login, None);
        assert!(!sent(exchange.answered(&away)).1);
        assert!(matches!(exchange.answered(&challenge), Err(RegistryError::Unauthorized)));
        // Back at the registry the login is sent again.
        let mut exchange = start(&reach, &login, None);
        assert!(sent(exchange.answered(&challenge)).1);
        assert!(!sent(exchange.answered(&away)).1);
        assert!(sent(exchange.answered(&head(302, &[("location", "https://a.example/v2/y")]))).1);
    }

    #[test]
    fn another_port_or_scheme_is_another_host() {
        let reach = Reach { plain: ["a.example:80".to_owned()].into(), ..Reach::default() };
        let login = Login::user("u", "p");
        for location in ["https://a.example:444/x", "http://a.example/x"] {
            let target = Target::parse("https://a.example/v2/x", &reach).unwrap();
            let mut exchange = Exchange::new(target, &reach, &login, SCOPE, None, true);
            assert!(sent(exchange.answered(&head(401, &[("www-authenticate", "Basic")]))).1);
            assert!(!sent(exchange.answered(&head(307, &[("location", location)]))).1, "{location}");
        }
    }

    #[test]
    fn a_refused_login_is_not_sent_twice() {
        let (reach, login) = (reach(), Login::user("u", "p"));
        let mut exchange = start(&reach, &login, None);
        let challenge = head(401, &[("www-authenticate", "Basic")]);
        assert!(exchange.answered(&challenge).is_ok());
        assert!(matches!(exchange.answered(&challenge), Err(RegistryError::Unauthorized)));
        let anonymous = Login::Anonymous;
        let mut exchange = start(&reach, &anonymous, None);
        assert!(matches!(exchange.answered(&challenge), Err(RegistryError::Unauthorized)));
    }

    #[test]
    fn a_token_is_asked_for_once_and_an_old_one_is_replaced() {
        let (reach, login) = (reach(), Login::user("u", "p"));
        let old = Token::read(br#"{"token":"old"}"#).unwrap();
        let mut exchange = start(&reach, &login, Some(&old));
        assert!(sent(Ok(exchange.send())).1);
        let challenge = head(
            401,
            &[(
                "www-authenticate",
                r#"Bearer realm="https://auth.example/t",service="s",scope="repository:other:pull""#,
            )],
        );
        let Ok(Step::Ask(question)) = exchange.answered(&challenge) else { panic!("a question") };
        // The scope is the client's own, whatever the registry asks for.
        let url = "https://auth.example/t?scope=repository%3Ateam%2Fapp%3Apull&service=s";
        assert_eq!(question.target.uri().to_string(), url);
        let new = Token::read(br#"{"token":"new"}"#).unwrap();
        let Step::Send(_, Some(authorization)) = exchange.granted(&new) else { panic!("a request") };
        assert_eq!(authorization.value(), "Bearer new");
        assert!(matches!(exchange.answered(&challenge), Err(RegistryError::Unauthorized)));
    }

    #[test]
    fn a_token_service_without_tls_is_not_asked() {
        let (reach, login) = (reach(), Login::user("u", "p"));
        for realm in ["http://auth.example/t", "ftp://auth.example", "https://u:p@auth.example/"] {
            let mut exchange = start(&reach, &login, None);
            let challenge = head(401, &[("www-authenticate", &format!("Bearer realm=\"{realm}\""))]);
            assert!(matches!(exchange.answered(&challenge), Err(RegistryError::TokenService(_))), "{realm}");
        }
    }

    #[test]
    fn redirects_end() {
        let (reach, login) = (reach(), Login::Anonymous);
        let mut exchange = start(&reach, &login, None);
        let around = head(302, &[("location", "/v2/team/app/manifests/1")]);
        for _ in 0..MOST_REDIRECTS {
            assert!(exchange.answered(&around).is_ok());
        }
        assert!(matches!(exchange.answered(&around), Err(RegistryError::TooManyRedirects)));
        // Without a location, or with another status, it is an answer.
        assert!(matches!(exchange.answered(&head(302, &[])), Ok(Step::Done)));
        assert!(matches!(exchange.answered(&head(300, &[("location", "/x")])), Ok(Step::Done)));
    }

    #[test]
    fn a_question_that_changes_something_is_not_redirected() {
        let (reach, login) = (reach(), Login::Anonymous);
        let target = Target::of("a.example", "/v2/x/blobs/uploads/", &reach).unwrap();
        let mut exchange = Exchange::new(target, &reach, &login, SCOPE, None, false);
        let away = head(307, &[("location", "https://a.example/y")]);
        assert!(matches!(exchange.answered(&away), Err(RegistryError::Redirected)));
    }
}
