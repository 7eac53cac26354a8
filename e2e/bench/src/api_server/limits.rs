//! The system limits for many agents in one process: each needs the descriptors of a node and a watch on a
//! directory.

use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};
use xtask::files;

use super::ApiServerError;
use super::program::failed;

/// Directory watches that others of the same user may have.
const OTHERS: usize = 200;

/// Descriptors of one agent: three connections (two watches, one for writes), the directory twice, the ledger's lock,
/// inotify, and some while it writes.
const DESCRIPTORS: u64 = 12;

/// How many directories one user may watch, raised where we may until this is dropped.
///
/// Without, agents find changes by their full checks alone, which is not what is tried or measured with them.
#[derive(Debug)]
pub struct Limits(Option<[String; 2]>);

impl Limits {
    const INOTIFY: &str = "/proc/sys/fs/inotify/max_user_instances";

    /// Makes room for this many agents in this process and those that it starts.
    ///
    /// # Errors
    /// They would need more descriptors than this process may ever have.
    pub fn raise(agents: usize) -> Result<Self, ApiServerError> {
        let wanted = DESCRIPTORS * agents as u64 + 1000;
        let mut descriptors = getrlimit(Resource::Nofile);
        if descriptors.maximum.is_some_and(|most| most < wanted) {
            return Err(ApiServerError::Config(format!(
                "{agents} agents need {wanted} descriptors, and this process may have {}: ulimit -Hn",
                descriptors.maximum.unwrap_or_default()
            )));
        }
        if descriptors.current.is_some_and(|now| now < wanted) {
            descriptors.current = descriptors.maximum.or(Some(wanted));
            setrlimit(Resource::Nofile, descriptors)
                .map_err(|error| failed("raise the descriptors of", "this process")(error.into()))?;
        }
        Self::raise_inotify(agents + OTHERS)
    }

    fn raise_inotify(wanted: usize) -> Result<Self, ApiServerError> {
        let before = files::read(Path::new(Self::INOTIFY))?.trim().to_owned();
        let enough = before.parse::<usize>().is_ok_and(|now| now >= wanted);
        let wanted = wanted.to_string();
        let raised = !enough && files::write_in_place(Path::new(Self::INOTIFY), &wanted).is_ok();
        Ok(Self(raised.then_some([before, wanted])))
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        if let Some([before, raised]) = &self.0
            && files::read(Path::new(Self::INOTIFY)).is_ok_and(|now| now.trim() == raised)
        {
            // Another process may have set it meanwhile; then it stays.
            let _ = files::write_in_place(Path::new(Self::INOTIFY), before);
        }
    }
}
