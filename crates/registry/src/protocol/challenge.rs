//! How a registry wants to be logged in at: the header `WWW-Authenticate` (RFC 9110, section 11).

/// The most parameters that are read of one header.
const MOST: usize = 16;

/// A challenge that the client can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token of a service.
    Bearer {
        /// The URL of the service.
        realm: String,
        /// The name of the registry there.
        service: Option<String>,
    },
}

impl Challenge {
    /// The challenge of some headers; a token is preferred, because a password then goes to one place only.
    pub(crate) fn of<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut found = None;
        for header in headers {
            match Self::parse(header) {
                Some(bearer @ Self::Bearer { .. }) => return Some(bearer),
                Some(Self::Basic) => found = Some(Self::Basic),
                None => {}
            }
        }
        found
    }

    fn parse(header: &str) -> Option<Self> {
        let header = header.trim_start();
        let (scheme, rest) = header.split_at(header.find(' ').unwrap_or(header.len()));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in parameters(rest) {
            match &*name.to_ascii_lowercase() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

/// The parameters `name=value` or `name="value"`, separated by commas.
fn parameters(text: &str) -> Vec<(&str, String)> {
    let (mut found, mut rest) = (Vec::new(), text);
    while found.len() < MOST {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((name, value)) = rest.split_once('=') else { break };
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, after) = value.split_at(value.find([',', ' ']).unwrap_or(value.len()));
                (value.to_owned(), after)
            }
        };
        found.push((name.trim(), value));
        rest = after;
    }
    found
}

/// The text up to the closing quote, and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#;
        assert_eq!(
            Challenge::of([hub]),
            Some(bearer("https://auth.docker.io/token", Some("registry.docker.io")))
        );
        assert_eq!(
            Challenge::of(["bearer Realm=https://a.example/t"]),
            Some(bearer("https://a.example/t", None))
        );
        assert_eq!(
            Challenge::of([r#"Bearer realm="a\"b" , service = "c""#]),
            Some(bearer("a\"b", Some("c")))
        );
        assert_eq!(Challenge::of(["Basic realm=\"x\"", hub]), Challenge::of([hub]));
        assert_eq!(Challenge::of(["Basic"]), Some(Challenge::Basic));
        for none in ["", "Digest realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Bearer realm"] {
            assert_eq!(Challenge::of([none]), None, "{none}");
        }
        assert_eq!(Challenge::of([r#"Bearer realm="x"#]), Some(bearer("x", None)));
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(header in "\\PC{0,60}") {
            let _ = Challenge::of([&*header, &*format!("Bearer {header}")]);
        }
    }
}
