//! What the program counts and measures.

use daemon::metrics::{Counters, Label, Watches, register};
use prometheus::{Gauge, IntGauge, Opts, Registry};

use crate::certificates::clock::UnixTime;
use crate::images::plan::Fate;

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The webhook configuration about profiles.
    Configuration,
    /// The webhook configuration about pods.
    Images,
    /// The profiles of images.
    Profiles,
    /// The nodes.
    Nodes,
}

impl Kind {
    /// Those that are watched: about pods only where the program answers for them.
    #[must_use]
    pub const fn watched(images: bool, nodes: bool) -> &'static [Self] {
        match (images, nodes) {
            (false, _) => &[Self::Configuration],
            (true, false) => &[Self::Configuration, Self::Images, Self::Profiles],
            (true, true) => Self::ALL,
        }
    }
}

impl Label for Kind {
    const ALL: &'static [Self] = &[Self::Configuration, Self::Images, Self::Profiles, Self::Nodes];

    fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "ValidatingWebhookConfiguration",
            Self::Images => "MutatingWebhookConfiguration",
            Self::Profiles => "SeccompProfile",
            Self::Nodes => "Node",
        }
    }
}

impl Label for Fate {
    const ALL: &'static [Self] =
        &[Self::NoProfile, Self::Profile, Self::Baseline, Self::Unchanged, Self::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Self::NoProfile => "no-profile",
            Self::Profile => "profile",
            Self::Baseline => "baseline",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// The Secret of the certificate authorities.
    Secret,
    /// The bundle in the webhook configuration.
    Configuration,
}

impl Label for Write {
    const ALL: &'static [Self] = &[Self::Secret, Self::Configuration];

    fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Configuration => "configuration",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong with the object.
    Allowed,
    /// It is allowed, with warnings.
    Warned,
    /// It is refused.
    Refused,
    /// It is allowed without having been checked, because that took too long.
    Late,
    /// The request is none of the API server's: another path, or no review.
    Unreadable,
}

impl Label for Outcome {
    const ALL: &'static [Self] = &[Self::Allowed, Self::Warned, Self::Refused, Self::Late, Self::Unreadable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The metrics of the program.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Watches.
    pub watches: Watches<Kind>,
    /// Requests.
    pub requests: Counters<Outcome>,
    /// Containers of pods that were looked at.
    pub containers: Counters<Fate>,
    /// Writes of certificate authorities to the API server.
    pub writes: Counters<Write>,
    /// Writes that the API server refused or did not answer.
    pub failed_writes: Counters<Write>,
    trusted: IntGauge,
    expires: Gauge,
}

impl Metrics {
    /// New metrics in `registry`, with series for all values of their labels. These kinds are watched.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(registry: &Registry, kinds: &[Kind]) -> Result<Self, prometheus::Error> {
        let containers = Opts::new(
            "seccomp_profile_admission_containers_total",
            "Containers whose images were looked at, by what they got.",
        );
        let requests =
            Opts::new("seccomp_profile_admission_requests_total", "Requests, by what became of them.");
        let writes = Opts::new(
            "seccomp_profile_admission_writes_total",
            "Writes of the certificate authorities, by where they are. Only the leader writes the \
             Secret and the configuration about profiles; a replica that lacks its authority in the one about pods copies \
             it there.",
        );
        let failed = Opts::new(
            "seccomp_profile_admission_failed_writes_total",
            "Such writes that the API server refused or did not answer.",
        );
        let trusted = Opts::new(
            "seccomp_profile_admission_trusted",
            "1 if the webhook configuration contains the authority of this replica's certificate; otherwise the API server \
             cannot call it, and the replica is not ready.",
        );
        let expires = Opts::new(
            "seccomp_profile_admission_certificate_expiry_timestamp_seconds",
            "When this replica's certificate expires; 0 before it has one, and where another program makes it, while the API \
             server does not trust it.",
        );
        Ok(Self {
            watches: Watches::of_kinds(registry, kinds)?,
            containers: Counters::new(registry, containers, "outcome")?,
            requests: Counters::new(registry, requests, "outcome")?,
            writes: Counters::new(registry, writes, "object")?,
            failed_writes: Counters::new(registry, failed, "object")?,
            trusted: register(registry, IntGauge::with_opts(trusted)?)?,
            expires: register(registry, Gauge::with_opts(expires)?)?,
        })
    }

    /// Whether the API server trusts this replica, and when its certificate expires.
    pub fn trusted(&self, trusted: bool, expires: Option<UnixTime>) {
        self.trusted.set(i64::from(trusted));
        self.expires.set(expires.map_or(0.0, |expires| expires.0 as f64));
    }
}
