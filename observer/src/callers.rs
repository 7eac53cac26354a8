//! Who made the calls of records, also of processes that are gone.
//!
//! A record names a process by its number alone, and a process may be gone before its record is read: the kernel queues
//! records, and a busy machine lets the observer wait. So the kernel's news of processes are read before each record: a
//! child of a container's process is in that container. What cannot be told so is read from `/proc`.

use api::NodeName;
use audit::{ContainerId, Lineage, ProcessEvent};
use rustix::time::{ClockId, clock_gettime};

use crate::metrics::Metrics;
use crate::process::{CLOCKS_DIFFER, Caller, Processes, millis};
use crate::process_events::{NoProcessEvents, ProcessEvents, Received};

/// How many events are read before a record at most. If there are more, nothing is taken from them.
const AT_ONCE: usize = 10_000;

/// How many generations are looked at: a shell's pipeline has one or two that nobody has read.
const GENERATIONS: usize = 8;

/// For how many milliseconds a process that was found in `/proc` is not looked for again.
const FOUND_FOR: u64 = 1000;

/// What is known of the node's processes.
#[derive(Debug)]
pub struct Callers {
    node: NodeName,
    processes: Processes,
    events: Option<ProcessEvents>,
    lineage: Lineage,
    /// Whether events were dropped since `lineage` was last right.
    overrun: bool,
    /// The process that was last compared with `/proc`, and when.
    compared: (u32, u64),
    metrics: Metrics,
}

impl Callers {
    /// Without `events`, only processes that are still there are found.
    #[must_use]
    pub fn new(
        node: NodeName,
        processes: Processes,
        events: Result<ProcessEvents, NoProcessEvents>,
        metrics: Metrics,
    ) -> Self {
        metrics.process_events_missing(events.is_err());
        if let Err(why) = &events {
            tracing::warn!(%node, reason = why.reason(), message = %why, "the kernel does not tell of processes");
        }
        let lineage = Lineage::new(monotonic());
        Self { node, processes, events: events.ok(), lineage, overrun: false, compared: (0, 0), metrics }
    }

    /// The socket that has news when it can be read.
    #[must_use]
    pub fn events(&self) -> Option<&ProcessEvents> {
        self.events.as_ref()
    }

    /// Who made the call of a record of `time` (milliseconds since 1970) about the process `pid`.
    pub fn caller(&mut self, pid: u32, time: u64) -> Caller {
        if self.catch_up() && self.knows_of(pid) {
            self.attribute(pid, time)
        } else {
            self.processes.caller(pid, time)
        }
    }

    /// The same once everything is known that the kernel has said until now.
    fn attribute(&mut self, pid: u32, time: u64) -> Caller {
        // The clock of records is behind by a few milliseconds.
        let at = (time + CLOCKS_DIFFER).saturating_sub(offset());
        if let Some(container) = self.lineage.container(pid, at) {
            return Caller::Container(container);
        }
        let found = match self.processes.caller(pid, time) {
            Caller::Unknown => self.of_ancestors(pid, at),
            Caller::Container(container) => Some(container),
            Caller::Outside => return Caller::Outside,
        };
        let Some(container) = found else { return Caller::Unknown };
        self.lineage.found(pid, at, container);
        Caller::Container(container)
    }

    /// Whether the kernel has told of the process that has this number now, if there is one. The kernel may stop sending
    /// events without an error, and what is remembered is then of another process that had the number before.
    fn knows_of(&mut self, pid: u32) -> bool {
        let now = monotonic();
        if self.compared.0 == pid && now < self.compared.1 + FOUND_FOR {
            return true;
        }
        let Some(since) = self.processes.started(pid) else { return true };
        if self.lineage.misses(pid, since) {
            // It may have started after the events were read.
            if !self.catch_up() {
                return false;
            }
            if self.lineage.misses(pid, since) {
                self.give_up(&NoProcessEvents::Incomplete);
                return false;
            }
        }
        self.compared = (pid, now);
        true
    }

    /// Does without events from now on, and forgets what is known from them.
    fn give_up(&mut self, why: &NoProcessEvents) {
        tracing::warn!(node = %self.node, reason = why.reason(), message = %why, "process events are given up");
        self.metrics.process_events_missing(true);
        self.events = None;
        self.lineage.forget(monotonic());
    }

