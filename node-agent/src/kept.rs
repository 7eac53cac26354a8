//! The bytes of a file as an agent keeps them, to repair it while the API server is away: compressed.
//!
//! Most of what a profile says are the names of system calls, most often in the order of the alphabet. So LZ4 starts from
//! a list of those names: a profile that names sixty of the calls in that order shrinks to a third, one that names a
//! hundred in any other order to two fifths, and one that names nearly all to almost nothing. It takes some microseconds.

use std::fmt;

use lz4_flex::block;

/// The names of all calls of x86_64 and the words around them, as canonical bytes have them. Generated
/// (`node-agent/tests/dictionary.rs`); it may change with every version, because it is used in memory only.
const DICTIONARY: &[u8] = include_bytes!("dictionary.txt");

/// Bytes that are kept until they are needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Plain(Box<[u8]>),
    Compressed { length: usize, block: Box<[u8]> },
}

impl Kept {
    /// Keeps these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let block = block::compress_with_dict(bytes, DICTIONARY).into_boxed_slice();
        // What a fault of the library would cost is a file on every node, what the check costs is microseconds.
        let form = if decompress(&block, bytes.len()).as_deref() == Some(bytes) {
            Form::Compressed { length: bytes.len(), block }
        } else {
            Form::Plain(bytes.into())
        };
        Self(form)
    }

    /// How many bytes there are, when they are not compressed.
    #[must_use]
    pub fn length(&self) -> usize {
        match &self.0 {
            Form::Plain(bytes) => bytes.len(),
            Form::Compressed { length, .. } => *length,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::Plain(bytes) => bytes.to_vec(),
            // The same was done when they were taken. Should memory have been damaged since, the file has other bytes
            // than the profile, which is what the report then says, because only what is read back counts.
            Form::Compressed { length, block } => decompress(block, *length).unwrap_or_default(),
        }
    }
}

fn decompress(block: &[u8], length: usize) -> Option<Vec<u8>> {
    block::decompress_with_dict(block, length, DICTIONARY).ok()
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Kept {
        /// Bytes of memory that they take.
        fn taken(&self) -> usize {
            match &self.0 {
                Form::Plain(bytes) | Form::Compressed { block: bytes, .. } => bytes.len(),
            }
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let of_dictionary = (0..DICTIONARY.len(), 0..200_usize)
            .prop_map(|(at, length)| DICTIONARY[at..].iter().take(length).copied().collect());
        let repeated = (any::<u8>(), 0..40_000_usize).prop_map(|(byte, length)| vec![byte; length]);
        prop_oneof![of_dictionary, repeated, proptest::collection::vec(any::<u8>(), 0..100)]
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back_as_it_was(pieces in proptest::collection::vec(piece(), 0..20)) {
            let bytes = pieces.concat();
            let kept = Kept::of(&bytes);
            prop_assert_eq!(kept.length(), bytes.len());
            prop_assert_eq!(kept.bytes(), bytes);
        }
    }

    #[test]
    fn a_profile_that_names_every_fifth_call_takes_less_than_half_of_its_bytes() {
        let names = std::str::from_utf8(DICTIONARY).unwrap().split(',').filter(|word| !word.contains(':'));
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":[{}],"action":"SCMP_ACT_ALLOW"}}]}}"#,
            names.step_by(5).collect::<Vec<_>>().join(",")
        );
        let taken = Kept::of(text.as_bytes()).taken();
        assert!(taken * 2 < text.len(), "{taken} of {}", text.len());
    }
}
