//! Whether a container does not start because of its profile, by the messages of the kubelet and the runtimes.
//!
//! These messages contain text that the pod's author chooses: commands, users, paths. Nothing of them is kept but a
//! directory of harmless characters, and the operator calls the cause only likely, because whoever may create a pod can
//! make one fail this way.

use std::time::Duration;

use api::conditions::node::{FILE_NOT_FOUND, LISTENER_UNREACHABLE, START_FAILED};
use api::{NotStarted, ProfileName, WatchedPod};
use k8s_openapi::jiff::Timestamp;

/// Why containers do not start under a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The runtime does not find the profile's file.
    FileNotFound,
    /// The runtime reaches no seccomp agent on the socket that the profile names.
    ListenerUnreachable,
    /// The runtime cannot load the filter, or itself ends under it.
    StartFailed,
}

impl Cause {
    /// The reason, from a bounded set.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::FileNotFound => FILE_NOT_FOUND,
            Self::ListenerUnreachable => LISTENER_UNREACHABLE,
            Self::StartFailed => START_FAILED,
        }
    }
}

/// A container that does not start under a profile, likely because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStartFailure {
    /// The profile.
    pub profile: String,
    /// Why.
    pub cause: Cause,
    /// The directory in which the runtime looked for the file, if its message has it.
    pub place: Option<String>,
    /// When the start failed, if the status has it.
    pub at: Option<Timestamp>,
    /// Until when this failure counts; `None` for as long as the pod's status shows it.
    pub until: Option<Timestamp>,
}

/// How long a failure counts after its pod has ended: a Job creates one pod after the other.
const ENDED: Duration = Duration::from_mins(10);
/// Failed starts of one pod that are kept.
const MAX_FOUND: usize = 8;
/// The longest directory, in bytes, that is kept from a message.
const MAX_PLACE_BYTES: usize = 256;

impl PodStartFailure {
    /// The starts of a pod that failed because of a profile. `directory` is where profiles are, below the kubelet's
    /// `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for start in pod.not_started() {
            let Some(profile) = pod.spec.profile_of(start.container, directory) else { continue };
            let Some((cause, place)) = likely_cause(&start, &profile, directory) else { continue };
            let until = match (pod.has_ended(), start.ended) {
                (false, _) => None,
                (true, Some(ended)) => Some(ended.checked_add(ENDED).unwrap_or(Timestamp::MAX)),
                // The failure may be long ago.
                (true, None) => continue,
            };
            let profile = profile.to_string();
            if found.len() < MAX_FOUND && found.iter().all(|it| (&it.profile, it.cause) != (&profile, cause))
            {
                found.push(Self { profile, cause, place, at: start.ended, until });
            }
        }
        found
    }
}

/// The cause of a failed start and the directory in which the runtime looked, if the profile is the likely cause.
fn likely_cause(
    start: &NotStarted<'_>,
    profile: &ProfileName,
    directory: &str,
) -> Option<(Cause, Option<String>)> {
    // The kubelet's reasons for a container that could not be created and for one that could not be started;
    // containerd's reason for the same afterwards, and Docker's.
    let (create, run) = ("CreateContainerError", ["RunContainerError", "StartError", "ContainerCannotRun"]);
    if start.reason == create
        && let Some(path) = not_found(start.message)
    {
        let place = path.strip_suffix(&format!("/{profile}.json"))?;
        let is_ours = place.strip_suffix(directory).is_some_and(|parent| parent.ends_with("/seccomp/"));
        return is_ours.then(|| (Cause::FileNotFound, harmless(place)));
    }
    if start.reason != create && !run.contains(&start.reason) {
        return None;
    }
    // The text after this prefix is about the container's own command.
    let message = start.message.split("exec: ").next().unwrap_or_default();
    let cause = if no_listener_answers(message) { Cause::ListenerUnreachable } else { Cause::StartFailed };
    (cause == Cause::ListenerUnreachable || filter_failed(message)).then_some((cause, None))
}

/// The path of a profile that does not exist. containerd (contrib/seccomp/seccomp.go): `cannot load seccomp profile
/// "P": open P: no such file or directory`; CRI-O (internal/config/seccomp/seccomp.go): `unable to load local profile
/// "P": open P: no such file or directory`; both after text about the container.
fn not_found(message: &str) -> Option<&str> {
    let (before, after) = message.trim_end().rsplit_once("\": open ")?;
    let path = after.strip_suffix(": no such file or directory")?;
    let before = before.strip_suffix(path)?;
    (before.ends_with("seccomp profile \"") || before.ends_with("local profile \"")).then_some(path)
}

/// Whether a message is one that runtimes give when they cannot connect to the profile's listener. runc 1.5.2: `failed
/// to connect with seccomp agent specified in the seccomp profile: dial unix P: connect: no such file or directory`;
/// crun: `open seccomp receiver: connect socket to P: No such file or directory`.
fn no_listener_answers(message: &str) -> bool {
    ["failed to connect with seccomp agent", "open seccomp receiver: connect"]
        .iter()
        .any(|text| message.contains(text))
}

