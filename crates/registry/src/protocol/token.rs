//! Tokens of a token service (`spec/auth/token` and `spec/auth/oauth` of distribution).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::{Authorization, Reach, Target, Unreachable};
use crate::Login;

/// How long a token is valid if the service does not say: what its specification assumes.
const ASSUMED: Duration = Duration::from_mins(1);
/// The longest time for which a token is kept.
const LONGEST: Duration = Duration::from_hours(1);
/// The longest token that is sent.
const LONGEST_TEXT: usize = 16 * 1024;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    text: Box<str>,
    /// How long it is valid, from when it was asked for.
    pub(crate) valid: Duration,
}

impl Token {
    /// The token in a service's answer.
    pub(crate) fn read(answer: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<Box<str>>,
            access_token: Option<Box<str>>,
            expires_in: Option<u64>,
        }
        let answer: Answer = serde_json::from_slice(answer).ok()?;
        let is_usable = |text: &str| {
            !text.is_empty() && text.len() <= LONGEST_TEXT && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let text = answer.token.into_iter().chain(answer.access_token).find(|text| is_usable(text))?;
        let valid = answer.expires_in.map_or(ASSUMED, Duration::from_secs).min(LONGEST);
        Some(Self { text, valid })
    }

    /// The header's value.
    pub(crate) fn authorization(&self) -> Authorization {
        Authorization::bearer(&self.text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A question to a token service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenQuestion {
    /// Where it goes.
    pub(crate) target: Target,
    /// The header, if there is one.
    pub(crate) authorization: Option<Authorization>,
    /// The form of a POST; without one it is a GET.
    pub(crate) form: Option<String>,
}

impl TokenQuestion {
    /// The question for a scope.
    pub(crate) fn new(
        realm: &Target,
        service: Option<&str>,
        scope: &str,
        login: &Login,
        reach: &Reach,
    ) -> Result<Self, Unreachable> {
        let mut query = vec![("scope", scope)];
        query.extend(service.map(|service| ("service", service)));
        if let Login::RefreshToken(token) = login {
            query.extend([
                ("grant_type", "refresh_token"),
                ("client_id", "kubectl-seccomp"),
                ("refresh_token", token),
            ]);
            return Ok(Self { target: realm.clone(), authorization: None, form: Some(encoded(&query)) });
        }
        let target = realm.with_query(&encoded(&query), reach)?;
        Ok(Self { target, authorization: Authorization::basic(login), form: None })
    }
}

/// A form or a query.
fn encoded(parts: &[(&str, &str)]) -> String {
    let parts: Vec<_> = parts.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    parts.join("&")
}

/// Text as it may stand in a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                found.push(char::from(byte));
            }
            byte => found.push_str(&format!("%{byte:02X}")),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_and_kept_for_a_bounded_time() {
        let valid = |text: &str| Token::read(text.as_bytes()).map(|token| token.valid.as_secs());
        assert_eq!(valid(r#"{"token":"t","expires_in":300}"#), Some(300));
        assert_eq!(valid(r#"{"access_token":"t"}"#), Some(60));
        assert_eq!(valid(r#"{"token":"","access_token":"t","expires_in":99999999}"#), Some(3600));
        for bad in
            ["", "{}", r#"{"token":1}"#, r#"{"token":"a\nb"}"#, r#"{"token":"t","expires_in":-1}"#, "[]"]
        {
            assert_eq!(valid(bad), None, "{bad}");
        }
        let long = format!(r#"{{"token":"{}"}}"#, "a".repeat(LONGEST_TEXT + 1));
        assert_eq!(valid(&long), None);
    }

    #[test]
    fn a_refresh_token_is_posted_and_a_password_goes_into_the_header() {
        let reach = Reach::default();
        let realm = Target::parse("https://auth.example/token?a=b", &reach).unwrap();
        let ask = |login: &Login| {
            TokenQuestion::new(&realm, Some("s&x"), "repository:a:pull", login, &reach).unwrap()
        };
        let question = ask(&Login::user("u", "p"));
        let url = "https://auth.example/token?a=b&scope=repository%3Aa%3Apull&service=s%26x";
        assert_eq!(question.target.uri().to_string(), url);
        assert!(question.authorization.is_some() && question.form.is_none());
        let question = ask(&Login::RefreshToken("r".into()));
        assert!(question.authorization.is_none() && question.form.unwrap().ends_with("refresh_token=r"));
        assert_eq!(ask(&Login::Anonymous).authorization, None);
    }
}
