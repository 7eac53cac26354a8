//! Asks registries what images bring, once for equal questions.
//!
//! The logins are a part of the question: what one namespace's secret opened is never the answer to another that has
//! other ones.
//!
//! Who asks for much leaves something to others: a namespace and a registry have a share of all questions, and of those of
//! a namespace a registry has one. A registry that takes questions and does not answer uses up its own share.

use std::sync::Arc;
use std::time::Duration;

use registry::{
    Bounds, Cache, Carried, Client, Depth, FindError, Finder, Fingerprint, Keep, Keyring, Reference,
    RegistryError, Unsigned,
};
use tokio::sync::Semaphore;

use super::choice::{Brings, Image, Why, choose};
use super::oci::artifact::Artifact;
use super::shares::Shares;
use super::signatures::SignaturePolicy;

/// How long it is remembered which digest a tag has, and what it brings.
const OF_TAG: Duration = Duration::from_mins(1);
/// How long it is remembered what a digest brings. A profile may be attached later.
const OF_DIGEST: Duration = Duration::from_mins(5);
/// How long it is remembered that a profile is not signed, or not by one of the keys: it is signed after it was attached.
const OF_SIGNATURE: Duration = Duration::from_secs(15);
/// How long it is remembered that an image cannot be looked at.
const OF_FAILURE: Duration = Duration::from_secs(5);
/// The bounds of what is remembered.
const BOUNDS: Bounds = Bounds { number: 10_000, bytes: 12 * 1024 * 1024 };
/// What an entry takes besides its texts, about.
const ENTRY: usize = 500;
/// How many images are asked for at once.
const ASKING: usize = 32;
/// How many of those are of one registry.
const OF_REGISTRY: usize = 16;
/// How many of those are for one namespace.
const OF_NAMESPACE: usize = 16;
/// How many of those for one namespace are of one registry. It is less than a registry's share, so that no namespace uses up
/// that of a registry: an image may name an artifact of another registry, which does not answer.
const OF_BOTH: usize = 8;
/// How many profiles are computed at once.
const NARROWING: usize = 2;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    reference: Reference,
    logins: Fingerprint,
    architectures: Vec<String>,
    /// CRI-O's annotations may name it.
    container: String,
}

/// Looks at images.
#[derive(Debug)]
pub struct Lookup {
    client: Client,
    signatures: Option<SignaturePolicy>,
    answers: Cache<Key, Result<Arc<Image>, Why>>,
    asking: Semaphore,
    of_registry: Shares<String>,
    of_namespace: Shares<String>,
    of_both: Shares<(String, String)>,
    narrowing: Arc<Semaphore>,
}

impl Lookup {
    /// One that asks by this client, for profiles that are signed as the policy says.
    #[must_use]
    pub fn new(client: Client, signatures: Option<SignaturePolicy>) -> Self {
        Self {
            client,
            signatures,
            answers: Cache::new(BOUNDS),
            asking: Semaphore::new(ASKING),
            of_registry: Shares::new(OF_REGISTRY),
            of_namespace: Shares::new(OF_NAMESPACE),
            of_both: Shares::new(OF_BOTH),
            narrowing: Arc::new(Semaphore::new(NARROWING)),
        }
    }

