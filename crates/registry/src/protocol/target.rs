//! Where a request goes.

use std::fmt;

use http::Uri;
use http::uri::Scheme;

use super::{Reach, Unreachable};

/// The longest URL that is followed.
const LONGEST: usize = 8 * 1024;

/// A URL that may be asked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target(Uri);

impl Target {
    /// A path of the registry at `host`, which is written as in references.
    pub(crate) fn of(host: &str, path: &str, reach: &Reach) -> Result<Self, Unreachable> {
        let uri: Uri = format!("https://{host}{path}").parse().map_err(|_| Unreachable::Url)?;
        let port = uri.port_u16();
        let is_plain = reach.is_plain(uri.host().unwrap_or_default(), port);
        let scheme = if is_plain { "http" } else { "https" };
        Self::parse(&format!("{scheme}://{host}{path}"), reach)
    }

    /// An absolute URL that a registry names.
    pub(crate) fn parse(url: &str, reach: &Reach) -> Result<Self, Unreachable> {
        if url.len() > LONGEST {
            return Err(Unreachable::Url);
        }
        // A fragment is not sent.
        let url = url.split('#').next().unwrap_or_default();
        let uri: Uri = url.parse().map_err(|_| Unreachable::Url)?;
        let authority = uri.authority().ok_or(Unreachable::Url)?;
        let has_odd_port = authority.port_u16().is_none() && authority.as_str() != authority.host();
        if authority.as_str().contains('@') || authority.host().is_empty() || has_odd_port {
            return Err(Unreachable::Url);
        }
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => Ok(Self(uri)),
            Some(scheme) if *scheme == Scheme::HTTP => {
                let may = reach.is_plain(authority.host(), authority.port_u16());
                may.then_some(Self(uri)).ok_or(Unreachable::Plain)
            }
            _ => Err(Unreachable::Url),
        }
    }

    /// Where a `Location` or a `Link` of an answer of this target leads.
    pub(crate) fn follow(&self, location: &str, reach: &Reach) -> Result<Self, Unreachable> {
        let origin = || format!("{}://{}", self.0.scheme_str().unwrap_or_default(), self.authority());
        let url = match location {
            it if it.contains("://") && !it.starts_with('/') => it.to_owned(),
            it if it.starts_with("//") => format!("{}:{it}", self.0.scheme_str().unwrap_or_default()),
            it if it.starts_with('/') => format!("{}{it}", origin()),
            it => {
                let path = self.0.path();
                format!("{}{}/{it}", origin(), path.rsplit_once('/').map_or("", |(folder, _)| folder))
            }
        };
        Self::parse(&url, reach)
    }

    /// The same with a query added.
    pub(crate) fn with_query(&self, query: &str, reach: &Reach) -> Result<Self, Unreachable> {
        let mark = if self.0.query().is_some() { '&' } else { '?' };
        Self::parse(&format!("{}{mark}{query}", self.0), reach)
    }

    /// Whether both are of one scheme, host and port.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    fn origin(&self) -> (Option<&str>, String, u16) {
        (self.0.scheme_str(), self.host().to_ascii_lowercase(), self.port())
    }

    /// The host, an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_plain() { 80 } else { 443 })
    }

    /// Whether it is asked without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTP)
    }

    /// The host and the port as they are written.
    pub(crate) fn authority(&self) -> &str {
        self.0.authority().map_or("", |it| it.as_str())
    }

    /// The URL.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }
}

/// Without path and query, which may hold a signature that opens a blob.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        Reach { plain: ["plain.example:5000".to_owned()].into(), ..Reach::default() }
    }

    #[test]
    fn a_registry_is_asked_with_tls_unless_it_is_named() {
        let url = |host: &str| Target::of(host, "/v2/", &reach()).map(|it| it.uri().to_string());
        assert_eq!(url("a.example").as_deref(), Ok("https://a.example/v2/"));
        assert_eq!(url("plain.example:5000").as_deref(), Ok("http://plain.example:5000/v2/"));
        assert_eq!(url("[fd00::5]:5000").as_deref(), Ok("https://[fd00::5]:5000/v2/"));
        assert_eq!(url("user@a.example"), Err(Unreachable::Url));
    }

    #[test]
    fn a_redirect_leads_where_browsers_would_go_and_never_to_less_than_tls() {
        let from = Target::of("a.example", "/v2/x/blobs/y?z", &reach()).unwrap();
        let to = |location: &str| from.follow(location, &reach()).map(|it| it.uri().to_string());
        assert_eq!(to("https://b.example/c?d#e").as_deref(), Ok("https://b.example/c?d"));
        assert_eq!(to("//b.example/c").as_deref(), Ok("https://b.example/c"));
        assert_eq!(to("/c").as_deref(), Ok("https://a.example/c"));
        assert_eq!(to("c").as_deref(), Ok("https://a.example/v2/x/blobs/c"));
        assert_eq!(
            to("/c?to=https://b.example/").as_deref(),
            Ok("https://a.example/c?to=https://b.example/")
        );
        assert_eq!(to("http://plain.example:5000/").as_deref(), Ok("http://plain.example:5000/"));
        assert_eq!(to("http://a.example/"), Err(Unreachable::Plain));
        for bad in [
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://",
            "https://u:p@b.example/",
            "https://b.example:x/",
            "https://\u{0}/",
        ] {
            assert_eq!(to(bad), Err(Unreachable::Url), "{bad}");
        }
        assert_eq!(to(&format!("/{}", "a".repeat(LONGEST))), Err(Unreachable::Url));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |url: &str| Target::parse(url, &reach()).unwrap();
        assert!(of("https://a.example/x").has_origin_of(&of("https://A.example:443/y")));
        assert!(!of("https://a.example/x").has_origin_of(&of("https://a.example:5000/x")));
        assert!(!of("https://plain.example:5000/").has_origin_of(&of("http://plain.example:5000/")));
    }
}
