//! An eye on files: a thread that looks at them all the time, as containers that start do.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The pause between two looks at everything: agents share the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// What must hold of a file at every look. It is always there.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// It is the very file that it was at first: same inode, same times, same bytes.
    Untouched,
    /// It holds all of one of these, and nothing else.
    OneOf(Vec<Vec<u8>>),
}

/// The thread.
pub(crate) struct Eye {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, String>>,
}

/// What it did.
pub(crate) struct Seen {
    /// How often it looked at everything.
    pub(crate) looks: u64,
    /// What that took of a processor.
    pub(crate) processor: Duration,
}

impl Eye {
    /// Looks from now on.
    pub(crate) fn open(files: Vec<(PathBuf, Rule)>) -> Self {
        let firsts: Vec<_> = files.iter().map(|(path, _)| look(path).unwrap()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                for ((path, rule), first) in files.iter().zip(&firsts) {
                    let found = look(path).map_err(|error| format!("{}: {error}", path.display()))?;
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
            Ok(Seen { looks, processor: processor_time("/proc/thread-self/stat") })
        });
        Self { stop, thread }
    }

    /// Ends it; fails with what it saw that must not be.
    pub(crate) fn close(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap().unwrap_or_else(|seen| panic!("{seen}"));
        assert!(seen.looks > 0, "nobody looked");
        seen
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    inode: u64,
    /// Of contents and of attributes, in nanoseconds.
    changed: [i64; 4],
    bytes: Vec<u8>,
}

fn look(path: &Path) -> std::io::Result<Found> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let changed = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Ok(Found { inode: metadata.ino(), changed, bytes })
}

/// What a process or a thread has had of a processor, from its `stat` below /proc; in steps of 10 ms.
pub(crate) fn processor_time(stat: &str) -> Duration {
    let text = fs::read_to_string(stat).unwrap();
    // proc_pid_stat(5): utime and stime are the 14th and 15th, in hundredths of a second; the second may hold spaces.
    let fields: Vec<_> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[11..=12].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
