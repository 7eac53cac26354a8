//! What is known before a workload learns, and whether it can.

use std::collections::BTreeSet;

use api::{ProfileName, WatchedPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use profile::Profile;
use serde_json::{Value, json};
use syscalls::Syscall;

use super::args::{WorkloadArgs, WorkloadName};
use super::base::{Base, names};
use super::cluster::{Cluster, Learners};
use super::contents::{self, ContentsError};
use super::error::WorkloadError;
use super::requests::{FOR, FROM_LEARNED, FROM_LEARNING, Place, is_from, of_workload, profile_object};
use super::template::{self, Present, Stored, Target};
use crate::error::CliError;
use crate::outdated::Workload;
use crate::owner::Owner;
use crate::read;
use crate::setting::ArchitectureOption;
use crate::started_by::{StartedBy, started_by};
use crate::users;

/// A workload that can learn.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) workload: WorkloadName,
    /// Where it is.
    pub(super) place: Place,
    /// Its name, for people.
    pub(super) title: String,
    pub(super) target: Target,
    pub(super) learners: Learners,
    pub(super) base: Base,
    /// The result's name.
    pub(super) name: ProfileName,
    /// The name of the profile that logs.
    pub(super) learning: ProfileName,
    pub(super) architecture: ArchitectureOption,
    /// The calls that runtimes make themselves.
    pub(super) by_runtime: BTreeSet<Syscall>,
    /// What an earlier run has learned, of the result and of the profile that logs.
    pub(super) earlier: BTreeSet<String>,
    /// The stored result of an earlier run.
    pub(super) existing: Option<Value>,
    /// The workload as it was read.
    pub(super) found: Value,
    /// Whether an earlier run was not ended.
    pub(super) is_continued: bool,
    /// The version of the present profile, if that is one of ours.
    present: Option<(String, Version)>,
}

/// The uid and the generation of an object: its spec is the same as long as these are.
type Version = (Option<String>, Option<i64>);

/// Where the profile and its workload are, by the options.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) namespace: String,
    pub(super) title: String,
    pub(super) place: Place,
    pub(super) learning: ProfileName,
}

impl Names {
    /// The names that follow from the options.
    ///
    /// # Errors
    /// They are too long, or no names.
    pub(super) fn of(
        client: &Client,
        args: &WorkloadArgs,
        name: &ProfileName,
        workload: &WorkloadName,
    ) -> Result<Self, WorkloadError> {
        let namespace = args.namespace.as_deref().unwrap_or(client.default_namespace()).to_owned();
        let title = format!("{} {namespace}/{}", workload.group_kind(), workload.name);
        if !ProfileName::is_valid(&namespace) {
            return Err(WorkloadError::Missing(title));
        }
        let learning = format!("{name}{}", template::SUFFIX)
            .parse()
            .map_err(|_| WorkloadError::TooLong(name.to_string()))?;
        Ok(Self { place: Place::workload(&namespace, workload), namespace, title, learning })
    }

    /// The workload.
    ///
    /// # Errors
    /// It does not exist, or cannot be read.
    pub(super) async fn read(&self, client: &Client) -> Result<Value, CliError> {
        Ok(self.place.get(client).await?.ok_or_else(|| WorkloadError::Missing(self.title.clone()))?)
    }
}

