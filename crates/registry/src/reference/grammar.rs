//! The parts of a reference, by the regular expressions of `distribution/reference` 0.6.0 (`regexp.go`).

/// Whether it is what could be an image's id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `[\w][\w.-]{0,127}`
pub(super) fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.as_bytes() {
        [first, rest @ ..] => {
            is_word(*first)
                && rest.len() <= 127
                && rest.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'))
        }
        [] => false,
    }
}

/// Path components, separated by slashes.
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(is_component)
}

/// `[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_separator = |part: &[u8]| {
        matches!(part, [] | [b'.' | b'_'] | [b'_', b'_']) || part.iter().all(|byte| *byte == b'-')
    };
    let bytes = text.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(|byte| is_letter(*byte));
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.split(|byte| is_letter(*byte)).all(is_separator)
}

/// A host, and a port if there is one.
pub(super) fn is_domain(text: &str) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_port_or_none = |text: &str| text.is_empty() || text.strip_prefix(':').is_some_and(is_port);
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        return !address.is_empty() && address.bytes().all(is_address) && is_port_or_none(rest);
    }
    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    name.split('.').all(is_label) && is_port_or_none(port)
}

/// `[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]`
fn is_label(text: &str) -> bool {
    let ends_well = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    ends_well(text.bytes().next())
        && ends_well(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][[:xdigit:]]{32,}`
pub(super) fn looks_like_digest(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.split(['-', '_', '+', '.']).all(is_word)
            && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