    /// Reads what the kernel has said. Returns whether everything that it has said until now is known.
    pub fn catch_up(&mut self) -> bool {
        for _ in 0..AT_ONCE {
            let Some(events) = &mut self.events else { return false };
            match events.receive() {
                Ok(Received::Event(event)) => self.take(event),
                Ok(Received::Answer(_) | Received::Other) => {}
                Ok(Received::Overrun) => {
                    self.metrics.process_event_overrun();
                    self.overrun = true;
                }
                Ok(Received::Nothing) => {
                    // Only now: what was queued before the kernel dropped events is older than they.
                    if std::mem::take(&mut self.overrun) {
                        self.lineage.forget(monotonic());
                    }
                    return true;
                }
                Err(error) => self.give_up(&NoProcessEvents::Failed(error)),
            }
        }
        false
    }

    fn take(&mut self, event: ProcessEvent) {
        let (process, time, is_known) = match event {
            ProcessEvent::Started { parent, process, time } => {
                let time = time / 1_000_000;
                (process, time, self.lineage.started(parent, process, time))
            }
            ProcessEvent::Executed { process, time } => {
                let time = time / 1_000_000;
                (process, time, self.lineage.container(process, time).is_some())
            }
        };
        // A runtime's process is in the container's control groups before it becomes the container's program, which may
        // end at once.
        if !is_known && let Caller::Container(container) = self.processes.caller(process, time + offset()) {
            self.lineage.found(process, time, container);
        }
    }

    /// The container of the nearest ancestor that is known or still there. A parent outside of all pods says nothing:
    /// the runtime's own children become the container's.
    fn of_ancestors(&mut self, pid: u32, at: u64) -> Option<ContainerId> {
        let (mut process, mut at) = (pid, at);
        for _ in 0..GENERATIONS {
            let (parent, since) = self.lineage.parent(process, at)?;
            if let Some(container) = self.lineage.container(parent, since) {
                return Some(container);
            }
            match self.processes.caller(parent, since + offset()) {
                Caller::Container(container) => return Some(container),
                Caller::Outside => return None,
                Caller::Unknown => (process, at) = (parent, since),
            }
        }
        None
    }
}

/// The present time of the clock of events, in milliseconds.
fn monotonic() -> u64 {
    millis(clock_gettime(ClockId::Monotonic))
}

