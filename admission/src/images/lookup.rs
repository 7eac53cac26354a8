//! Asks registries what images bring, once for equal questions.
//!
//! The logins are a part of the question: what one namespace's secret opened is never the answer to another that has
//! other ones.
//!
//! Who asks for much leaves something to others: a namespace and a registry have a share of all questions, and of those of
//! a namespace a registry has one. A registry that takes questions and does not answer uses up its own share.
//!
//! All look at once at images of an ordinary size ([`Sizes::ORDINARY`]). What is larger is looked at again from the start, by
//! few at once, one for a namespace and one of a registry: a manifest may have 4 MiB, and what all hold together has to fit
//! into the memory of the program. Who waits for that takes no place of an ordinary image.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use registry::{
    Bounds, Cache, Carried, Client, Depth, FindError, Finder, Fingerprint, Keep, Keyring, Reference,
    RegistryError, Shared, Sizes, Unsigned,
};
use tokio::sync::Semaphore;

use super::choice::{Brings, Image, Why, choose};
use super::narrowing::Narrowing;
use super::oci::artifact::Artifact;
use super::profiles::{Profiles, Source};
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
/// The bounds of what is remembered. With so many images, a fifth of the bytes is left for the profiles that they share: some
/// three hundred of the usual ones, of three to four kilobytes.
const BOUNDS: Bounds = Bounds { number: 10_000, bytes: 6 * 1024 * 1024 };
/// What an entry takes besides its texts, about.
const ENTRY: usize = 500;
/// What a profile takes besides its contents, about.
const PROFILE: usize = 250;
/// How many images are asked for at once.
const ASKING: usize = 32;
/// How many of those are of one registry.
const OF_REGISTRY: usize = 16;
/// How many of those are for one namespace.
const OF_NAMESPACE: usize = 16;
/// How many of those for one namespace are of one registry. It is less than a registry's share, so that no namespace uses up
/// that of a registry: an image may name an artifact of another registry, which does not answer.
const OF_BOTH: usize = 8;
/// How many images that are larger than ordinary ones are looked at at once.
const LARGE: usize = 2;
/// How many of those are of one registry.
const LARGE_OF_REGISTRY: usize = 1;
/// How many of those are for one namespace, which may name any number of registries.
const LARGE_OF_NAMESPACE: usize = 1;
/// Looks at images.
#[derive(Debug)]
pub struct Lookup {
    client: Client,
    signatures: Option<SignaturePolicy>,
    /// By question: the hash of all that the answer depends on takes less memory than that itself.
    answers: Cache<Fingerprint, Result<Arc<Image>, Box<Why>>>,
    profiles: Arc<Profiles>,
    asking: Semaphore,
    of_registry: Shares<String>,
    of_namespace: Shares<String>,
    of_both: Shares<(String, String)>,
    large: Semaphore,
    large_of_registry: Shares<String>,
    large_of_namespace: Shares<String>,
    narrowing: Narrowing,
}

