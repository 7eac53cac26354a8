//! Answers for one pod, in a bounded time.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use futures::future::join_all;
use registry::Reference;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::choice::{Brings, Image, Why};
use super::logins::{Logins, PullSecrets, Readable};
use super::lookup::{Lookup, too_late};
use super::objects::{NoObject, Objects};
use super::oci::Oci;
use super::oci::artifact::Base;
use super::plan::{Fact, plan};
use super::pod::{About, Container, Pod};
use super::settings::ImageOptions;
use super::templates;
use crate::metrics::Metrics;
use crate::review::{Question, Verdict};

/// The namespace whose pods are never changed, besides our own: the cluster must come up without a registry.
const SYSTEM: &str = "kube-system";

/// The most architectures that are looked at for one pod.
const MOST_ARCHITECTURES: usize = 8;

/// Answers for pods.
#[derive(Debug)]
pub struct Images {
    options: ImageOptions,
    namespace: String,
    secrets: PullSecrets,
    lookup: Lookup,
    objects: Arc<Objects>,
    oci: Oci,
    metrics: Metrics,
}

/// Whether the runtime may get profiles in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// It may.
    All,
    /// It may not: the namespace's PodSecurity refuses the type.
    Files,
}

/// For whom registries are asked, and until when.
struct Asker<'a> {
    namespace: &'a str,
    logins: Result<Logins, Why>,
    architectures: Vec<String>,
    deadline: Instant,
}

impl Images {
    /// Answers with these options. `namespace` is our own.
    #[must_use]
    pub fn new(
        options: ImageOptions,
        namespace: String,
        client: kube::Client,
        lookup: Lookup,
        objects: Arc<Objects>,
        oci: Oci,
        metrics: Metrics,
    ) -> Self {
        let readable = match options.secrets_everywhere {
            true => Readable::Everywhere,
            false => Readable::In(options.secrets_in.iter().cloned().collect::<BTreeSet<_>>()),
        };
        let secrets = PullSecrets::new(client, readable);
        Self { options, namespace, secrets, lookup, objects, oci, metrics }
    }

    /// The verdict about a pod.
    pub async fn verdict(&self, question: &Question, forms: Forms) -> Verdict {
        let about = match (&question.subresource[..], &question.old_spec) {
            ("", _) => About::NewPod,
            ("ephemeralcontainers", Some(old)) => About::Ephemeral(old),
            _ => return Verdict::default(),
        };
        let Some(spec) = self.spec_outside(question) else { return Verdict::default() };
        let pod = match Pod::of(spec, about) {
            Ok(pod) if !pod.containers.is_empty() => pod,
            Ok(_) => return Verdict::default(),
            // The API server refuses it with a better message.
            Err(error) => {
                debug!(%error, "a pod that cannot be read");
                return Verdict::default();
            }
        };
        let asker = self.asker(question, &pod).await;
        // It is asked of all nodes, and only where an image has an artifact.
        let base =
            LazyLock::new(|| (forms == Forms::All && self.oci.is_for(spec)).then(|| self.options.base()));
        let base = || base.as_ref();
        let facts =
            pod.containers.iter().map(|container| self.fact(container, &asker, &base, question.dry_run));
        let facts = join_all(facts).await;
        let found: Vec<_> = pod.containers.into_iter().zip(facts).collect();
        let plan = plan(&found, self.options.unusable, self.options.unknown, &self.options.directory);
        for fate in plan.fates {
            self.metrics.containers.of(fate).inc();
        }
        plan.verdict
    }

    /// The verdict about an object with a template of pods.
    pub async fn template_verdict(&self, question: &Question) -> Verdict {
        let Some(spec) = self.spec_outside(question).filter(|_| !question.has_controller) else {
            return Verdict::default();
        };
        let pod = match templates::changed(spec, question.old_spec.as_ref()) {
            Ok(Some(pod)) => pod,
            Ok(None) => return Verdict::default(),
            Err(error) => {
                debug!(%error, "a template that cannot be read");
                return Verdict::default();
            }
        };
        let asker = self.asker(question, &pod).await;
        let found = pod.containers.iter().map(|container| async {
            let (reference, image) = self.image(container, &asker).await?;
            Ok(reference.pinned(image.digest.clone()))
        });
        let found = join_all(found).await;
        templates::plan(&pod.containers.into_iter().zip(found).collect::<Vec<_>>())
    }