/// Parts of the messages that runtimes give when they cannot make or load a filter. The word `seccomp` alone would not
/// do, because other messages quote names of pods and volumes that contain it. runc: `unable to init seccomp`, `error
/// loading seccomp filter into kernel`, `error adding seccomp rule for syscall`, `seccomp flags are not yet supported
/// by runc`; crun: `seccomp (SECCOMP_SET_MODE_FILTER)`, `invalid seccomp syscall`; containerd: `decoding seccomp
/// profile failed`; CRI-O: `load local profile`.
const ABOUT_FILTERS: [&str; 11] = [
    "init seccomp",
    "seccomp filter",
    "seccomp rule",
    "seccomp flags",
    "seccomp (SECCOMP_",
    "seccomp syscall",
    "seccomp architecture",
    "seccomp action",
    "seccomp not supported",
    "decoding seccomp profile",
    "load local profile: ",
];

/// Whether a message is one that runtimes give when they cannot load a filter, or when the filter ends them.
fn filter_failed(message: &str) -> bool {
    let denied = |text: &str| ["not permitted", "not implemented"].iter().any(|error| text.contains(error));
    // The container's init process was killed, or ended, under the filter. The message comes from the program that
    // notices it first: as a rule the shim of containerd 2.4.2 (cmd/containerd-shim-runc-v2/process/init_state.go), or
    // runc 1.5.2 (libcontainer/container_linux.go).
    let runc_ended = [
        "cannot start a stopped process",
        "container process is already dead",
        "cannot start an already running container",
    ];
    runc_ended.iter().any(|text| message.contains(text))
        || ABOUT_FILTERS.iter().any(|text| message.contains(text)) && !message.contains("no such file or directory")
        // runc without no_new_privs loads the filter before its last calls; mounts are made before that.
        || message.contains("error during container init") && !message.contains("mount") && denied(message)
        // crun's last call is the execve.
        || message.contains("exec container process") && denied(message)
}

