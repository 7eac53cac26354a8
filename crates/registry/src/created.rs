//! When an artifact was made.

use std::cmp::Ordering;
use std::fmt;

/// The annotation with the time at which an artifact was made (OCI image specification).
pub(crate) const CREATED: &str = "org.opencontainers.image.created";

/// The time at which an artifact was made: in RFC 3339 and UTC, as `2026-01-31T12:00:00Z`, with up to nine digits of the
/// second's fraction. Of several profiles for one image, the one that was made last counts.
#[derive(Debug, Clone)]
pub struct Created {
    /// As it was written.
    text: String,
    /// As text that sorts by time: with nine digits of the fraction.
    instant: String,
}

impl Created {
    /// Reads a time; `None` if it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_suffix('Z')?;
        let (second, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
        let shape = "0000-00-00T00:00:00";
        let fits = second.len() == shape.len()
            && second
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, of)| if of == b'0' { byte.is_ascii_digit() } else { byte == of });
        let is_fraction =
            (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
        // A day that a month does not have is no harm: such times still have an order.
        let number = |at: usize| second.get(at..at + 2)?.parse::<u8>().ok();
        let ranges = [(5, 1..=12), (8, 1..=31), (11, 0..=23), (14, 0..=59), (17, 0..=60)];
        let exists = || ranges.iter().all(|(at, range)| number(*at).is_some_and(|it| range.contains(&it)));
        let instant = (fits && is_fraction && exists()).then(|| format!("{second}.{fraction:0<9}"))?;
        Some(Self { text: text.to_owned(), instant })
    }

    /// The beginning of 1970, for what does not say when it was made.
    #[must_use]
    pub fn epoch() -> Self {
        let second = "1970-01-01T00:00:00";
        Self { text: format!("{second}Z"), instant: format!("{second}.000000000") }
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Two ways to write one time are equal.
impl PartialEq for Created {
    fn eq(&self, other: &Self) -> bool {
        self.instant == other.instant
    }
}

impl Eq for Created {}

impl PartialOrd for Created {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Created {
    fn cmp(&self, other: &Self) -> Ordering {
        self.instant.cmp(&other.instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_and_compare_whatever_their_fraction() {
        let of = |text: &str| Created::parse(text);
        assert_eq!(of("1970-01-01T00:00:00.0Z"), Some(Created::epoch()));
        assert!(of("2026-01-01T00:00:00Z") < of("2026-01-01T00:00:00.000000001Z"));
        assert!(of("2026-01-01T00:00:00.5Z") < of("2026-01-01T00:00:01Z"));
        assert_eq!(of("2026-01-01T00:00:00.50Z").unwrap().to_string(), "2026-01-01T00:00:00.50Z");
        for text in ["", "Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00"] {
            assert_eq!(of(text), None, "{text}");
        }
        for text in
            ["9999-99-99T99:99:99Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z"]
        {
            assert_eq!(of(text), None, "{text}");
        }
        for fraction in ["", "x", "0123456789"] {
            assert_eq!(of(&format!("2026-01-01T00:00:00.{fraction}Z")), None, "{fraction}");
        }
    }
}
