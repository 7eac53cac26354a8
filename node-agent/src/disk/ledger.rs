//! The ledger: which files in the directory are the agent's.
//!
//! It has a *claim* for each name of a file of the agent's. A name is claimed as *written* once such a file has been
//! under it: whatever is there now has taken the place of the agent's file. It is claimed as *intended* from the
//! moment before the first rename: what is there is the agent's only if it has the intended bytes, because the
//! process may have ended before the rename, and something else may have taken the name.

use std::collections::BTreeMap;

use api::ProfileName;
use profile::ContentHash;
use serde::{Deserialize, Serialize};
use serde_with::rust::maps_duplicate_key_is_error;

use super::failure::FailedCall;
use super::reason::DiskReason;

/// The version of the ledger's format that this agent writes and reads.
const VERSION: u32 = 1;

/// The largest file that is read as a ledger, in bytes, and so the largest that is written: room for 13,000 names of
/// 240 characters.
pub(crate) const LARGEST: usize = 4 * 1024 * 1024;

/// What a ledger takes without any name.
const FRAME: usize = r#"{"version":4294967295,"written":[],"intended":{}}"#.len();

/// What a name takes at most, beside itself: a hash and all punctuation.
const LINE: usize = r#""":"sha256:","#.len() + 64;

/// The ledger's claim of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A file with this hash was about to be put there.
    Intended(ContentHash),
    /// A file of the agent was there.
    Written,
}

/// The names whose files are the agent's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    claims: BTreeMap<ProfileName, Claim>,
    /// What all names take at most, in bytes: whatever becomes of their claims, there is room for it.
    lines: usize,
}

/// Why the ledger cannot be used. It is then left as it is, and nothing that it does not list is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be read.
    #[error("the ledger is unreadable: {0}")]
    Read(FailedCall),
    /// It is larger than any ledger can be, or is not a file.
    #[error("the ledger is unreadable: {0} is in its place")]
    NotALedger(&'static str),
    /// It is not what an agent writes.
    #[error(
        "the ledger is damaged: {0}; remove it to start a new one (files with the right bytes are then adopted)"
    )]
    Damaged(Box<str>),
    /// It has no room for another name: a larger file would not be read.
    #[error("the ledger is full: it has {0} names; delete profiles that are not needed")]
    Full(usize),
    /// A newer agent wrote it.
    #[error("the ledger has version {0}, from a newer agent; this agent reads version {VERSION}")]
    TooNew(u32),
}

impl LedgerError {
    /// One word for metric labels and reports.
    #[must_use]
    pub fn reason(&self) -> DiskReason {
        match self {
            Self::Read(_) | Self::NotALedger(_) | Self::Damaged(_) => DiskReason::LedgerUnreadable,
            Self::Full(_) => DiskReason::LedgerFull,
            Self::TooNew(_) => DiskReason::LedgerTooNew,
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
    // Of two intentions for one name none is known to be the later one.
    #[serde(borrow, with = "maps_duplicate_key_is_error")]
    intended: BTreeMap<&'a str, String>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Ledger {
    /// The claim of a name, if there is one.
    #[must_use]
    pub fn claim(&self, name: &ProfileName) -> Option<Claim> {
        self.claims.get(name).copied()
    }

    /// Claims a name.
    ///
    /// # Errors
    /// [`LedgerError::Full`]; it is as it was.
    pub fn add(&mut self, name: &ProfileName, claim: Claim) -> Result<(), LedgerError> {
        if !self.claims.contains_key(name) {
            let lines = self.lines + name.as_str().len() + LINE;
            if FRAME + lines > LARGEST {
                return Err(LedgerError::Full(self.claims.len()));
            }
            self.lines = lines;
        }
        self.claims.insert(name.clone(), claim);
        Ok(())
    }

    /// A file of the agent's is under a name that has a claim.
    pub fn written(&mut self, name: &ProfileName) {
        if let Some(claim) = self.claims.get_mut(name) {
            *claim = Claim::Written;
        }
    }

    /// No file of the agent's is under a name any more.
    pub fn forget(&mut self, name: &ProfileName) {
        if self.claims.remove(name).is_some() {
            self.lines -= name.as_str().len() + LINE;
        }
    }

    /// The names that have a claim.
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
            let parsed = name.parse().map_err(|error| damaged(&error))?;
            if claims.insert(parsed, Claim::Written).is_some() {
                return Err(damaged(&format_args!("{name} stands twice")));
            }
        }
        for (name, hash) in stored.intended {
            let claim = Claim::Intended(hash.parse().map_err(|error| damaged(&error))?);
            if claims.insert(name.parse().map_err(|error| damaged(&error))?, claim).is_some() {
                return Err(damaged(&format_args!("{name} stands twice")));
            }
        }
        // One that is full of written names is read, although it would not be if all were intended ones.
        let lines = claims.keys().map(|name: &ProfileName| name.as_str().len() + LINE).sum();
        Ok(Self { claims, lines })
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
        ledger.add(&name("a"), Claim::Intended(ContentHash::of(b"{}"))).unwrap();
        ledger.written(&name("a"));
        ledger.add(&name("b"), Claim::Intended(ContentHash::of(b"{}"))).unwrap();
        ledger.add(&name("c"), Claim::Written).unwrap();
        ledger.forget(&name("c"));
        let bytes = ledger.to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"version":1,"written":["a"],"intended":{"b":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#
        );
        assert_eq!(Ledger::from_bytes(&bytes), Ok(ledger));
    }

