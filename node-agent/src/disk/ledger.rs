//! What in the directory is ours.
//!
//! A name is *written* once a file of ours has lain under it: whatever lies there now took our file's place. It is
//! *intended* from the moment before the first rename: what lies there is ours only if it holds the intended bytes,
//! because the process may have ended before the rename and somebody else may have taken the name.

use std::collections::BTreeMap;

use api::ProfileName;
use profile::ContentHash;
use serde::{Deserialize, Serialize};

use super::error::Failure;

/// The version of the ledger's format that this agent writes and reads.
const VERSION: u32 = 1;

/// What the ledger says of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A file with this hash was about to be put there.
    Intended(ContentHash),
    /// A file of ours lay there.
    Written,
}

/// The names that are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    claims: BTreeMap<ProfileName, Claim>,
}

/// Why the ledger cannot be used. It is then left as it is, and nothing that lies in the directory is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be read.
    #[error("the ledger is unreadable: {0}")]
    Read(Failure),
    /// It is larger than any ledger can be, or is not a file.
    #[error("the ledger is unreadable: {0} lies in its place")]
    NotALedger(&'static str),
    /// It is not what an agent writes.
    #[error(
        "the ledger is damaged: {0}; remove it to start a new one (files with the right bytes are then adopted)"
    )]
    Damaged(Box<str>),
    /// A newer agent wrote it.
    #[error("the ledger has version {0}, from a newer agent; this agent reads version {VERSION}")]
    TooNew(u32),
}

impl LedgerError {
    /// One word for metric labels and reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read(_) | Self::NotALedger(_) | Self::Damaged(_) => "LedgerUnreadable",
            Self::TooNew(_) => "LedgerTooNew",
        }
    }
}

/// The file. Two lists are shorter than an object a name, and the ledger is rewritten whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    version: u32,
    #[serde(borrow)]
    written: Vec<&'a str>,
    #[serde(borrow)]
    intended: BTreeMap<&'a str, String>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Ledger {
    /// What it says of a name.
    #[must_use]
    pub fn claim(&self, name: &ProfileName) -> Option<Claim> {
        self.claims.get(name).copied()
    }

    /// Sets what it says of a name.
    pub fn set(&mut self, name: &ProfileName, claim: Option<Claim>) {
        match claim {
            Some(claim) => {
                self.claims.insert(name.clone(), claim);
            }
            None => {
                self.claims.remove(name);
            }
        }
    }

    /// The names that it lists.
    pub fn names(&self) -> impl Iterator<Item = &ProfileName> {
        self.claims.keys()
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut stored = Stored { version: VERSION, written: Vec::new(), intended: BTreeMap::new() };
        for (name, claim) in &self.claims {
            match claim {
                Claim::Written => stored.written.push(name.as_str()),
                Claim::Intended(hash) => {
                    stored.intended.insert(name.as_str(), hash.to_string());
                }
            }
        }
        #[expect(clippy::expect_used, reason = "text and a number are always JSON")]
        serde_json::to_vec(&stored).expect("a ledger is always JSON")
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// It is of another version, or not what [`Self::to_bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        let damaged = |error: &dyn std::fmt::Display| LedgerError::Damaged(error.to_string().into());
        // The version first: nothing else is known of a newer format.
        let Version { version } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if version > VERSION {
            return Err(LedgerError::TooNew(version));
        }
        let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if version != VERSION {
            return Err(damaged(&"there is no version 0"));
        }
        let mut claims = BTreeMap::new();
        for name in stored.written {
            claims.insert(name.parse().map_err(|error| damaged(&error))?, Claim::Written);
        }
        for (name, hash) in stored.intended {
            let claim = Claim::Intended(hash.parse().map_err(|error| damaged(&error))?);
            if claims.insert(name.parse().map_err(|error| damaged(&error))?, claim).is_some() {
                return Err(damaged(&format_args!("{name} stands twice")));
            }
        }
        Ok(Self { claims })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    #[test]
    fn a_ledger_survives_the_way_through_its_file() {
        let mut ledger = Ledger::default();
        ledger.set(&name("a"), Some(Claim::Written));
        ledger.set(&name("b"), Some(Claim::Intended(ContentHash::of(b"{}"))));
        ledger.set(&name("c"), Some(Claim::Written));
        ledger.set(&name("c"), None);
        let bytes = ledger.to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"version":1,"written":["a"],"intended":{"b":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#
        );
        assert_eq!(Ledger::from_bytes(&bytes), Ok(ledger));
    }

    #[test]
    fn a_newer_ledger_is_told_from_a_damaged_one() {
        let newer = br#"{"version":2,"files":[7],"future":true}"#;
        assert_eq!(Ledger::from_bytes(newer), Err(LedgerError::TooNew(2)));
        assert_eq!(LedgerError::TooNew(2).reason(), "LedgerTooNew");
    }

    #[test]
    fn anything_that_an_agent_does_not_write_is_damage() {
        for bytes in [
            "",
            "{}",
            "null",
            r#"{"version":1}"#,
            r#"{"version":0,"written":[],"intended":{}}"#,
            r#"{"version":1,"written":[],"intended":{},"more":1}"#,
            r#"{"version":1,"written":["../x"],"intended":{}}"#,
            r#"{"version":1,"written":[],"intended":{"a":"sha256:0"}}"#,
            r#"{"version":1,"written":["a"],"intended":{"a":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#,
            r#"{"version":1,"written":["a"],"intended":{}"#,
        ] {
            let error = Ledger::from_bytes(bytes.as_bytes()).unwrap_err();
            assert_eq!(error.reason(), "LedgerUnreadable", "{bytes}: {error}");
        }
    }
}
