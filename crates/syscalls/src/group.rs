//! What calls are about.

/// What a call is about. Each call is in one group; `data/groups.tsv` has the basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Paths, and the metadata of files.
    Files,
    /// What is done with open descriptors: to read, write, wait and control.
    Io,
    /// Which file systems and namespaces a process sees.
    Mounts,
    /// Sockets.
    Network,
    /// To start, end and wait for processes and threads, and what threads use to wait for each other.
    Processes,
    /// Processor time, priorities and limits.
    Scheduling,
    /// Users, capabilities, keys and security modules.
    Users,
    /// A process's own memory.
    Memory,
    /// Signals.
    Signals,
    /// Clocks and timers.
    Time,
    /// Message queues, semaphores and shared memory.
    Ipc,
    /// To look into other processes, or change them.
    Tracing,
    /// The kernel itself: modules, other kernels, swap, host names, randomness.
    System,
    /// What only some architectures have.
    Machine,
    /// Numbers that Linux reserves, without a call.
    Unused,
}

impl Group {
    /// Every group, in the order in which people look for them.
    pub const ALL: [Self; 15] = [
        Self::Files,
        Self::Io,
        Self::Network,
        Self::Processes,
        Self::Memory,
        Self::Signals,
        Self::Time,
        Self::Ipc,
        Self::Scheduling,
        Self::Users,
        Self::Mounts,
        Self::Tracing,
        Self::System,
        Self::Machine,
        Self::Unused,
    ];

    /// The word for it, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Io => "io",
            Self::Mounts => "mounts",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::Scheduling => "scheduling",
            Self::Users => "users",
            Self::Memory => "memory",
            Self::Signals => "signals",
            Self::Time => "time",
            Self::Ipc => "ipc",
            Self::Tracing => "tracing",
            Self::System => "system",
            Self::Machine => "machine",
            Self::Unused => "unused",
        }
    }

    /// The heading for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Files => "Files and directories",
            Self::Io => "Reading, writing and descriptors",
            Self::Mounts => "Mounts and namespaces",
            Self::Network => "Network",
            Self::Processes => "Processes and threads",
            Self::Scheduling => "Scheduling and limits",
            Self::Users => "Users, capabilities and keys",
            Self::Memory => "Memory",
            Self::Signals => "Signals",
            Self::Time => "Clocks and timers",
            Self::Ipc => "Queues, semaphores and shared memory",
            Self::Tracing => "Other processes: tracing and control",
            Self::System => "The kernel: modules, reboot, swap, names",
            Self::Machine => "Calls of single architectures",
            Self::Unused => "Numbers without a call",
        }
    }
}
