//! What is in the directory in each round.

use std::fs;
use std::path::Path;

use profile::Profile;
use serde_json::json;

/// Always there: in each round with other contents.
pub(crate) const STEADY: &str = "steady";

/// All names that a profile ever has: one is there in odd rounds and one in even ones.
pub(crate) const NAMES: [&str; 3] = ["even", "odd", STEADY];

/// The profiles of a round.
pub(crate) fn wanted(round: u64) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let is_there = move |name: &&str| match *name {
        "even" => round.is_multiple_of(2),
        "odd" => !round.is_multiple_of(2),
        _ => true,
    };
    NAMES.into_iter().filter(is_there).map(move |name| (name, bytes(name, round)))
}

/// Contents that say whose they are, and some more.
fn bytes(name: &str, round: u64) -> Vec<u8> {
    let names: Vec<String> = (0..50).map(|i| format!("{name}_{round}_{i:03}")).collect();
    let contents = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": names, "action": "SCMP_ACT_LOG" }],
    });
    Profile::from_value(&contents).unwrap().canonical().bytes().to_vec()
}

/// The round that a file's bytes are of, if they are whole and the profile's own.
pub(crate) fn round_of(name: &str, found: &[u8]) -> Result<u64, String> {
    let said = || String::from_utf8_lossy(&found[..found.len().min(200)]).into_owned();
    let profile: serde_json::Value = serde_json::from_slice(found)
        .map_err(|error| format!("{name} is torn ({} bytes): {error}: {}", found.len(), said()))?;
    Profile::from_value(&profile).map_err(|error| format!("{name} is not a profile: {error}: {}", said()))?;
    let first = profile["syscalls"][0]["names"][0].as_str().unwrap_or_default();
    let round = first.strip_prefix(&format!("{name}_")).and_then(|rest| rest.split('_').next()?.parse().ok());
    match round {
        Some(round) if bytes(name, round) == found => Ok(round),
        _ => Err(format!("{name} is of another program: {}", said())),
    }
}

/// Fails unless exactly the profiles of the round are there, and nothing is left of any write.
pub(crate) fn are_as_wanted(directory: &Path, round: u64) {
    for name in NAMES {
        let found = fs::read(directory.join(format!("{name}.json"))).ok();
        let wanted = wanted(round).find(|(wanted, _)| *wanted == name).map(|(_, bytes)| bytes);
        assert!(found == wanted, "{name} is not as it should be after round {round}");
    }
    let left = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|file| file.to_string_lossy().ends_with("seccomp-tmp")).collect();
    assert!(left.is_empty(), "{left:?} is left after round {round}");
}
