//! Tokens that are still valid, by what they were asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::login::Fingerprint;
use crate::protocol::Token;

/// The most tokens that are kept.
const MOST: usize = 1_000;
/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// For whom and for what a token was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The registry.
    pub(super) host: String,
    /// The repository and the actions.
    pub(super) scope: String,
    /// The login, so that what one opened is not used for another.
    pub(super) login: Fingerprint,
}

/// The tokens.
#[derive(Default)]
pub(super) struct Tokens(BTreeMap<Key, (Token, Instant)>);

impl Tokens {
    /// The token for a key, if it is valid at `now`.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Token> {
        self.0.get(key).filter(|(_, until)| now < *until).map(|(token, _)| token.clone())
    }

    /// Keeps a token that was asked for at `asked`.
    pub(super) fn keep(&mut self, key: Key, token: Token, asked: Instant) {
        let until = asked + token.valid.saturating_sub(MARGIN);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, until)| asked < *until);
            // All are valid: the one that ends first goes.
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            if let (true, Some(first)) = (self.0.len() >= MOST, first) {
                self.0.remove(&first);
            }
        }
        self.0.insert(key, (token, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Login;

    fn key(host: &str, login: &Login) -> Key {
        Key { host: host.to_owned(), scope: "s".to_owned(), login: login.fingerprint() }
    }

    #[test]
    fn a_token_is_for_one_login_and_for_its_time() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = Token::read(br#"{"token":"t","expires_in":60}"#).unwrap();
        let mine = key("a.example", &Login::user("u", "p"));
        tokens.keep(mine.clone(), token.clone(), now);
        assert_eq!(tokens.get(&mine, now + Duration::from_secs(49)), Some(token));
        assert_eq!(tokens.get(&mine, now + Duration::from_secs(50)), None);
        for other in [key("a.example", &Login::user("u", "q")), key("b.example", &Login::user("u", "p"))] {
            assert_eq!(tokens.get(&other, now), None);
        }
    }

    #[test]
    fn their_number_is_bounded_and_the_one_that_ends_first_goes() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = |seconds: usize| {
            Token::read(format!(r#"{{"token":"t","expires_in":{seconds}}}"#).as_bytes()).unwrap()
        };
        for i in 0..=MOST {
            tokens.keep(key(&i.to_string(), &Login::Anonymous), token(100 + i), now);
        }
        assert_eq!(tokens.0.len(), MOST);
        assert_eq!(tokens.get(&key("0", &Login::Anonymous), now), None);
        assert!(tokens.get(&key("1", &Login::Anonymous), now).is_some());
        // Expired ones go first.
        tokens.keep(key("late", &Login::Anonymous), token(60), now + Duration::from_secs(2_000));
        assert_eq!(tokens.0.len(), 1);
    }
}
