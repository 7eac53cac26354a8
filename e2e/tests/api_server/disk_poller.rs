//! A thread that polls files without end, as starting containers read them.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The pause between two polls of all files: agents share the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// What must be true of a file at every poll. The file must always exist.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// It is unchanged: same inode, same times, same bytes.
    Untouched,
    /// Its contents are exactly one of these.
    OneOf(Vec<Vec<u8>>),
}

/// The polling thread.
pub(crate) struct DiskPoller {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<PollResult, String>>,
}

/// The result of the polls.
pub(crate) struct PollResult {
    /// How often it read all files.
    pub(crate) looks: u64,
    /// The CPU time of the thread.
    pub(crate) cpu: Duration,
}

impl DiskPoller {
    /// Polls from now on.
    pub(crate) fn start(files: Vec<(PathBuf, Rule)>) -> Self {
        let firsts: Vec<_> = files.iter().map(|(path, _)| read_state(path).unwrap()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                for ((path, rule), first) in files.iter().zip(&firsts) {
                    let found = read_state(path).map_err(|error| format!("{}: {error}", path.display()))?;
                    let allowed = match rule {
                        Rule::Untouched => found == *first,
                        Rule::OneOf(contents) => contents.contains(&found.bytes),
                    };
                    if !allowed {
                        return Err(format!("{}: {found:?} after {looks} looks", path.display()));
                    }
                }
                looks += 1;
                thread::sleep(PAUSE);
            }
            Ok(PollResult { looks, cpu: cpu_time("/proc/thread-self/stat") })
        });
        Self { stop, thread }
    }

    /// Ends the thread; panics if a file broke its rule.
    pub(crate) fn finish(self) -> PollResult {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap().unwrap_or_else(|seen| panic!("{seen}"));
        assert!(seen.looks > 0, "nobody looked");
        seen
    }
}

#[derive(Debug, PartialEq, Eq)]
struct FileState {
    inode: u64,
    /// Of contents and of attributes, in nanoseconds.
    changed: [i64; 4],
    bytes: Vec<u8>,
}

fn read_state(path: &Path) -> std::io::Result<FileState> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let changed = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Ok(FileState { inode: metadata.ino(), changed, bytes })
}

/// The CPU time of a process or a thread, from its `stat` below /proc; in steps of 10 ms.
pub(crate) fn cpu_time(stat: &str) -> Duration {
    let text = fs::read_to_string(stat).unwrap();
    // proc_pid_stat(5): utime and stime are the 14th and 15th, in hundredths of a second; the second may hold spaces.
    let fields: Vec<_> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[11..=12].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
