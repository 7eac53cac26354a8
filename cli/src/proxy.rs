//! Which proxy stands between this program and the API server: the same one as for kubectl.
//!
//! A kubeconfig's `proxy-url` is used whatever the environment says (client-go 0.37,
//! `tools/clientcmd/client_config.go`). Without one the environment decides as it does for every program in Go 1.26
//! (`golang.org/x/net/http/httpproxy`): `HTTPS_PROXY` for an https API server and `HTTP_PROXY` for one without TLS,
//! unless `NO_PROXY` lists the server or it is on this machine; a name in capitals precedes the same in small letters.
//!
//! kube 5.0 reads these variables too, but compares `NO_PROXY` with the address of the proxy, not of the API server,
//! and refuses a list that ends with a comma (`findings/kube-no-proxy.sh`).

use std::net::IpAddr;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use ipnet::IpNet;

/// The port of a SOCKS proxy whose URL has none.
const SOCKS_PORT: u16 = 1080;

/// A setting for a proxy whose value cannot be used. The value is not shown, because it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a usable proxy; expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")]
pub struct ProxyError(&'static str);

/// A proxy.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where it is, without name and password.
    pub(crate) url: Uri,
    /// What it speaks.
    pub(crate) protocol: Protocol,
}

/// What a proxy speaks, and how this program introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `CONNECT`, in plain or through TLS.
    Http {
        tls: bool,
        /// The header `Proxy-Authorization`.
        authorization: Option<HeaderValue>,
    },
    /// SOCKS 5. The proxy resolves names, as for kubectl.
    Socks {
        /// Name and password.
        login: Option<(String, String)>,
    },
}

/// What the environment says of proxies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    http: Option<(&'static str, String)>,
    https: Option<(&'static str, String)>,
    no: String,
}

impl Environment {
    /// Reads the variables of this process.
    pub(crate) fn read() -> Self {
        let first = |names: [&'static str; 2]| {
            let set =
                |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value));
            names.into_iter().find_map(set)
        };
        Self {
            http: first(["HTTP_PROXY", "http_proxy"]),
            https: first(["HTTPS_PROXY", "https_proxy"]),
            no: first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default(),
        }
    }
}

/// The proxy to reach `server` through, given the `proxy-url` of its cluster.
///
/// # Errors
/// It has no address or speaks a protocol that is not supported.
pub(crate) fn choose(
    proxy_url: Option<&str>,
    environment: &Environment,
    server: &Uri,
) -> Result<Option<Proxy>, ProxyError> {
    if let Some(url) = proxy_url {
        return parse("the proxy-url of the kubeconfig's cluster", url).map(Some);
    }
    let (variable, port) = match server.scheme_str() {
        Some("http") => (&environment.http, 80),
        _ => (&environment.https, 443),
    };
    match (variable, server.host()) {
        (Some((name, url)), Some(host))
            if !is_exempt(host, server.port_u16().unwrap_or(port), &environment.no) =>
        {
            parse(name, url).map(Some)
        }
        _ => Ok(None),
    }
}

/// The proxy with this URL, which comes from `place`.
fn parse(place: &'static str, url: &str) -> Result<Proxy, ProxyError> {
    // Any server does: this reads the URL alone.
    let server = Uri::from_static("https://server");
    let read = Matcher::builder().all(encoded(url)).build().intercept(&server).ok_or(ProxyError(place))?;
    let url = read.uri().clone();
    match url.scheme_str() {
        Some(scheme @ ("http" | "https")) => {
            let protocol =
                Protocol::Http { tls: scheme == "https", authorization: read.basic_auth().cloned() };
            Ok(Proxy { url, protocol })
        }
        Some("socks5" | "socks5h") => {
            let login = read.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
            Ok(Proxy { url: with_port(&url, SOCKS_PORT), protocol: Protocol::Socks { login } })
        }
        _ => Err(ProxyError(place)),
    }
}

