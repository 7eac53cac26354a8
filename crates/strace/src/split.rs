//! Separates the arguments of a call.

/// The arguments in the text behind the opening parenthesis of a call, at most six of them, up to the closing parenthesis
/// or to where the call is interrupted. Commas in strings, structures and lists separate nothing.
pub fn split(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut begin, mut depth) = (0, 0_usize);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'<' if bytes[at..].starts_with(b"<unfinished") || bytes[at..].starts_with(b"<detached") => break,
            b'<' if is_path(bytes, at) => at = end_of_path(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = end_of_comment(bytes, at),
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => break,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                found.push(text.get(begin..at).unwrap_or_default().trim());
                begin = at + 1;
                if found.len() == 6 {
                    return found;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let last = text.get(begin..at.min(text.len())).unwrap_or_default().trim();
    if !(last.is_empty() && found.is_empty()) {
        found.push(last);
    }
    found
}

/// The index of the closing quotation mark, or of the last byte.
fn end_of_string(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len().saturating_sub(1)
}

/// Whether an angle bracket begins what a descriptor refers to, as in `3</etc/passwd>`, and is no shift (`1<<31`).
fn is_path(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    before.is_some_and(u8::is_ascii_alphanumeric) && bytes.get(at + 1) != Some(&b'<')
}

/// The index of the closing angle bracket: not of that in `->`, which stands between the ends of a connection.
fn end_of_path(bytes: &[u8], begin: usize) -> usize {
    let closes = |at: &usize| bytes[*at] == b'>' && bytes[*at - 1] != b'-';
    (begin + 1..bytes.len()).find(closes).unwrap_or(begin)
}

fn end_of_comment(bytes: &[u8], begin: usize) -> usize {
    let closes = |at: &usize| bytes[*at] == b'/' && bytes[*at - 1] == b'*';
    (begin + 3..bytes.len()).find(closes).unwrap_or(begin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commas_in_strings_structures_and_comments_separate_nothing() {
        for (text, arguments) in [
            ("", &[][..]),
            (")", &[]),
            ("NULL) = 0", &["NULL"]),
            ("3, \"a, \\\"b)\", 5) = 3", &["3", "\"a, \\\"b)\"", "5"]),
            ("1, {a=1, b=[2, 3]}, ~[RT_1], 8)", &["1", "{a=1, b=[2, 3]}", "~[RT_1]", "8"]),
            ("0x55 /* 3 entries, 1 byte) */, 2)", &["0x55 /* 3 entries, 1 byte) */", "2"]),
            ("3</a, b)>, 4<TCP:[1:2->3:4]>)", &["3</a, b)>", "4<TCP:[1:2->3:4]>"]),
            ("3,  <unfinished ...>", &["3", ""]),
            ("0 <unfinished ...>", &["0"]),
            ("1<<31, 2)", &["1<<31", "2"]),
            ("1, 2, 3, 4, 5, 6, 7, 8)", &["1", "2", "3", "4", "5", "6"]),
            ("a, \"unclosed", &["a", "\"unclosed"]),
        ] {
            assert_eq!(split(text), arguments, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_has_at_most_six_arguments(text in "[a-z0-9 ,()\\[\\]{}<>\"\\\\/*é|-]{0,60}") {
            prop_assert!(split(&text).len() <= 6);
        }
    }
}
