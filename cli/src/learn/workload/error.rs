//! Why a workload does not learn, or did not get its result.

use super::contents::ContentsError;
use crate::show::escaped;

/// Why a workload does not learn, or did not get its result.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// It is of a kind whose pods are not replaced after a change of the template.
    #[error(
        "{0:?} is no workload that can learn: name a Deployment, StatefulSet or DaemonSet, such as deploy/web"
    )]
    Kind(String),
    /// It does not exist.
    #[error("there is no {0}; --namespace names another namespace")]
    Missing(String),
    /// A change of its template does not replace all its pods.
    #[error("{0} cannot learn rollout by rollout: {1}")]
    Obstacle(String, String),
    /// Its template has no containers.
    #[error("its pod template has no containers")]
    NoContainers,
    /// Its template has no such container.
    #[error("its pod template has no container {0:?}")]
    NoContainer(String),
    /// A container is privileged.
    #[error(
        "the container {0:?} is privileged, so that no filter is in force in it; --only names another container"
    )]
    Privileged(String),
    /// Its containers have different profiles.
    #[error(
        "its containers have different profiles ({}), and one profile is learned at a time: choose a container with \
         --only NAME", escaped(.0.join(", "))
    )]
    Different(Vec<String>),
    /// Its profile is a file of somebody else.
    #[error(
        "its profile ({}) is no SeccompProfile of this cluster, so that its contents are not known: apply it as one first \
         (`kubectl seccomp convert` makes one of a file)", escaped(.0)
    )]
    NotOurs(String),
    /// No filter is in force.
    #[error(
        "its pod template has no seccomp profile ({0}), so that what is refused now is not known here: give it RuntimeDefault first, or begin from \
         everything with --from-unconfined"
    )]
    Unconfined(&'static str),
    /// A container has more capabilities than the known default profile assumes.
    #[error(
        "its profile is RuntimeDefault, which permits more calls with the capabilities {} that it adds, and which ones is not \
         known here: give it a SeccompProfile first, or begin from everything with --from-unconfined", escaped(.0.join(", "))
    )]
    Capabilities(Vec<String>),
    /// The runtime's default is not known for the architecture.
    #[error(
        "the default profile of containerd is not known for {0}: begin from everything with --from-unconfined"
    )]
    NoDefault(&'static str),
    /// It has the profile that is to be learned.
    #[error(
        "it has the profile {0} already, which refuses what was not seen: give it its earlier profile again, and what {0} \
         permits counts as learned"
    )]
    Learned(String),
    /// An object of this name was not made by learning.
    #[error(
        "there is a SeccompProfile {name:?} that `learn` did not make: choose another name than {profile:?}"
    )]
    Foreign {
        /// The object.
        name: String,
        /// The profile that was asked for.
        profile: String,
    },
    /// Another workload learns under the name.
    #[error("{other} learns under this name already: choose another one, or end that with --undo")]
    Busy {
        /// The other workload.
        other: String,
    },
    /// The workload is under another learning profile.
    #[error("it is under {0} of another run: continue that one, or end it with --undo")]
    OtherRun(String),
    /// The existing profile permits what the present one refuses.
    #[error(
        "the SeccompProfile {name} permits {call}, which this workload's present profile refuses, and others may need it: \
         choose another name"
    )]
    Narrower {
        /// The profile.
        name: String,
        /// A call.
        call: String,
    },
    /// None of its pods runs.
    #[error("no pod of {0} runs, so that nothing can be seen")]
    NoPods(String),
    /// The pods of a Deployment cannot be found.
    #[error("which pods are its own cannot be told without the right to list replicasets: {}", escaped(.0))]
    ReplicaSets(String),
    /// On some nodes no observer reports.
    #[error(
        "no observer reports from {}, where pods of it run: the chart's value observer.enabled turns the observers on, and \
         observer.nodeSelector says where", escaped(.0.join(", "))
    )]
    NotObserved(Vec<String>),
    /// No call was seen.
    #[error(
        "no call of it was logged, although every program makes some: has /proc/sys/kernel/seccomp/actions_logged of its nodes \
         the word log, and what do the SeccompObservations say of them?"
    )]
    NothingSeen,
    /// What is stored with it cannot be read.
    #[error(
        "its annotation {0} cannot be read: correct the profile in its pod template, and remove the annotation"
    )]
    Annotation(&'static str),
    /// The name is too long for that of the profile that logs.
    #[error("the name {0:?} is too long: {0}-learning must be a name as well")]
    TooLong(String),
    /// Nobody said yes.
    #[error("nothing was changed: nobody said yes")]
    NotConfirmed,
    /// Nobody can be asked.
    #[error(
        "learn asks before it lets a workload run under another profile, and standard input is no terminal: give --yes"
    )]
    NobodyToAsk,
    /// The times of the options contradict each other, or are too short.
    #[error("{0}")]
    Times(&'static str),
    /// The user has stopped the command.
    #[error("stopped")]
    Stopped,
    /// It kept changing.
    #[error("it is changed all the time by somebody else")]
    Conflict,
    /// Somebody else has changed what this program wrote.
    #[error(
        "somebody else has changed its profile or template: stop what manages it (such as GitOps) while it learns, and take \
         back what is left with --undo"
    )]
    Changed,
    /// Somebody else has changed a profile since this program read it.
    #[error(
        "somebody else has changed the SeccompProfile {0} meanwhile, so that the result may not fit to it: run the command again"
    )]
    ProfileChanged(String),
    /// It did not become ready.
    #[error("{what} is not ready in time: {}", escaped(why))]
    NotReady {
        /// The profile or workload.
        what: String,
        /// What it waits for.
        why: String,
    },
    /// There is nothing to undo.
    #[error("it is under no learning profile: there is nothing to undo")]
    NothingToUndo,
    /// There is no profile.
    #[error(transparent)]
    Contents(#[from] ContentsError),
}

impl WorkloadError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kind(_) => "Kind",
            Self::Missing(_) => "Missing",
            Self::Obstacle(..) => "Obstacle",
            Self::NoContainers => "NoContainers",
            Self::NoContainer(_) => "NoContainer",
            Self::Privileged(_) => "Privileged",
            Self::Different(_) => "DifferentProfiles",
            Self::NotOurs(_) => "NotOurs",
            Self::Unconfined(_) => "Unconfined",
            Self::Capabilities(_) => "Capabilities",
            Self::NoDefault(_) => "NoDefault",
            Self::Learned(_) => "AlreadyLearned",
            Self::Foreign { .. } => "Foreign",
            Self::Busy { .. } => "Busy",
            Self::OtherRun(_) => "OtherRun",
            Self::Narrower { .. } => "Narrower",
            Self::NoPods(_) => "NoPods",
            Self::ReplicaSets(_) => "ReplicaSets",
            Self::NotObserved(_) => "NotObserved",
            Self::NothingSeen => "NothingSeen",
            Self::Annotation(_) => "Annotation",
            Self::TooLong(_) => "TooLong",
            Self::NotConfirmed => "NotConfirmed",
            Self::NobodyToAsk => "NobodyToAsk",
            Self::Times(_) => "Times",
            Self::Stopped => "Stopped",
            Self::Conflict => "Conflict",
            Self::Changed => "Changed",
            Self::ProfileChanged(_) => "ProfileChanged",
            Self::NotReady { .. } => "NotReady",
            Self::NothingToUndo => "NothingToUndo",
            Self::Contents(error) => error.reason(),
        }
    }
}
