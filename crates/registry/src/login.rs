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
        match self {
            Self::Anonymous => Fingerprint::of([]),
            Self::Password { username, password } => {
                Fingerprint::of([&b"password"[..], username.as_bytes(), password.as_bytes()])
            }
            Self::RefreshToken(token) => Fingerprint::of([&b"token"[..], token.as_bytes()]),
        }
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

/// What distinguishes two logins, or two sets of them, in a cache, or two questions that are asked with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of some parts, of which none runs into the next one.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// That of what is asked with these logins, by all parts of the question in their order.
    #[must_use]
    pub fn with<'a>(&'a self, question: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::of(std::iter::once(&self.0[..]).chain(question))
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

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

    #[test]
    fn different_questions_or_logins_have_different_fingerprints() {
        let logins = [Login::Anonymous, Login::user("a", "b")].map(|login| login.fingerprint());
        let questions: [&[&[u8]]; 5] = [&[], &[b""], &[b"ab"], &[b"a", b"b"], &[b"b", b"a"]];
        let of = |login: &Fingerprint| questions.map(|parts| login.with(parts.iter().copied()));
        let found: std::collections::BTreeSet<_> = logins.iter().flat_map(of).collect();
        assert_eq!(found.len(), 2 * questions.len());
        assert_eq!(of(&logins[0]), of(&logins[0]));
    }
}