    /// The `spec` of an object, unless it is in a namespace that is left alone.
    fn spec_outside<'a>(&self, question: &'a Question) -> Option<&'a Value> {
        let namespace = question.namespace.as_deref().unwrap_or_default();
        let is_ours = namespace == SYSTEM || namespace == self.namespace;
        question.spec.as_ref().filter(|_| !is_ours)
    }

    async fn asker<'a>(&self, question: &'a Question, pod: &Pod) -> Asker<'a> {
        let namespace = question.namespace.as_deref().unwrap_or_default();
        let deadline = Instant::now() + self.options.images_time;
        let logins = self.logins(namespace, pod, deadline).await;
        Asker { namespace, logins, architectures: self.architectures(pod), deadline }
    }

    async fn logins(&self, namespace: &str, pod: &Pod, deadline: Instant) -> Result<Logins, Why> {
        let logins = timeout_at(deadline, self.secrets.logins(namespace, &pod.pull_secrets)).await;
        logins.unwrap_or_else(|_| {
            let message = "the pull secrets could not be read in time".to_owned();
            Err(Why { reason: "PullSecretNotRead", message })
        })
    }

    /// The architectures that a pod can land on: those that it names, or those of the nodes.
    fn architectures(&self, pod: &Pod) -> Vec<String> {
        match &pod.architectures {
            Some(named) => named.iter().take(MOST_ARCHITECTURES).cloned().collect(),
            None => {
                let all: BTreeSet<_> = self.options.architectures.iter().map(|it| it.name()).collect();
                all.into_iter().map(str::to_owned).collect()
            }
        }
    }

    /// What a container names, and what is known of that.
    async fn image(&self, container: &Container, asker: &Asker<'_>) -> Result<(Reference, Arc<Image>), Why> {
        let Asker { namespace, architectures, deadline, .. } = asker;
        let logins = asker.logins.as_ref().map_err(Why::clone)?;
        let reference = Reference::parse(&container.image)
            .map_err(|error| Why { reason: error.reason(), message: error.to_string() })?;
        let keyring = &logins.keyring;
        let image = self.lookup.image(namespace, &reference, keyring, architectures, &container.name);
        match timeout_at(*deadline, image).await.unwrap_or_else(|_| Err(too_late())) {
            Ok(image) => Ok((reference, image)),
            Err(mut why) => {
                if logins.may_lack_some {
                    why.message += " (the pull secrets of this namespace are not read)";
                }
                Err(why)
            }
        }
    }

    /// What is known of a container's image. `base` answers where the runtime may get its profile.
    async fn fact<'b>(
        &self,
        container: &Container,
        asker: &Asker<'_>,
        base: &(impl Fn() -> Option<&'b Base> + Sync),
        dry_run: bool,
    ) -> Fact {
        let (reference, image) = match self.image(container, asker).await {
            Ok(found) => found,
            Err(why) => return Fact::Unknown(why),
        };
        let Image { digest, brings, artifact } = &*image;
        let pinned = reference.pinned(digest.clone());
        if let (Brings::Profile { .. }, Some(artifact)) = (brings, artifact)
            && let Some(base) = base()
        {
            return Fact::Artifact { pinned, profile: artifact.seccomp_profile(base) };
        }
        match brings {
            Brings::Nothing => Fact::Nothing { pinned },
            Brings::Unusable(why) => Fact::Unusable { pinned, why: why.clone() },
            Brings::Differing(why) => Fact::Unavailable { pinned, why: why.clone() },
            // The profile that it would get; a dry run creates nothing.
            Brings::Profile { profile, .. } if dry_run => {
                Fact::Profile { pinned, name: profile.name.clone() }
            }
            Brings::Profile { profile, place } => {
                let image = pinned.to_string();
                let late = |_| {
                    let message = "its profile could not be created in time".to_owned();
                    Err(NoObject::Unavailable(Why { reason: "RequestFailed", message }))
                };
                let ensured = timeout_at(asker.deadline, self.objects.ensure(profile, &image, place)).await;
                match ensured.unwrap_or_else(late) {
                    Ok(()) => Fact::Profile { pinned, name: profile.name.clone() },
                    Err(NoObject::Unavailable(why)) => Fact::Unavailable { pinned, why },
                    Err(NoObject::Refused(why)) => Fact::Unusable { pinned, why },
                }
            }
        }
    }
}
