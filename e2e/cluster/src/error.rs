//! What can go wrong with a cluster.

use std::path::PathBuf;

use xtask::build_images::BuildImagesError;
use xtask::command::CommandError;
use xtask::files::FileError;
use xtask::programs::ProgramsError;
use xtask::step::StepError;

use crate::doctor::Missing;
use crate::wait::WaitError;
use crate::{CgroupError, LockError, NoSuchNode, NodeId, PkiError, ProcessError};

/// A cluster that does not start, stop or answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// This machine cannot run it.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A kind cluster needs Docker.
    #[error("a kind cluster needs Docker, and none answers: {0}")]
    NoDocker(#[source] CommandError),
    /// Its programs do not build.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// The images do not build.
    #[error(transparent)]
    Images(#[from] BuildImagesError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program that should do one thing and end failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A daemon failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A cgroup failed.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A condition did not become true in time, or a signal arrived.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Another process is about to start or end a cluster.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A name that is not a node's.
    #[error(transparent)]
    NoSuchNode(#[from] NoSuchNode),
    /// A step of starting or ending it failed.
    #[error(transparent)]
    Step(Box<StepError<ClusterError>>),
    /// The check of the machine failed.
    #[error(transparent)]
    Check(#[from] StepError<Missing>),
    /// There is no cluster to attach to.
    #[error("there is no cluster in {}; start one with `up`", .0.display())]
    NoCluster(PathBuf),
    /// The chart is installed on the external cluster already.
    #[error("the chart is installed on that cluster already; --no-chart uses it as it is")]
    Installed,
    /// The state directory holds something else.
    #[error("{} holds something that is not a cluster's state; it stays. Name another directory in SECCOMP_E2E_DIR", .0.display())]
    ForeignDirectory(PathBuf),
    /// The demo would overwrite objects on an external cluster.
    #[error("the cluster has {0} already, which the demo would overwrite and delete")]
    InTheWay(String),
    /// There are as many nodes as there can be.
    #[error("there are {max} nodes already, which is the most", max = NodeId::MAX)]
    Full,
}

impl From<StepError<ClusterError>> for ClusterError {
    fn from(error: StepError<ClusterError>) -> Self {
        ClusterError::Step(Box::new(error))
    }
}