/// The URL with every `@` of its login encoded: as for kubectl, the last one ends the login. The reader takes the
/// first.
fn encoded(url: &str) -> String {
    let begin = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |end| begin + end);
    let authority = &url[begin..end];
    let Some((login, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    format!("{}{}@{host}{}", &url[..begin], login.replace('@', "%40"), &url[end..])
}

/// A URL with a port: its own, or else this one.
pub(crate) fn with_port(url: &Uri, port: u16) -> Uri {
    let mut parts = url.clone().into_parts();
    if url.port().is_none() {
        parts.authority = parts.authority.and_then(|authority| format!("{authority}:{port}").parse().ok());
    }
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

/// Whether a server is on this machine, or `NO_PROXY` lists it.
fn is_exempt(host: &str, port: u16, no_proxy: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse().ok().map(|address: IpAddr| address.to_canonical());
    host == "localhost"
        || address.is_some_and(|address| address.is_loopback())
        || no_proxy.split(',').any(|entry| lists(&entry.trim().to_ascii_lowercase(), &host, address, port))
}

/// Whether one entry of `NO_PROXY` is about the server `host`, which has this address if it is not a name.
fn lists(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (listed, listed_port) = match entry.rsplit_once(':') {
        Some((listed, port)) if listed.starts_with('[') && listed.ends_with(']') => {
            (&listed[1..listed.len() - 1], port)
        }
        Some((listed, port)) if !listed.contains(':') => (listed, port),
        _ => (entry, ""),
    };
    if listed.is_empty() || !(listed_port.is_empty() || listed_port == port.to_string()) {
        return false;
    }
    match (listed.parse::<IpAddr>(), address) {
        (Ok(listed), Some(address)) => listed.to_canonical() == address,
        (Err(_), None) => {
            let domain = if listed.starts_with("*.") { &listed[1..] } else { listed };
            match host.strip_suffix(domain) {
                // `.example.com` lists what is below it, `example.com` itself, too.
                Some(below) => domain.starts_with('.') || below.is_empty() || below.ends_with('.'),
                None => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(https: &str, no: &str) -> Environment {
        let https = Some(("HTTPS_PROXY", https.to_owned())).filter(|(_, value)| !value.is_empty());
        Environment { https, no: no.to_owned(), ..Environment::default() }
    }

    /// What golang.org/x/net/http/httpproxy of Go 1.26.8 says of each.
    #[test]
    fn no_proxy_means_what_it_means_to_kubectl() {
        let exempt = [
            ("", "https://localhost:6443"),
            ("", "https://127.0.0.1:6443"),
            ("", "https://127.8.9.1"),
            ("", "https://[::1]:6443"),
            ("", "https://[::ffff:127.0.0.1]:6443"),
            ("*", "https://api.example.com"),
            ("*", "https://10.0.0.1"),
            ("nothing.example, *", "https://10.0.0.1"),
            ("api.example.com", "https://api.example.com:6443"),
            ("API.example.com", "https://Api.Example.com:6443"),
            ("example.com", "https://api.example.com:6443"),
            (".example.com", "https://api.example.com:6443"),
            ("*.example.com", "https://api.example.com:6443"),
            ("example.com:6443", "https://api.example.com:6443"),
            ("example.com:443", "https://example.com"),
            ("example.com:", "https://example.com:6443"),
            ("10.0.0.1", "https://10.0.0.1:6443"),
            ("10.0.0.1:6443", "https://10.0.0.1:6443"),
            ("10.0.0.0/8", "https://10.1.2.3:6443"),
            ("10.9.9.9/8", "https://10.1.2.3:6443"),
            ("localhost,127.0.0.1, 10.0.0.0/8 ,", "https://10.1.2.3"),
            ("fd00::/8", "https://[fd00::1]:6443"),
            ("fd00::1", "https://[fd00::1]:6443"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443"),
            ("10.0.0.1", "https://[::ffff:10.0.0.1]"),
        ];
        let proxied = [
            ("", "https://api.example.com"),
            ("", "https://10.0.0.1"),
            ("", "https://localhost.example.com"),
            ("", "https://0.0.0.0:6443"),
            (",, ,", "https://10.0.0.1"),
            (".example.com", "https://example.com"),
            ("*.example.com", "https://example.com"),
            ("example.com", "https://notexample.com"),
            ("*ample.com", "https://example.com"),
            ("example.com:443", "https://example.com:6443"),
            (":6443", "https://example.com:6443"),
            ("10.0.0.1:443", "https://10.0.0.1:6443"),
            ("10.0.0.0/8", "https://11.0.0.1"),
            ("0.0.0.1", "https://10.0.0.1"),
            ("[fd00::1]", "https://[fd00::1]"),
            ("a b", "https://b"),
        ];
        let goes_through_one = |no: &str, server: &str| {
            let environment = environment("http://proxy:3128", no);
            choose(None, &environment, &server.parse().unwrap()).unwrap().is_some()
        };
        for (no, server) in exempt {
            assert!(!goes_through_one(no, server), "{no:?} {server}");
        }
        for (no, server) in proxied {
            assert!(goes_through_one(no, server), "{no:?} {server}");
        }
    }

    #[test]
    fn a_kubeconfigs_proxy_is_used_whatever_the_environment_says() {
        let environment = environment("http://other:1", "*");
        let server = Uri::from_static("https://127.0.0.1:6443");
        let proxy = choose(Some("https://proxy"), &environment, &server).unwrap().unwrap();
        assert_eq!(proxy.url, "https://proxy/");
        assert_eq!(proxy.protocol, Protocol::Http { tls: true, authorization: None });
    }

    #[test]
    fn each_scheme_of_server_has_its_variable() {
        let environment = environment("http://proxy:3128", "");
        let through = |server| choose(None, &environment, &Uri::from_static(server)).unwrap();
        assert!(through("https://api.example.com").is_some());
        assert!(through("http://api.example.com").is_none());
    }

    #[test]
    fn the_url_of_a_proxy_may_have_a_login_and_need_not_have_a_scheme_or_a_port() {
        let login = Some(("me".to_owned(), "p@ss".to_owned()));
        let authorization = Some(HeaderValue::from_static("Basic bWU6cEBzcw=="));
        for (url, shown, protocol) in [
            ("proxy:3128", "http://proxy:3128/", Protocol::Http { tls: false, authorization: None }),
            (
                "http://me:p%40ss@proxy",
                "http://proxy/",
                Protocol::Http { tls: false, authorization: authorization.clone() },
            ),
            // As kubectl, and every program in Go, reads it.
            ("http://me:p@ss@proxy/", "http://proxy/", Protocol::Http { tls: false, authorization }),
            ("socks5://me:p@ss@proxy:1", "socks5://proxy:1/", Protocol::Socks { login: login.clone() }),
            ("socks5://me:p%40ss@proxy", "socks5://proxy:1080/", Protocol::Socks { login }),
            ("socks5h://[fd00::1]:1", "socks5h://[fd00::1]:1/", Protocol::Socks { login: None }),
        ] {
            let proxy = parse("HTTPS_PROXY", url).unwrap();
            assert_eq!((proxy.url.to_string().as_str(), proxy.protocol), (shown, protocol), "{url}");
        }
    }

    #[test]
    fn an_unusable_proxy_is_refused_by_name_and_its_password_is_not_shown() {
        for url in ["ftp://me:secret@proxy", "socks4://proxy", "http://", "a b"] {
            let error = parse("HTTPS_PROXY", url).unwrap_err();
            assert_eq!(
                error.to_string(),
                "HTTPS_PROXY is not a usable proxy; expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT"
            );
        }
    }
}