/// What the clock of records is ahead of that of events, in milliseconds.
fn offset() -> u64 {
    millis(clock_gettime(ClockId::Realtime)).saturating_sub(monotonic())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::process::now;

    const POD: &str = "/kubepods/pod9f3b8a52-0c8d-4b7e-9d4f-5a1f2e3d4c5b";

    fn id(digit: char) -> ContainerId {
        digit.to_string().repeat(64).parse().unwrap()
    }

    /// The present time of the clock of process events.
    fn nanoseconds() -> u64 {
        let time = clock_gettime(ClockId::Monotonic);
        u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
    }

    /// The node's processes below a directory.
    struct Node(tempfile::TempDir, Callers);

    /// An observer of the processes in this directory.
    fn callers(proc: &Path, events: Result<ProcessEvents, NoProcessEvents>) -> Callers {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        Callers::new("node-1".parse().unwrap(), Processes::new(proc).unwrap(), events, metrics)
    }

    impl Node {
        fn new() -> Self {
            let proc = tempfile::tempdir().unwrap();
            let callers = callers(proc.path(), Ok(ProcessEvents::silent()));
            Self(proc, callers)
        }

        fn place(&self, process: u32) -> std::path::PathBuf {
            Path::new(self.0.path()).join(process.to_string())
        }

        /// The process is there, since the node's start, in these control groups.
        fn runs(&self, process: u32, group: &str) {
            self.runs_since(process, group, 0);
        }

        /// The same since so many milliseconds after the node's start.
        fn runs_since(&self, process: u32, group: &str, after_boot: u64) {
            let ticks = after_boot / 10;
            fs::create_dir_all(self.place(process)).unwrap();
            fs::write(self.place(process).join("cgroup"), format!("0::{group}\n")).unwrap();
            let stat = format!("{process} (sh) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0");
            fs::write(self.place(process).join("stat"), stat).unwrap();
        }

        fn ends(&self, process: u32) {
            fs::remove_dir_all(self.place(process)).unwrap();
        }

        fn started(&mut self, parent: u32, process: u32) {
            self.1.take(ProcessEvent::Started { parent, process, time: nanoseconds() });
        }

        fn calls(&mut self, process: u32) -> Caller {
            self.1.caller(process, now())
        }
    }

    #[test]
    fn a_process_that_is_gone_is_in_the_container_of_whoever_started_it() {
        let mut node = Node::new();
        node.runs(7, &format!("{POD}/{}", id('a')));
        for (parent, process) in [(7, 8), (8, 9)] {
            node.started(parent, process);
        }
        assert_eq!(node.calls(9), Caller::Container(id('a')), "nobody but the first was ever read");
        assert_eq!(node.calls(10), Caller::Unknown, "nobody said whose child it is");
        // What is once known is known when all are gone.
        node.started(9, 11);
        node.ends(7);
        assert_eq!(node.calls(11), Caller::Container(id('a')));
    }

    #[test]
    fn the_first_process_of_a_container_is_found_although_it_ends_at_once() {
        let mut node = Node::new();
        // The runtime's process joins the control groups before it starts the one that becomes the container's program.
        node.runs(7, "/system.slice/containerd.service");
        node.started(7, 8);
        node.runs(9, &format!("{POD}/{}", id('a')));
        node.started(8, 9);
        node.ends(9);
        assert_eq!(node.calls(9), Caller::Container(id('a')));
        // One that joins them by itself is read when it becomes that program.
        node.runs(12, "/");
        node.started(7, 12);
        node.runs(12, &format!("{POD}/{}", id('b')));
        node.1.take(ProcessEvent::Executed { process: 12, time: nanoseconds() });
        node.ends(12);
        assert_eq!(node.calls(12), Caller::Container(id('b')));
    }

    #[test]
    fn a_process_outside_says_nothing_about_the_container_of_its_child() {
        let mut node = Node::new();
        node.runs(7, "/system.slice/containerd.service");
        node.started(7, 8);
        assert_eq!((node.calls(7), node.calls(8)), (Caller::Outside, Caller::Unknown));
    }

    #[test]
    fn a_number_that_another_process_has_got_since_is_nobodys() {
        let mut node = Node::new();
        node.runs(7, &format!("{POD}/{}", id('a')));
        node.started(7, 8);
        let long_ago = now() - 60_000;
        assert_eq!(node.1.caller(8, long_ago), Caller::Unknown, "it has this number only since");
        assert_eq!(node.calls(8), Caller::Container(id('a')));
    }

    #[test]
    fn where_the_kernel_has_stopped_telling_of_processes_a_number_is_not_that_of_an_earlier_one() {
        let mut node = Node::new();
        node.runs(7, &format!("{POD}/{}", id('a')));
        assert_eq!(node.calls(7), Caller::Container(id('a')));
        assert!(node.1.events().is_some());
        // Its number is given to a process of another container, and no event says so.
        let later = 60_000;
        node.runs_since(7, &format!("{POD}/{}", id('b')), millis(clock_gettime(ClockId::Boottime)) + later);
        node.runs(9, "/");
        assert_eq!(node.calls(9), Caller::Outside);
        assert_eq!(node.1.caller(7, now() + later + 10_000), Caller::Container(id('b')));
        // So nothing that is remembered can be relied on.
        assert!(node.1.events().is_none());
        node.ends(7);
        assert_eq!(node.1.caller(7, now() + later + 10_000), Caller::Unknown);
    }

    #[test]
    fn the_kernel_tells_of_this_very_tests_children() {
        // In the machine's first namespaces; without, it says why.
        let events = match ProcessEvents::open() {
            Ok(events) => events,
            Err(why) => {
                eprintln!("not tried: {why}");
                return;
            }
        };
        let mut callers = callers(Path::new("/proc"), Ok(events));
        // Twice: there are kernels that stop at the first event that nobody has asked for, such as the end of a process.
        for _ in 0..2 {
            let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
            child.wait().unwrap();
            assert!(callers.catch_up());
            let (parent, _) = callers.lineage.parent(child.id(), monotonic()).unwrap();
            assert_eq!(parent, std::process::id());
        }
    }

    #[test]
    fn once_the_kernel_has_dropped_events_nothing_that_was_known_counts_and_a_metric_says_so() {
        let events = match ProcessEvents::open() {
            Ok(events) => events,
            Err(why) => {
                eprintln!("not tried: {why}");
                return;
            }
        };
        // Room for a handful.
        rustix::net::sockopt::set_socket_recv_buffer_size(&events, 1).unwrap();
        let registry = prometheus::Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let processes = Processes::new(Path::new("/proc")).unwrap();
        let mut callers = Callers::new("node-1".parse().unwrap(), processes, Ok(events), metrics);
        callers.lineage.found(u32::MAX, 0, id('a'));
        let forget = |callers: &Callers| callers.lineage.container(u32::MAX, monotonic()).is_none();
        assert!(!forget(&callers));
        for _ in 0..50 {
            std::process::Command::new("/bin/true").status().unwrap();
        }
        assert!(callers.catch_up() && forget(&callers));
        let families = registry.gather();
        let overruns =
            families.iter().find(|it| it.name().ends_with("process_event_overruns_total")).unwrap();
        assert!(overruns.get_metric()[0].get_counter().get_value() >= 1.0);
        // From now on it is told of every one again.
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        assert!(callers.catch_up());
    }
}
