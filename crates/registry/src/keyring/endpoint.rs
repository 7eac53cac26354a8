//! The keys of pull secrets, as Go 1.26's `net/url` parses them, and which repositories they cover.

use std::net::Ipv6Addr;

/// A host with its port, and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    host: Vec<u8>,
    path: Vec<u8>,
}

impl Endpoint {
    /// A key as a configuration has it; `None` if it is no URL.
    pub(super) fn of_configuration(key: &str) -> Option<Self> {
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        let mut found = Self::parse(rest.unwrap_or(key).as_bytes())?;
        // `/v1/` and `/v2/` are the registry itself, but only with the slash at the end.
        if found.path.starts_with(b"/v1/") || found.path.starts_with(b"/v2/") {
            found.path.drain(..3);
        }
        Some(found)
    }

    /// A key in the form of [`Endpoint::key`], or a repository.
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        Self::parse(key)
    }

    /// The text by which keys are ordered and compared.
    pub(super) fn key(&self) -> Vec<u8> {
        let path = if self.path == b"/" { &[][..] } else { &self.path };
        [&self.host, path].concat()
    }

    /// Whether a login with this key counts for the repository `target`.
    pub(super) fn covers(&self, target: &Self) -> bool {
        let ((mine, my_port), (theirs, their_port)) = (split_port(&self.host), split_port(&target.host));
        let labels = |host: &[u8]| host.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (mine, theirs) = (labels(mine), labels(theirs));
        my_port == their_port
            && mine.len() == theirs.len()
            && target.path.starts_with(&self.path)
            && mine.iter().zip(&theirs).all(|(pattern, label)| matches(pattern, label))
    }

    /// Parses what follows `https://`.
    fn parse(text: &[u8]) -> Option<Self> {
        if text.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
            return None;
        }
        let (text, fragment) = cut(text, b'#');
        unescaped(fragment, |_| true, |_| true)?;
        let (text, _query) = cut(text, b'?');
        let (authority, path) =
            text.split_at(text.iter().position(|byte| *byte == b'/').unwrap_or(text.len()));
        let host = match authority.iter().rposition(|byte| *byte == b'@') {
            None => authority,
            Some(at) => {
                let (user, host) = authority.split_at(at);
                unescaped(user, is_user, |_| true)?;
                host.get(1..)?
            }
        };
        Some(Self { host: parse_host(host)?, path: unescaped(path, |_| true, |_| true)? })
    }
}

/// `validUserinfo`
fn is_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte)
}

/// The bytes that a host may have unescaped. Any that is not ASCII is one of them.
fn is_host(byte: u8) -> bool {
    !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// In a host only bytes that are not ASCII may be escaped, and the percent sign.
fn may_be_escaped(byte: u8) -> bool {
    !byte.is_ascii() || byte == b'%'
}

fn parse_host(host: &[u8]) -> Option<Vec<u8>> {
    let Some(bracket) = host.iter().rposition(|byte| *byte == b'[') else {
        let colon = host.iter().position(|byte| *byte == b':');
        return match colon {
            Some(colon) if !is_port(host.get(colon..)?) => None,
            _ => unescaped(host, is_host, may_be_escaped),
        };
    };
    let end = host.iter().rposition(|byte| *byte == b']')?;
    let (address, port) = (host.get(1..end)?, host.get(end + 1..)?);
    if bracket != 0 || !is_port(port) {
        return None;
    }
    let zone = address.windows(3).position(|part| part == b"%25").unwrap_or(address.len());
    let (address, zone) = address.split_at(zone);
    let address = unescaped(address, is_host, may_be_escaped)?;
    // What a zone may have escaped: what it may have unescaped, the percent sign and the space.
    let zone = unescaped(zone, is_host, |byte| is_host(byte) || matches!(byte, b'%' | b' '))?;
    std::str::from_utf8(&address).ok()?.parse::<Ipv6Addr>().ok()?;
    // The percent sign itself is no zone.
    (zone.len() != 1).then(|| [b"[", &address[..], &zone[..], b"]", port].concat())
}

/// Nothing, or a colon and any number of digits.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The parts before and after the first `byte`.
fn cut(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|it| *it == byte) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// Replaces `%XX`; `None` if one is malformed or escapes what it may not, or a byte may not be there unescaped.
fn unescaped(text: &[u8], plain: fn(u8) -> bool, escaped: fn(u8) -> bool) -> Option<Vec<u8>> {
    let (mut found, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            found.push(plain(*first).then_some(*first)?);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        rest = after;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
        found.push(escaped(byte).then_some(byte)?);
    }
    Some(found)
}

/// `net.SplitHostPort`: the whole text, without a port, where that fails.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    try_split_port(host).unwrap_or((host, &[]))
}

