//! The requests to the API server, from its audit log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// The requests that came in from a given moment on.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
    from: u64,
    /// The API server logs a request when it has answered it, so that a line after `from` may be of an earlier one.
    since: Timestamp,
}

/// A request that was answered, or a watch that began.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// `ResponseStarted` for a watch that goes on, else `ResponseComplete`.
    pub stage: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// The path with the query.
    #[serde(rename = "requestURI", default)]
    pub uri: String,
    /// The account of the token.
    pub user: User,
    /// The impersonated account, if there is one.
    pub impersonated_user: Option<User>,
    /// The requested object.
    #[serde(default)]
    pub object_ref: Object,
    /// The answer.
    #[serde(default)]
    pub response_status: Status,
    /// When it came in, with microseconds.
    pub request_received_timestamp: Timestamp,
    /// When it was answered.
    pub stage_timestamp: Timestamp,
}

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The account's name.
    #[serde(default)]
    pub username: String,
    /// Distinguishes several under one name.
    #[serde(default)]
    pub uid: String,
}

/// The requested object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Object {
    /// The plural.
    #[serde(default)]
    pub resource: String,
    /// `status`, say.
    #[serde(default)]
    pub subresource: String,
    /// The object's name; empty for all of them.
    #[serde(default)]
    pub name: String,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// The HTTP status.
    #[serde(default)]
    pub code: u16,
}

impl Request {
    /// Whether it would change something.
    #[must_use]
    pub fn changes(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str())
    }

    /// Whether it counts as a write. A lease does not: it is how operators agree.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.changes() && self.object_ref.resource != "leases"
    }

    /// Whether the API server did it.
    #[must_use]
    pub fn was_accepted(&self) -> bool {
        (200..300).contains(&self.response_status.code)
    }

    /// The account that it was made as, without what all of ours share.
    #[must_use]
    pub fn account(&self) -> &str {
        let user = self.impersonated_user.as_ref().unwrap_or(&self.user);
        user.username.rsplit(':').next().unwrap_or_default()
    }

    /// The resource with its subresource.
    #[must_use]
    pub fn resource(&self) -> String {
        match self.object_ref.subresource.as_str() {
            "" => self.object_ref.resource.clone(),
            part => format!("{}/{part}", self.object_ref.resource),
        }
    }
}

impl Log {
    pub(super) fn from_now(path: PathBuf) -> Self {
        // Without a log there is nothing before now.
        let from = whole_lines(&path).unwrap_or(0);
        Log { path, from, since: Timestamp::now() }
    }

    /// Every request of our accounts so far.
    ///
    /// # Errors
    /// The log cannot be read, or has lines that are none of an audit log.
    pub fn requests(&self) -> io::Result<Vec<Request>> {
        Ok(self.read()?.0)
    }

    /// Every request of our accounts since the last call.
    ///
    /// # Errors
    /// Same as [`Self::requests`].
    pub fn take(&mut self) -> io::Result<Vec<Request>> {
        let (requests, read) = self.read()?;
        self.from += read;
        Ok(requests)
    }

    /// The requests of our accounts, and how many bytes of the log they were in.
    fn read(&self) -> io::Result<(Vec<Request>, u64)> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut requests = Vec::new();
        for line in whole.lines() {
            let request: Request = serde_json::from_str(line)?;
            let is_later = request.request_received_timestamp >= self.since;
            if is_later && request.account().starts_with(cluster::NAMESPACE) {
                requests.push(request);
            }
        }
        Ok((requests, whole.len() as u64))
    }

    /// Every write of our accounts so far.
    ///
    /// # Errors
    /// Same as [`Self::requests`].
    pub fn writes(&self) -> io::Result<Vec<Request>> {
        Ok(self.requests()?.into_iter().filter(Request::is_write).collect())
    }
}

/// The length of the file's whole lines. The API server may be writing the last one.
fn whole_lines(path: &Path) -> io::Result<u64> {
    /// More than a line has.
    const TAIL: u64 = 1 << 20;
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    Ok(start + end as u64)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn line(account: &str, received: Timestamp) -> String {
        let user = format!(r#"{{"username":"system:serviceaccount:{}:{account}"}}"#, cluster::NAMESPACE);
        let times = format!(r#""requestReceivedTimestamp":"{received}","stageTimestamp":"{}""#, far_future());
        format!(r#"{{"stage":"ResponseComplete","verb":"get","user":{user},{times}}}"#)
    }

    fn far_future() -> Timestamp {
        "2999-01-01T00:00:00Z".parse().unwrap()
    }

    fn accounts(log: &mut Log) -> Vec<String> {
        log.take().unwrap().iter().map(|request| request.account().to_owned()).collect()
    }

    #[test]
    fn a_line_that_is_being_written_when_the_log_is_opened_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let line = |account| line(account, far_future());
        let (first, second) = (line("seccomp-profile-agent"), line("seccomp-profile-operator"));
        std::fs::write(&path, format!("{first}\n{}", &second[..20])).unwrap();
        let mut log = Log::from_now(path.clone());
        assert_eq!(accounts(&mut log), [""; 0]);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        write!(file, "{}\n{}", &second[20..], &first[..30]).unwrap();
        assert_eq!(accounts(&mut log), ["seccomp-profile-operator"]);
        writeln!(file, "{}", &first[30..]).unwrap();
        assert_eq!(accounts(&mut log), ["seccomp-profile-agent"]);
    }

    #[test]
    fn a_request_that_came_in_before_the_log_was_opened_and_is_answered_later_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let before = Timestamp::now();
        let mut log = Log::from_now(path.clone());
        let lines = [line("seccomp-profile-agent", before), line("seccomp-profile-operator", far_future())];
        std::fs::write(&path, format!("{}\n{}\n", lines[0], lines[1])).unwrap();
        assert_eq!(accounts(&mut log), ["seccomp-profile-operator"]);
    }
}
