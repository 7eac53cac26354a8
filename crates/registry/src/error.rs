//! Why a registry gave no usable answer.

use crate::Unreachable;
use crate::document::DocumentError;

/// Why a registry gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The host of the registry may not be asked.
    #[error("the registry {host} is not asked: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// The reason.
        why: Unreachable,
    },
    /// A redirect leads to where nothing may be asked.
    #[error("a redirect of the registry is not followed: {0}")]
    Redirect(Unreachable),
    /// The token service of the registry may not be asked.
    #[error("the token service that the registry names is not asked: {0}")]
    TokenService(Unreachable),
    /// There were too many redirects.
    #[error("the registry redirects more than five times")]
    TooManyRedirects,
    /// A write was redirected.
    #[error("the registry redirects a write, which is not followed")]
    Redirected,
    /// Somebody else writes the index of referrers at the same time.
    #[error("somebody else changes the list of what refers to the image at the same time")]
    Contended,
    /// There was no connection.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// The host.
        host: String,
        /// Why.
        cause: String,
    },
    /// The connection ended in the middle, or its bytes are no HTTP.
    #[error("the connection to {host} failed: {cause}")]
    Connection {
        /// The host.
        host: String,
        /// Why.
        cause: String,
    },
    /// It took too long.
    #[error("the registry did not answer in time")]
    Timeout,
    /// The registry wants another login.
    #[error("the registry does not accept the login")]
    Unauthorized,
    /// The login does not suffice.
    #[error("the registry denies the request{0}")]
    Denied(Said),
    /// There is no such thing, or it is hidden from the login.
    #[error("the registry has no such manifest or blob, or hides it from this login{0}")]
    NotFound(Said),
    /// Too many requests.
    #[error("the registry answers that there are too many requests")]
    TooManyRequests,
    /// The registry has a fault of its own.
    #[error("the registry answers {status}{said}")]
    Fault {
        /// The HTTP status.
        status: u16,
        /// Its message.
        said: Said,
    },
    /// The registry refuses the request.
    #[error("the registry refuses the request with {status}{said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its message.
        said: Said,
    },
    /// The answer of the token service cannot be used.
    #[error("the answer of the registry's token service is not a token")]
    Token,
    /// An answer is too large.
    #[error("the {what} is larger than {limit} bytes")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not those of the digest.
    #[error("the {what} has other bytes than those of its digest")]
    Digest {
        /// What was read.
        what: &'static str,
    },
    /// The bytes are not of the stated size.
    #[error("the {what} is not of the size that its descriptor states")]
    Size {
        /// What was read.
        what: &'static str,
    },
    /// A document cannot be used.
    #[error("{0}")]
    Document(#[from] DocumentError),
}

impl RegistryError {
    /// Whether something was larger than it might be.
    #[must_use]
    pub(crate) const fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }

    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Redirect(_) | Self::TokenService(_) => "RegistryNotPermitted",
            Self::TooManyRedirects | Self::Redirected => "RegistryRedirects",
            Self::Contended => "RegistryContended",
            Self::Connect { .. } | Self::Connection { .. } => "RegistryUnreachable",
            Self::Timeout => "RegistryTimeout",
            Self::Unauthorized => "RegistryUnauthorized",
            Self::Denied(_) => "RegistryDenied",
            Self::NotFound(_) => "RegistryNotFound",
            Self::TooManyRequests => "RegistryTooManyRequests",
            Self::Fault { .. } => "RegistryFault",
            Self::Refused { .. } => "RegistryRefused",
            Self::Token => "RegistryToken",
            Self::TooLarge { .. } => "RegistryTooLarge",
            Self::Digest { .. } | Self::Size { .. } => "RegistryDigest",
            Self::Document(error) => error.reason(),
        }
    }

    /// Whether the same question may have another answer later. Wrong contents stay wrong.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Connection { .. }
                | Self::Timeout
                | Self::TooManyRequests
                | Self::Fault { .. }
                | Self::Token
        )
    }

    /// Whether another login may have another answer.
    #[must_use]
    pub const fn is_about_login(&self) -> bool {
        matches!(self, Self::Unauthorized | Self::Denied(_) | Self::NotFound(_))
    }
}

/// What a registry says about an error: its code and the start of its message, printable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said(pub(crate) Option<Box<str>>);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

/// The most characters of a registry's message.
const LONGEST: usize = 200;

impl Said {
    /// What is in the body of an answer.
    pub(crate) fn read(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Body {
            errors: Vec<One>,
        }
        #[derive(serde::Deserialize)]
        struct One {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let Ok(Body { errors }) = serde_json::from_slice(body) else { return Self(None) };
        let first = errors.into_iter().next().map(|One { code, message }| format!("{code}: {message}"));
        let text: Option<String> = first.map(|text| {
            let is_printable = |c: &char| !c.is_control();
            text.trim_matches([':', ' ']).chars().filter(is_printable).take(LONGEST).collect()
        });
        Self(text.filter(|text| !text.is_empty()).map(String::into_boxed_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_registry_is_short_and_printable() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J\naccess"}]}"#;
        assert_eq!(Said::read(body).to_string(), ": DENIED: no[2Jaccess");
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "a".repeat(1_000));
        assert_eq!(Said::read(long.as_bytes()).to_string().len(), LONGEST + 2);
        for nothing in ["", "{}", "<html>", r#"{"errors":[]}"#, r#"{"errors":[{}]}"#] {
            assert_eq!(Said::read(nothing.as_bytes()), Said(None), "{nothing}");
        }
    }
}