impl Lookup {
    /// One that asks by this client, for profiles that are signed as the policy says.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(client: Client, signatures: Option<SignaturePolicy>) -> io::Result<Self> {
        Ok(Self {
            client,
            signatures,
            answers: Cache::new(BOUNDS),
            profiles: Arc::default(),
            asking: Semaphore::new(ASKING),
            of_registry: Shares::new(OF_REGISTRY),
            of_namespace: Shares::new(OF_NAMESPACE),
            of_both: Shares::new(OF_BOTH),
            large: Semaphore::new(LARGE),
            large_of_registry: Shares::new(LARGE_OF_REGISTRY),
            large_of_namespace: Shares::new(LARGE_OF_NAMESPACE),
            narrowing: Narrowing::new()?,
        })
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
        let named = reference.to_string();
        // CRI-O's annotations may name the container.
        let of_all = [named.as_bytes(), container.as_bytes()];
        let question = of_all.into_iter().chain(architectures.iter().map(String::as_bytes));
        let key = keyring.fingerprint().with(question);
        if let Some(answer) = self.answers.kept(&key) {
            return answer.map_err(|why| *why);
        }
        let load = async || {
            self.look(namespace, reference, keyring, architectures, container).await.map_err(Box::new)
        };
        let answer = self.answers.get(key, load, |answer| keep(reference, answer));
        // Before it is known that somebody asks: whoever asks the same in another namespace does not wait for this share.
        let registry = reference.repository().host();
        let of_both = (namespace.to_owned(), registry.to_owned());
        let answer = self.of_namespace.within(namespace.to_owned(), answer);
        self.of_both.within(of_both, answer).await.map_err(|why| *why)
    }

    /// Looks for the first namespace that has asked; others that ask the same meanwhile wait for it.
    async fn look(
        &self,
        namespace: &str,
        reference: &Reference,
        keyring: &Keyring,
        architectures: &[String],
        container: &str,
    ) -> Result<Arc<Image>, Why> {
        let host = reference.repository().host().to_owned();
        let keys = self.signatures.as_ref().and_then(|it| it.keys_for(reference.repository()));
        let find = async |sizes| {
            let finder = Finder { client: &self.client, logins: keyring, depth: Depth::First, keys, sizes };
            // Of its own on the heap: it is large, and is awaited at two places.
            Box::pin(finder.find(reference, architectures, Some(container))).await
        };
        let ordinary = async {
            // It is held until the profile is computed: what was found is in memory until then.
            let _permit = self.asking.acquire().await;
            let found = find(Sizes::ORDINARY).await;
            let is_too_large = found.as_ref().map_or_else(FindError::is_too_large, Carried::is_too_large);
            if is_too_large { None } else { Some(self.narrowed(found).await) }
        };
        if let Some(answer) = self.of_registry.within(host.clone(), ordinary).await {
            return answer;
        }
        let large = async {
            let _permit = self.large.acquire().await;
            self.narrowed(find(Sizes::LARGEST).await).await
        };
        let of_registry = self.large_of_registry.within(host, large);
        self.large_of_namespace.within(namespace.to_owned(), of_registry).await
    }

    async fn narrowed(&self, found: Result<Carried, FindError>) -> Result<Arc<Image>, Why> {
        let carried = found.map_err(|error| Why { reason: error.reason(), message: error.to_string() })?;
        let digest = carried.digest.clone();
        // All that reads the texts is done there: the program has one thread for requests.
        let profiles = Arc::clone(&self.profiles);
        let compute = move || {
            let source = Source::of(&carried);
            let brings = match source.and_then(|(source, place)| profiles.known(source, place)) {
                Some(brings) => brings,
                None => profiles.shared(source.map(|(source, _)| source), choose(&carried)?),
            };
            Ok((brings, Artifact::of(&carried)))
        };
        let failed = || Why { reason: "Failed", message: "its profile could not be computed".to_owned() };
        let (brings, artifact) = self.narrowing.compute(compute).await.ok_or_else(failed)??;
        Ok(Arc::new(Image { digest, brings, artifact }))
    }
}