    /// What an image brings to a container of this name in this namespace, on nodes of these architectures.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub async fn image(
        &self,
        namespace: &str,
        reference: &Reference,
        keyring: &Keyring,
        architectures: &[String],
        container: &str,
    ) -> Result<Arc<Image>, Why> {
        let key = Key {
            reference: reference.clone(),
            logins: keyring.fingerprint(),
            architectures: architectures.to_vec(),
            container: container.to_owned(),
        };
        if let Some(answer) = self.answers.kept(&key) {
            return answer;
        }
        let load = async || self.look(reference, keyring, architectures, container).await;
        let answer = self.answers.get(key, load, |answer| keep(reference, answer));
        // Before it is known that somebody asks: whoever asks the same in another namespace does not wait for this share.
        let registry = reference.repository().host();
        let of_both = (namespace.to_owned(), registry.to_owned());
        self.of_both.within(of_both, self.of_namespace.within(namespace.to_owned(), answer)).await
    }

    async fn look(
        &self,
        reference: &Reference,
        keyring: &Keyring,
        architectures: &[String],
        container: &str,
    ) -> Result<Arc<Image>, Why> {
        let found = async {
            let _permit = self.asking.acquire().await;
            let keys = self.signatures.as_ref().and_then(|it| it.keys_for(reference.repository()));
            let finder = Finder { client: &self.client, logins: keyring, depth: Depth::First, keys };
            let carried = finder.find(reference, architectures, Some(container)).await;
            let carried = carried
                .map_err(|error: FindError| Why { reason: error.reason(), message: error.to_string() })?;
            // It holds its place meanwhile: what was found is in memory until it is computed.
            self.narrowed(carried).await
        };
        self.of_registry.within(reference.repository().host().to_owned(), found).await
    }

    async fn narrowed(&self, carried: Carried) -> Result<Arc<Image>, Why> {
        let digest = carried.digest.clone();
        let permit = Arc::clone(&self.narrowing).acquire_owned().await;
        let chosen = tokio::task::spawn_blocking(move || {
            let chosen = choose(&carried).map(|brings| (brings, Artifact::of(&carried)));
            // Not before: one that is not awaited any more still uses a processor.
            drop(permit);
            chosen
        });
        let failed = |_| Why { reason: "Failed", message: "its profile could not be computed".to_owned() };
        let (brings, artifact) = chosen.await.map_err(failed)??;
        Ok(Arc::new(Image { digest, brings, artifact }))
    }
}

/// For how long an answer is remembered, and what it counts.
fn keep(reference: &Reference, answer: &Result<Arc<Image>, Why>) -> Keep {
    let texts = match answer {
        Ok(image) => match &image.brings {
            Brings::Nothing => 0,
            // The contents as a tree take some times more than their text.
            Brings::Profile(profile) => {
                8 * profile.length + image.artifact.as_ref().map_or(0, Artifact::length)
            }
            Brings::Unusable(why) | Brings::Differing(why) => why.message.len(),
        },
        Err(why) => why.message.len(),
    };
    let time = match (answer, reference.digest()) {
        (Err(_), _) => OF_FAILURE,
        (Ok(image), _) if is_unsigned(image) => OF_SIGNATURE,
        (Ok(_), Some(_)) => OF_DIGEST,
        (Ok(_), None) => OF_TAG,
    };
    Keep { time, bytes: ENTRY + texts }
}

fn is_unsigned(image: &Image) -> bool {
    matches!(&image.brings, Brings::Unusable(why) if Unsigned::REASONS.contains(&why.reason))
}

