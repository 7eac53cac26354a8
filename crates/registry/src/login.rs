//! A login at a registry.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// What a client identifies itself with at a registry. Its values never appear in messages.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Login {
    /// Nothing.
    #[default]
    Anonymous,
    /// A user name and a password. Runtimes take an empty name for no login at all, whatever the password is (`ParseAuth`
    /// of containerd 2.4.2), and [`Login::user`] does so, too.
    Password {
        /// The user name.
        username: Box<str>,
        /// The password.
        password: Box<str>,
    },
    /// A refresh token, which Docker's configuration calls identity token.
    RefreshToken(Box<str>),
}

impl Login {
    /// A user name and a password, which count as nothing if the name is empty.
    #[must_use]
    pub fn user(username: &str, password: &str) -> Self {
        if username.is_empty() {
            return Self::Anonymous;
        }
        Self::Password { username: username.into(), password: password.into() }
    }

    /// A key for caches: equal for equal logins, and nobody can infer the login from it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        match self {
            Self::Anonymous => {}
            Self::Password { username, password } => {
                add("password");
                add(username);
                add(password);
            }
            Self::RefreshToken(token) => {
                add("token");
                add(token);
            }
        }
        Fingerprint(hash.finalize().into())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Login::Anonymous",
            Self::Password { .. } => "Login::Password(…)",
            Self::RefreshToken(_) => "Login::RefreshToken(…)",
        })
    }
}

/// What distinguishes two logins in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_shows_a_login() {
        let login = Login::user("someone", "secret");
        assert!(!format!("{login:?}").contains("someone") && !format!("{login:?}").contains("secret"));
        assert!(!format!("{:?}", Login::RefreshToken("secret".into())).contains("secret"));
    }

    #[test]
    fn different_logins_have_different_fingerprints() {
        let all = [
            Login::Anonymous,
            Login::user("a", "bc"),
            Login::user("ab", "c"),
            Login::user("abc", ""),
            Login::RefreshToken("abc".into()),
            Login::RefreshToken("".into()),
        ];
        let found: std::collections::BTreeSet<_> = all.iter().map(Login::fingerprint).collect();
        assert_eq!(found.len(), all.len());
        assert_eq!(Login::user("", "x").fingerprint(), Login::Anonymous.fingerprint());
    }
}