/// For how long an answer is remembered, and what it counts.
fn keep(reference: &Reference, answer: &Result<Arc<Image>, Box<Why>>) -> Keep {
    let (mut texts, mut shared) = (0, None);
    match answer {
        Ok(image) => {
            texts += image.artifact.as_ref().map_or(0, Artifact::length);
            match &image.brings {
                Brings::Nothing => {}
                Brings::Profile { profile, .. } => {
                    let bytes = PROFILE + profile.contents.len();
                    shared = Some(Shared { id: Arc::as_ptr(profile).addr(), bytes });
                }
                Brings::Unusable(why) | Brings::Differing(why) => texts += why.message.len(),
            }
        }
        Err(why) => texts += why.message.len(),
    }
    let time = match (answer, reference.digest()) {
        (Err(_), _) => OF_FAILURE,
        (Ok(image), _) if is_unsigned(image) => OF_SIGNATURE,
        (Ok(_), Some(_)) => OF_DIGEST,
        (Ok(_), None) => OF_TAG,
    };
    Keep { time, bytes: ENTRY + texts, shared }
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

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
        Lookup::new(Client::new(reach, limits, roots).unwrap(), None).unwrap()
    }

    /// The answer to a question that is asked while questions to a silent registry wait.
    async fn answered<T>(question: impl Future<Output = T>, unanswered: &mut (impl Future + Unpin)) -> T {
        match select(unanswered, std::pin::pin!(question)).await {
            Either::Left(_) => panic!("a question to the silent registry ended first, by its time"),
            Either::Right((answer, _)) => answer,
        }
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
            assert!(answers.iter().all(|it| matches!(&it.as_ref().unwrap().brings, Brings::Profile { .. })));
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
            let answer = answered(look(namespace, image(&registry, namespace)), &mut unanswered).await;
            assert!(matches!(answer.unwrap().brings, Brings::Profile { .. }), "{namespace}");
        }
    }

    #[tokio::test]
    async fn an_image_that_is_larger_than_ordinary_ones_is_looked_at_as_a_whole() {
        let mut registry = TestRegistry::new("team/app");
        let padding = " ".repeat(usize::try_from(Sizes::ORDINARY.config).unwrap());
        let digest = registry.labelled("1", "amd64", Some(&format!("{READS}{padding}")));
        let registry = registry.start().await;
        let (lookup, keyring) = (lookup(&registry), Keyring::default());
        let found = lookup.image("shop", &image(&registry, "1"), &keyring, &amd64(), "main").await.unwrap();
        assert!(matches!(&found.brings, Brings::Profile { .. }), "{:?}", found.brings);
        assert_eq!(found.digest, digest);
        // What states its size is not asked for by the first search; everything before it is asked for twice.
        assert_eq!(registry.asked().len(), 7, "{:?}", registry.asked());
    }

    #[tokio::test]
    async fn an_attached_profile_counts_also_if_the_configuration_is_larger_than_ordinary_ones() {
        let mut registry = TestRegistry::new("team/app");
        let padding = " ".repeat(usize::try_from(Sizes::ORDINARY.config).unwrap());
        let image_of = registry.image("amd64", Some(&padding), "");
        registry.tag("1", registry::testing::MANIFEST, image_of.clone());
        registry.attach(&image_of, READS);
        let registry = registry.start().await;
        let (lookup, keyring) = (lookup(&registry), Keyring::default());
        // Only the configuration says that it is for amd64.
        let found = lookup.image("shop", &image(&registry, "1"), &keyring, &amd64(), "main").await.unwrap();
        assert!(matches!(&found.brings, Brings::Profile { .. }), "{:?}", found.brings);
    }

    #[tokio::test]
    async fn large_images_of_silent_registries_keep_neither_ordinary_ones_nor_large_ones_of_others_from_answers()
     {
        let mut registry = TestRegistry::new("team/app");
        let padding = " ".repeat(usize::try_from(Sizes::ORDINARY.config).unwrap());
        registry.labelled("small", "amd64", Some(READS));
        registry.labelled("large", "amd64", Some(&format!("{READS}{padding}")));
        let registry = registry.start().await;
        // As many as large images are looked at at once.
        let slow = [silent_about_large_ones().await, silent_about_large_ones().await];
        let (lookup, keyring, architectures) =
            (asking(&[registry.port(), slow[0], slow[1]]), Keyring::default(), amd64());
        let look = async |namespace: &str, image: Reference| {
            lookup.image(namespace, &image, &keyring, &architectures, "main").await
        };
        let unanswered = (0..20).map(|tag| {
            let image = format!("127.0.0.1:{}/team/app:large-{tag}", slow[tag % 2]);
            Box::pin(look("other", Reference::parse(&image).unwrap()))
        });
        let mut unanswered = select_all(unanswered);
        for tag in ["small", "large"] {
            let answer = answered(look("shop", image(&registry, tag)), &mut unanswered).await;
            assert!(matches!(answer.unwrap().brings, Brings::Profile { .. }), "{tag}");
        }
    }

    #[tokio::test]
    async fn large_images_that_wait_keep_no_ordinary_one_of_their_registry_from_its_answer() {
        let slow = silent_about_large_ones().await;
        let (lookup, keyring, architectures) = (asking(&[slow]), Keyring::default(), amd64());
        let look = async |namespace: String, tag: &str| {
            let image = Reference::parse(&format!("127.0.0.1:{slow}/team/app:{tag}")).unwrap();
            lookup.image(&namespace, &image, &keyring, &architectures, "main").await
        };
        let unanswered = (0..OF_REGISTRY).map(|number| {
            let tag = format!("large-{number}");
            Box::pin(async move { look(format!("of-{}", number / OF_BOTH), &tag).await })
        });
        let answer = answered(look("shop".to_owned(), "small"), &mut select_all(unanswered)).await;
        assert_eq!(answer.unwrap().brings, Brings::Nothing);
    }

    /// A registry that has a `small` image without a profile, and of every other announces a manifest of a mebibyte and sends
    /// nothing of it: its port.
    async fn silent_about_large_ones() -> u16 {
        const SMALL: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                request.truncate(length);
                let request = String::from_utf8(request).unwrap();
                let (head, body) = match request.split(' ').nth(1).unwrap() {
                    path if path.ends_with("/manifests/small") => {
                        ("200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json", SMALL)
                    }
                    path if path.contains("/manifests/large") => {
                        // That it is larger than an ordinary one is in the head of the answer.
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n")
                            .await
                            .unwrap();
                        open.push(stream);
                        continue;
                    }
                    // Nothing refers to the small one.
                    _ => ("404 Not Found", ""),
                };
                let answer = format!(
                    "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
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