/// The directory, if it is safe to put into a status. It should be the kubelet's, but the message about it may be
/// forged by the pod's author.
fn harmless(place: &str) -> Option<String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let fits = place.len() <= MAX_PLACE_BYTES && place.starts_with('/') && place.chars().all(harmless);
    fits.then(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOT_FOUND: &str = "failed to create containerd container: cannot load seccomp profile \
        \"/var/lib/kubelet/seccomp/profiles/a.json\": open /var/lib/kubelet/seccomp/profiles/a.json: no such file or directory";

    /// A pod under the profile `a`, whose container has this state.
    fn pod(phase: &str, state: Value) -> WatchedPod {
        let using =
            json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } });
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "securityContext": using, "containers": [{ "name": "c" }] },
            "status": { "phase": phase, "containerStatuses": [{ "name": "c", "state": state }] },
        }))
        .unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Option<(Cause, Option<String>)> {
        let state = json!({ "waiting": { "reason": reason, "message": message } });
        let found = PodStartFailure::of(&pod("Pending", state), "profiles");
        found.into_iter().next().map(|start| (start.cause, start.place))
    }

    #[test]
    fn a_missing_file_is_recognized_in_the_messages_of_containerd_and_of_cri_o() {
        let at = |place: &str| Some((Cause::FileNotFound, Some(place.to_owned())));
        assert_eq!(waiting("CreateContainerError", NOT_FOUND), at("/var/lib/kubelet/seccomp/profiles"));
        let older = "failed to generate container \"f00\" spec: failed to generate spec opts: failed to generate \
            seccomp spec opts: cannot load seccomp profile \"/data/kubelet/seccomp/profiles/a.json\": open \
            /data/kubelet/seccomp/profiles/a.json: no such file or directory";
        assert_eq!(waiting("CreateContainerError", older), at("/data/kubelet/seccomp/profiles"));
        let crio = "setup seccomp: unable to load local profile \"/data/kubelet/seccomp/profiles/a.json\": open \
            /data/kubelet/seccomp/profiles/a.json: no such file or directory";
        assert_eq!(waiting("CreateContainerError", crio), at("/data/kubelet/seccomp/profiles"));
    }

    #[test]
    fn a_missing_file_that_is_not_the_profiles_does_not_count() {
        for message in [
            &NOT_FOUND.replace("a.json", "b.json"),
            &NOT_FOUND.replace("/seccomp/", "/other/"),
            "failed to create containerd container: get apparmor_parser version: open a.json: no such file or directory",
            "failed to create containerd task: exec: \"/bin/a.json\": stat /bin/a.json: no such file or directory",
        ] {
            assert_eq!(waiting("CreateContainerError", message), None, "{message}");
        }
        assert_eq!(waiting("ImagePullBackOff", NOT_FOUND), None);
    }

    #[test]
    fn a_filter_that_ends_the_runtime_is_recognized_in_the_messages_of_runc_and_of_crun() {
        let shim = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc \
            create failed: unable to start container process: error during container init: ";
        for message in [
            // Seen on a node with containerd 2.4.2 and runc 1.5.2, under profiles that deny all calls, or futex,
            // capset, chdir, fstat, openat, prctl, read, setgroups alone. The first appears also under every profile
            // that ends a process.
            "failed to start containerd task \"f00\": cannot start a stopped process",
            "failed to start containerd task \"f00\": OCI runtime start failed: cannot start an already running container",
            &format!("{shim}unable to apply caps: can't apply capabilities: operation not permitted"),
            &format!("{shim}chdir to cwd (\"/\") set in config.json failed: operation not permitted"),
            &format!("{shim}unable to setup user: fstat /dev/stdin: operation not permitted"),
            &format!("{shim}open /proc/sys/kernel/cap_last_cap: operation not permitted"),
            &format!("{shim}unable to apply bounding set: operation not permitted"),
            &format!("{shim}read /proc/sys/kernel/cap_last_cap: operation not permitted"),
            &format!("{shim}unable to setup user: setgroups: operation not permitted"),
            // From their sources, and from those of other runtimes.
            "failed to start containerd task \"f00\": OCI runtime start failed: container process is already dead: unknown",
            &format!(
                "{shim}unable to init seccomp: error loading seccomp filter into kernel: error loading seccomp filter: errno 22"
            ),
            &format!(
                "{shim}error closing exec fds: open /proc/thread-self/fd: operation not permitted: unknown"
            ),
            "container create failed: seccomp (SECCOMP_SET_MODE_FILTER): Invalid argument",
            "container create failed: exec container process `/bin/sh`: Operation not permitted",
            "load local profile: decoding seccomp profile failed",
        ] {
            assert_eq!(waiting("RunContainerError", message), Some((Cause::StartFailed, None)), "{message}");
        }
    }

    #[test]
    fn a_listener_that_is_not_reached_is_recognized_in_the_messages_of_runc_and_of_crun() {
        let shim = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc \
            create failed: unable to start container process: ";
        let runc = "failed to connect with seccomp agent specified in the seccomp profile: dial unix /run/agent.sock: \
            connect: ";
        let crun = "open seccomp receiver: connect socket to /run/agent.sock: ";
        for message in [
            &format!("{shim}{runc}no such file or directory"),
            &format!("{shim}{runc}connection refused"),
            &format!("container create failed: {crun}No such file or directory"),
            &format!("container create failed: {crun}Connection refused"),
        ] {
            for reason in ["CreateContainerError", "RunContainerError", "StartError"] {
                assert_eq!(waiting(reason, message), Some((Cause::ListenerUnreachable, None)), "{message}");
            }
            assert_eq!(waiting("ImagePullBackOff", message), None);
            assert_eq!(waiting("RunContainerError", &format!("{shim}exec: \"{message}\"")), None);
        }
    }

    #[test]
    fn a_failure_of_a_command_or_a_mount_or_a_name_with_seccomp_in_it_is_not_the_filters() {
        let shim = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc \
            create failed: unable to start container process: error during container init: ";
        for message in [
            &format!(
                "{shim}exec: \"error loading seccomp filter\": executable file not found in $PATH: unknown"
            ),
            &format!("{shim}error mounting \"proc\" to rootfs at \"/proc\": operation not permitted"),
            "failed to reserve container name \"c_seccomp-demo-0_ns_uid_0\": name \"c_seccomp-demo-0_ns_uid_0\" is reserved",
            &format!("{shim}error mounting \"/etc/seccomp-agent\" to rootfs: permission denied"),
            "failed to create containerd task: context deadline exceeded",
            "",
        ] {
            assert_eq!(waiting("RunContainerError", message), None, "{message}");
        }
        assert_eq!(waiting("ImagePullBackOff", "seccomp"), None);
        assert_eq!(waiting("Error", "container process is already dead"), None);
    }

    #[test]
    fn nothing_is_kept_of_a_message_but_a_harmless_directory() {
        let path = format!("/{}/seccomp/profiles", "x".repeat(5000));
        for path in [path.as_str(), "/a b/seccomp/profiles", "/a\n/seccomp/profiles", "a/seccomp/profiles"] {
            let message =
                format!("seccomp profile \"{path}/a.json\": open {path}/a.json: no such file or directory");
            assert_eq!(waiting("CreateContainerError", &message), Some((Cause::FileNotFound, None)));
        }
    }

    #[test]
    fn the_failure_of_a_pod_that_has_ended_counts_for_ten_minutes() {
        let state = |finished: Option<&str>| {
            json!({ "terminated": {
                "reason": "StartError", "message": "container process is already dead", "finishedAt": finished,
            } })
        };
        let found = |phase, finished| PodStartFailure::of(&pod(phase, state(finished)), "profiles");
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let at = "2026-01-01T00:00:00Z";
        let [start] = &found("Failed", Some(at))[..] else { panic!("it fails once") };
        assert_eq!((start.at, start.until), (Some(time(at)), Some(time("2026-01-01T00:10:00Z"))));
        assert_eq!(found("Failed", None), []);
        assert_eq!(found("Running", None)[0].until, None);
    }
}