    #[test]
    fn what_a_ledger_has_room_for_is_read_again_whatever_becomes_of_it() {
        let hash = ContentHash::of(b"{}");
        let mut ledger = Ledger::default();
        let names = (0..).map(|number| name(&format!("{number:0>240}")));
        let (refused, full) = names
            .map(|name| (ledger.add(&name, Claim::Intended(hash)), name))
            .find_map(|(added, name)| added.err().map(|full| (name, full)))
            .unwrap();
        assert_eq!(full.reason(), DiskReason::LedgerFull);
        assert!(ledger.names().count() > 13_000);
        assert_eq!(ledger.claim(&refused), None);
        assert_eq!(full, LedgerError::Full(ledger.names().count()), "it is as it was");
        let intended = ledger.to_bytes();
        assert!(intended.len() <= LARGEST && intended.len() + 2 * 320 > LARGEST, "{}", intended.len());
        assert_eq!(Ledger::from_bytes(&intended), Ok(ledger.clone()));
        // Half and half, and all written.
        let names: Vec<_> = ledger.names().cloned().collect();
        for part in names.chunks(names.len() / 2 + 1) {
            part.iter().for_each(|name| ledger.written(name));
            assert!(ledger.to_bytes().len() <= LARGEST);
            assert_eq!(Ledger::from_bytes(&ledger.to_bytes()), Ok(ledger.clone()));
        }
        // What is in it may be claimed anew, and what is forgotten makes room for one more.
        ledger.add(&names[0], Claim::Intended(hash)).unwrap();
        ledger.forget(&names[1]);
        ledger.forget(&names[1]);
        ledger.add(&refused, Claim::Written).unwrap();
        assert!(ledger.add(&names[1], Claim::Written).is_err());
    }

    #[test]
    fn a_newer_ledger_is_distinguished_from_a_damaged_one() {
        let newer = br#"{"version":2,"files":[7],"future":true}"#;
        assert_eq!(Ledger::from_bytes(newer), Err(LedgerError::TooNew(2)));
        assert_eq!(LedgerError::TooNew(2).reason(), DiskReason::LedgerTooNew);
    }

    #[test]
    fn a_name_with_two_intentions_is_damage_and_the_error_says_where() {
        let hash = ContentHash::of(b"{}");
        let bytes = format!(r#"{{"version":1,"written":[],"intended":{{"a":"{hash}","a":"{hash}"}}}}"#);
        let error = Ledger::from_bytes(bytes.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the ledger is damaged: invalid entry: found duplicate key at line 1 column 194; remove it to start a new one \
             (files with the right bytes are then adopted)"
        );
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
            r#"{"version":1,"written":["a","a"],"intended":{}}"#,
            r#"{"version":1,"written":[],"intended":{"a":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","a":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#,
        ] {
            let error = Ledger::from_bytes(bytes.as_bytes()).unwrap_err();
            assert_eq!(error.reason(), DiskReason::LedgerUnreadable, "{bytes}: {error}");
        }
    }
}