fn try_split_port(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = host.iter().rposition(|byte| *byte == b':')?;
    let port = host.get(colon + 1..)?;
    let name = match host {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b']')?;
            (end + 2 == colon).then_some(rest.get(..end)?)?
        }
        _ => host.get(..colon).filter(|name| !name.contains(&b':'))?,
    };
    let has_bracket = |text: &[u8]| text.contains(&b'[') || text.contains(&b']');
    (!has_bracket(name) && !has_bracket(port)).then_some((name, port))
}

/// `filepath.Match` for the patterns that a label can be: with `*`, or an address in brackets, which it takes for a class.
fn matches(pattern: &[u8], label: &[u8]) -> bool {
    if let [b'[', rest @ ..] = pattern {
        let Some((b']', class)) = rest.split_last() else { return false };
        let mut characters = std::str::from_utf8(label).unwrap_or_default().chars();
        let only = characters.next().filter(|_| characters.next().is_none());
        return !class.contains(&b']') && only.is_some_and(|only| in_class(class, only));
    }
    let (mut at, mut in_label) = (0, 0);
    // Where to go on if the rest does not match: the last `*` then covers one byte more. Earlier ones need not.
    let mut last_star = None;
    while in_label < label.len() {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, in_label));
                at += 1;
            }
            Some(byte) if *byte == label[in_label] => {
                at += 1;
                in_label += 1;
            }
            _ => {
                let Some((star, covered)) = last_star else { return false };
                last_star = Some((star, covered + 1));
                (at, in_label) = (star + 1, covered + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether a class has a character, by itself or in a range.
fn in_class(class: &[u8], character: char) -> bool {
    let class: Vec<_> = String::from_utf8_lossy(class).chars().collect();
    let mut rest = &class[..];
    while let [low, after @ ..] = rest {
        rest = after;
        let mut high = *low;
        if let ['-', end, after @ ..] = rest {
            (high, rest) = (*end, after);
        }
        if (*low..=high).contains(&character) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        Endpoint::of_configuration(text).map(|it| String::from_utf8(it.key()).unwrap())
    }

    #[test]
    fn keys_are_normalised_as_go_parses_urls() {
        for (text, expected) in [
            ("https://a.example/v1/", Some("a.example")),
            ("https://a.example/v1", Some("a.example/v1")),
            ("http://a.example/v2/team/", Some("a.example/team/")),
            ("a.example?x=1", Some("a.example")),
            ("a.example#x", Some("a.example")),
            ("user:pass@a.example/b", Some("a.example/b")),
            ("a.example/%74eam", Some("a.example/team")),
            ("HTTPS://a.example", Some("HTTPS://a.example")),
            ("[fd00::5]:5000/x", Some("[fd00::5]:5000/x")),
            ("[fe80::1%25eth0]", Some("[fe80::1%eth0]")),
            ("", Some("")),
            ("a.example:5x", None),
            ("a:1:2", None),
            ("a.example/%7", None),
            ("a%41.example", None),
            ("[a-r]x.example", None),
            ("x[::1]", None),
            ("[::1%25]", None),
            ("a b", None),
            ("a\n", None),
            ("us er@a.example", None),
        ] {
            assert_eq!(key(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn many_wildcards_do_not_take_for_ever() {
        // A pull secret's key is as long as its author likes.
        let target = Endpoint::of_key("a".repeat(60).as_bytes()).unwrap();
        let covers = |key: &str| Endpoint::of_configuration(key).unwrap().covers(&target);
        assert!(covers(&"*a".repeat(40)));
        assert!(!covers(&("*a".repeat(40) + "b")));
        assert!(!covers(&"*a".repeat(10_000)));
    }

    #[test]
    fn wildcards_cover_any_part_of_a_label() {
        let all = [("a*c", "abc", true), ("*", "", true), ("a*b*c", "axxbc", true), ("a*b", "axbc", false)];
        for (pattern, label, expected) in all {
            assert_eq!(matches(pattern.as_bytes(), label.as_bytes()), expected, "{pattern} {label}");
        }
    }
}