impl Plan {
    /// Reads what is there.
    ///
    /// # Errors
    /// The workload cannot learn, or the cluster cannot be read.
    pub(super) async fn read(
        client: &Client,
        args: &WorkloadArgs,
        (name, workload): (&ProfileName, &WorkloadName),
        (runtimes, architecture): (&[StartedBy], ArchitectureOption),
    ) -> Result<Self, CliError> {
        let Names { namespace, title, place, learning } = Names::of(client, args, name, workload)?;
        let found = place.get(client).await?.ok_or_else(|| WorkloadError::Missing(title.clone()))?;
        if let Some(why) = workload.kind.obstacle(&of_workload(&found)) {
            return Err(WorkloadError::Obstacle(title, why).into());
        }
        let stored = Stored::of(&found)?;
        if let Some(stored) = stored.as_ref().filter(|stored| stored.profile != learning.as_str()) {
            return Err(WorkloadError::OtherRun(stored.profile.clone()).into());
        }
        let profile = Self::existing(client, name, FROM_LEARNED, name).await?;
        let snapshot = read::snapshot(client, None).await?;
        let directory = users::directory(&snapshot.profiles, &snapshot.nodes);
        let target = Target::of(args.only.as_deref());
        let containers = template::containers(&template::restored(&found)?, &target, &directory)?;
        let ours = match &containers.present {
            Present::Ours(present) if present == name => {
                return Err(WorkloadError::Learned(name.to_string()).into());
            }
            Present::Ours(present) if !args.from_unconfined => {
                Some(read::profile(client, present.as_str()).await?)
            }
            _ => None,
        };
        let spec = ours.as_ref().map(|it| &it.spec);
        let base = Base::of(&containers, spec, args.from_unconfined, architecture)?;
        let escalations: BTreeSet<bool> = containers.privilege_escalation.iter().copied().collect();
        let by_runtime: BTreeSet<_> =
            escalations.into_iter().flat_map(|it| started_by(runtimes, it)).collect();
        let logging = Self::existing(client, &learning, FROM_LEARNING, name).await?;
        let other = logging.as_ref().and_then(|it| it["metadata"]["annotations"][FOR].as_str());
        if let Some(other) = other.filter(|other| *other != title) {
            return Err(WorkloadError::Busy { other: other.to_owned() }.into());
        }
        let mut earlier = BTreeSet::new();
        for object in [&profile, &logging].into_iter().flatten() {
            let contents = contents_of(object)?;
            earlier.extend(contents::allowed_by_rule(&contents).into_iter().map(str::to_owned));
        }
        // Every profile of a learning permits them: nobody has learned them.
        for name in names(&by_runtime) {
            earlier.remove(name);
        }
        let learners = Learners {
            workload: Workload { namespace, kind: workload.group_kind(), name: workload.name.clone() },
            profile: learning.to_string(),
            directory,
        };
        let plan = Self {
            workload: workload.clone(),
            place,
            title,
            target,
            learners,
            base,
            name: name.clone(),
            learning,
            architecture,
            by_runtime,
            earlier,
            existing: profile,
            found,
            is_continued: stored.is_some(),
            present: ours.map(|it| (it.metadata.name.clone().unwrap_or_default(), version(&it.metadata))),
        };
        plan.check_existing()?;
        Ok(plan)
    }

    /// An object that `learn` has made; `None` if there is none of this name.
    async fn existing(
        client: &Client,
        name: &ProfileName,
        from: &str,
        profile: &ProfileName,
    ) -> Result<Option<Value>, CliError> {
        let found = Place::profile(name.as_str()).get(client).await?;
        match found {
            Some(found) if !is_from(&found, from) => {
                Err(WorkloadError::Foreign { name: name.to_string(), profile: profile.to_string() }.into())
            }
            found => Ok(found),
        }
    }

    /// Whether the profiles are as they were read from which the result follows.
    ///
    /// # Errors
    /// They are not, or cannot be read.
    pub(super) async fn check_profiles(&self, client: &Client) -> Result<(), CliError> {
        if let Some((name, before)) = &self.present
            && version(&read::profile(client, name).await?.metadata) != *before
        {
            return Err(WorkloadError::ProfileChanged(name.clone()).into());
        }
        match Place::profile(self.name.as_str()).get(client).await? {
            found if is_same(found.as_ref(), self.existing.as_ref()) => Ok(()),
            _ => Err(WorkloadError::ProfileChanged(self.name.to_string()).into()),
        }
    }

    /// Whether the result will permit what it permits now.
    fn check_existing(&self) -> Result<(), WorkloadError> {
        let Some(existing) = &self.existing else { return Ok(()) };
        let existing = contents_of(existing)?;
        let new = self.learned(&BTreeSet::new())?;
        match Base::missing(&existing, &new, self.architecture) {
            Some(call) => Err(WorkloadError::Narrower { name: self.name.to_string(), call }),
            None => Ok(()),
        }
    }

