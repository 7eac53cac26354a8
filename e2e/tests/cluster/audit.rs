//! The API server's audit log: what our service accounts wrote.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster::Cluster;
use serde_json::Value;

use super::support::{Session, until};

/// The log from a given moment on.
pub(crate) struct Log {
    path: PathBuf,
    from: u64,
}

/// A write that the API server answered, also with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) account: String,
    pub(crate) verb: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) code: i64,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ({})", self.account, self.verb, self.resource, self.name, self.code)
    }
}

impl Log {
    /// The log from now on.
    pub(crate) fn from_now(cluster: &Cluster) -> Self {
        let path = cluster.audit_log();
        let from = path.metadata().unwrap().len();
        Log { path, from }
    }

    /// Every write of our accounts so far, leases aside.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.from)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter_map(write_of).collect()
    }

    /// Waits until nothing has been written for a while: for longer than the usual delay of a write in a small cluster,
    /// which is 5 s for counts, and until the operator has struck the entries of deleted profiles from
    /// `spec.excludedProfiles`, which it does a minute after the deletion.
    pub(crate) fn wait_quiet(cluster: &Session) -> Self {
        const QUIET: Duration = Duration::from_secs(8);
        until("no node's object naming a deleted profile", Duration::from_secs(90), || {
            (!names_deleted_profiles(cluster)).then_some(())
        });
        let mut log = Log::from_now(cluster);
        let mut since = Instant::now();
        until("our accounts having nothing to write", Duration::from_secs(90), || {
            if !log.writes().is_empty() {
                log = Log::from_now(cluster);
                since = Instant::now();
            }
            (since.elapsed() > QUIET).then_some(())
        });
        log
    }
}

/// Whether a `NodeProfileStatus` excludes a profile that does not exist any more.
fn names_deleted_profiles(cluster: &Session) -> bool {
    let profiles = cluster.json(["get", "seccompprofiles"]);
    let uids: Vec<&Value> =
        profiles["items"].as_array().unwrap().iter().map(|profile| &profile["metadata"]["uid"]).collect();
    let reports = cluster.json(["get", "nodeprofilestatuses"]);
    let excluded = reports["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|report| report.pointer("/spec/excludedProfiles").and_then(Value::as_object));
    excluded.flat_map(|entries| entries.values()).any(|uid| !uids.contains(&uid))
}

fn write_of(line: &str) -> Option<Write> {
    let event: Value = serde_json::from_str(line).unwrap();
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (verb, resource) = (text("/verb"), text("/objectRef/resource"));
    let is_write = !["get", "list", "watch"].contains(&verb.as_str()) && resource != "leases";
    let resource = match text("/objectRef/subresource") {
        part if part.is_empty() => resource,
        part => format!("{resource}/{part}"),
    };
    is_write.then(|| Write {
        account: text("/user/username").rsplit(':').next().unwrap_or_default().to_owned(),
        verb,
        resource,
        name: text("/objectRef/name"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_i64).unwrap_or_default(),
    })
}

/// The writes by kind, one per line.
pub(crate) fn summary(writes: &[Write]) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for write in writes {
        *kinds
            .entry(format!("{} {} {} ({})", write.account, write.verb, write.resource, write.code))
            .or_default() += 1;
    }
    kinds.iter().map(|(kind, count)| format!("\n  {count:4} {kind}")).collect()
}