/// Why an image cannot be looked at whose registry has not answered within the time of a request.
#[must_use]
pub fn too_late() -> Why {
    let error = RegistryError::Timeout;
    Why { reason: error.reason(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use futures::future::{Either, join_all, select, select_all};
    use registry::testing::{RunningRegistry, TestRegistry};
    use registry::{Limits, PullSecret, Reach};

    use super::*;

    const READS: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","bpf"],"action":"SCMP_ACT_ALLOW"}]}"#;

    fn lookup(registry: &RunningRegistry) -> Lookup {
        asking(&[registry.port()])
    }

    fn asking(ports: &[u16]) -> Lookup {
        let names: std::collections::BTreeSet<_> =
            ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let reach = Reach { plain: names.clone(), inside: names, networks: Vec::new() };
        // So long that no question ends by it, however busy the machine is.
        let time = Duration::from_mins(10);
        let limits = Limits { time, connect: time };
        let roots = std::iter::empty::<rustls::pki_types::CertificateDer<'_>>();
        Lookup::new(Client::new(reach, limits, roots).unwrap(), None)
    }

    fn image(registry: &RunningRegistry, tag: &str) -> Reference {
        Reference::parse(&format!("127.0.0.1:{}/team/app:{tag}", registry.port())).unwrap()
    }

    fn amd64() -> Vec<String> {
        vec!["amd64".to_owned()]
    }

    #[tokio::test]
    async fn of_equal_questions_at_once_and_later_the_registry_is_asked_one() {
        let mut registry = TestRegistry::new("team/app");
        for tag in 0..20 {
            registry.labelled(&tag.to_string(), "amd64", Some(READS));
        }
        let registry = registry.start().await;
        let (lookup, keyring, architectures) = (lookup(&registry), Keyring::default(), amd64());
        for _ in 0..2 {
            let questions = (0..500).map(|pod| {
                let image = image(&registry, &(pod % 20).to_string());
                let (lookup, keyring, architectures) = (&lookup, &keyring, &architectures);
                async move { lookup.image("shop", &image, keyring, architectures, "main").await }
            });
            let answers = join_all(questions).await;
            assert!(answers.iter().all(|it| matches!(&it.as_ref().unwrap().brings, Brings::Profile(_))));
        }
        for tag in 0..20 {
            let path = format!("200 /v2/team/app/manifests/{tag}");
            let count = registry.asked().iter().filter(|it| **it == path).count();
            assert_eq!(count, 1, "{path}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_does_not_answer_keeps_neither_its_own_namespace_nor_another_from_asking_others()
    {
        let mut registry = TestRegistry::new("team/app");
        for namespace in ["shop", "other"] {
            registry.labelled(namespace, "amd64", Some(READS));
        }
        let registry = registry.start().await;
        // The kernel takes connections, and nobody answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let (lookup, keyring, architectures) =
            (asking(&[registry.port(), port]), Keyring::default(), amd64());
        let look = async |namespace: &str, image: Reference| {
            lookup.image(namespace, &image, &keyring, &architectures, "main").await
        };
        let unanswered = (0..200).map(|container| {
            let image = format!("127.0.0.1:{port}/team/app:{container}");
            Box::pin(look("shop", Reference::parse(&image).unwrap()))
        });
        let mut unanswered = select_all(unanswered);
        for namespace in ["shop", "other"] {
            let answer = std::pin::pin!(look(namespace, image(&registry, namespace)));
            match select(unanswered, answer).await {
                Either::Left(_) => panic!("a question to the silent registry ended first, by its time"),
                Either::Right((answer, others)) => {
                    assert!(matches!(answer.unwrap().brings, Brings::Profile(_)), "{namespace}");
                    unanswered = others;
                }
            }
        }
    }

    #[tokio::test]
    async fn what_one_login_opened_is_never_the_answer_to_another() {
        let mut registry = TestRegistry::new("team/app").with_login("user", "pass");
        let digest = registry.labelled("1", "amd64", Some(READS));
        let registry = registry.start().await;
        let (lookup, image) = (lookup(&registry), image(&registry, "1"));
        let keyring = |password: &str| {
            let host = format!("127.0.0.1:{}", registry.port());
            let text = format!(r#"{{"auths":{{"{host}":{{"username":"user","password":"{password}"}}}}}}"#);
            Keyring::new(&[PullSecret::DockerConfigJson(text.as_bytes())]).unwrap()
        };
        let opened = lookup.image("shop", &image, &keyring("pass"), &amd64(), "main").await.unwrap();
        assert_eq!(opened.digest, digest);
        for other in [Keyring::default(), keyring("other")] {
            let why = lookup.image("shop", &image, &other, &amd64(), "main").await.unwrap_err();
            assert_eq!(why.reason, "RegistryUnauthorized");
        }
    }

    #[test]
    fn that_a_profile_is_not_signed_is_remembered_for_a_quarter_of_a_minute() {
        let digest = registry::Digest::of(b"image");
        let by_digest = Reference::parse(&format!("registry.example/app@{digest}")).unwrap();
        let time = |reason: &'static str| {
            let brings = Brings::Unusable(Why { reason, message: String::new() });
            keep(&by_digest, &Ok(Arc::new(Image { digest: digest.clone(), brings, artifact: None }))).time
        };
        assert_eq!(time(Unsigned::Bare(digest.clone()).reason()), Duration::from_secs(15));
        assert_eq!(time("SignatureInvalid"), Duration::from_secs(15));
        assert_eq!(time("ProfileNotJson"), OF_DIGEST);
    }

    #[tokio::test]
    async fn an_image_without_a_profile_has_a_digest_and_one_that_is_not_there_a_reason() {
        let mut registry = TestRegistry::new("team/app");
        let digest = registry.labelled("1", "amd64", None);
        let registry = registry.start().await;
        let (lookup, keyring) = (lookup(&registry), Keyring::default());
        let found = lookup.image("shop", &image(&registry, "1"), &keyring, &amd64(), "main").await.unwrap();
        assert_eq!(*found, Image { digest, brings: Brings::Nothing, artifact: None });
        let why = lookup.image("shop", &image(&registry, "2"), &keyring, &amd64(), "main").await.unwrap_err();
        assert_eq!(why.reason, "RegistryNotFound");
    }
}