    /// The calls of which earlier runs have learned.
    pub(super) fn known(&self) -> BTreeSet<Syscall> {
        self.earlier.iter().filter_map(|name| Syscall::from_name(name)).collect()
    }

    fn names<'p>(&'p self, calls: &BTreeSet<Syscall>) -> BTreeSet<&'p str> {
        let earlier = self.earlier.iter().map(String::as_str);
        earlier.chain(names(calls)).chain(names(&self.by_runtime)).collect()
    }

    /// The profile that logs all but these calls.
    pub(super) fn logging(&self, calls: &BTreeSet<Syscall>) -> Result<Value, WorkloadError> {
        let contents = contents::learning(&self.base.profile, &self.names(calls))?;
        Ok(self.object(&self.learning, FROM_LEARNING, &contents, &self.base.more))
    }

    /// The profile that permits these calls.
    pub(super) fn learned(&self, calls: &BTreeSet<Syscall>) -> Result<Profile, WorkloadError> {
        Ok(contents::learned(&self.base.profile, &self.names(calls))?)
    }

    /// The result as an object. An existing one may have other users: it stays on its nodes, and reports as it did.
    pub(super) fn result(&self, profile: &Profile) -> Value {
        let more = self.existing.as_ref().map_or(&self.base.more, |existing| &existing["spec"]);
        self.object(&self.name, FROM_LEARNED, profile, more)
    }

    fn object(&self, name: &ProfileName, from: &str, contents: &Profile, more: &Value) -> Value {
        let mut spec = more.clone();
        spec["contents"] = json!(contents);
        profile_object(name.as_str(), from, &self.title, spec)
    }

    /// What a pod names the file of a profile.
    pub(super) fn path(&self, name: &ProfileName) -> String {
        name.localhost_profile(&self.learners.directory)
    }

    /// The state of the cluster now.
    ///
    /// # Errors
    /// It cannot be read, or the pods of a Deployment cannot be found.
    pub(super) async fn cluster(&self, client: &Client) -> Result<Cluster, CliError> {
        let namespace = Some(self.learners.workload.namespace.as_str());
        let of_set =
            |pod: &WatchedPod| Owner::of(&pod.metadata).is_some_and(|owner| owner.kind.is_replica_set());
        let read::Observations { observed, pods, owners, unread } =
            read::observations(client, namespace, |pod| pod, of_set).await?;
        match unread.first() {
            Some(unread) => Err(WorkloadError::ReplicaSets(unread.message.clone()).into()),
            None => Ok(Cluster { observed, pods, owners, observers: read::observers(client).await? }),
        }
    }

    /// Whether all its pods are on nodes that are observed.
    pub(super) fn check_observers(&self, cluster: &Cluster) -> Result<(), WorkloadError> {
        let nodes: BTreeSet<_> =
            cluster.pods_of(&self.learners.workload).filter_map(|pod| pod.spec.node()).collect();
        if nodes.is_empty() {
            return Err(WorkloadError::NoPods(self.title.clone()));
        }
        let blind: Vec<_> = nodes.into_iter().filter_map(|node| cluster.blindness(node)).collect();
        if blind.is_empty() { Ok(()) } else { Err(WorkloadError::NotObserved(blind)) }
    }
}

fn version(metadata: &ObjectMeta) -> Version {
    (metadata.uid.clone(), metadata.generation)
}

/// Whether an object has the spec that it had, or still does not exist.
pub(super) fn is_same(now: Option<&Value>, before: Option<&Value>) -> bool {
    let version = |it: &Value| ["uid", "generation"].map(|field| it["metadata"][field].clone());
    now.map(version) == before.map(version)
}

/// The profile of a stored object.
fn contents_of(object: &Value) -> Result<Profile, WorkloadError> {
    Ok(Profile::from_value(&object["spec"]["contents"]).map_err(ContentsError::from)?)
}
