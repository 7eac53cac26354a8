//! What this project's client makes of the ways in which registries differ (`differences.rs`): the same of all of them, but
//! for what some of them do not store.

use std::fs;

use registry::{Client, Digest, Finder, Keyring, Limits, Login, PullSecret, Reach, Reference, Which};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::runtime::Runtime;

use super::contents::{
    ARTIFACTS, Content, DOCKER, Refers, docker, docker_list, index, oci, oci_for, of_size, untyped, withdrawn,
};
use super::folder::Folder;
use super::server::Server;
use super::{READS, WRITES, servers_to_compare};

/// This project's client, and a repository that it asks about.
struct Ours<'a> {
    folder: Folder<'a>,
    client: Client,
    keyring: Keyring,
    runtime: Runtime,
}

impl<'a> Ours<'a> {
    /// One for a repository of the first of these registries, which may ask all of them.
    fn of(servers: &[&'a Server], path: String) -> Self {
        let hosts =
            |servers: &mut dyn Iterator<Item = &&Server>| servers.map(|it| it.host().to_owned()).collect();
        let reach = Reach {
            plain: hosts(&mut servers.iter().filter(|it| !it.has_tls())),
            inside: hosts(&mut servers.iter()),
            networks: Vec::new(),
        };
        let with_tls = servers.iter().filter(|it| it.has_tls());
        let authorities = with_tls.map(|it| CertificateDer::from_pem_file(it.path("ca.pem")).unwrap());
        let client = Client::new(reach, Limits::default(), authorities).unwrap();
        let logins = servers.iter().filter_map(|it| fs::read(it.path("config.json")).ok());
        let logins: Vec<_> = logins.collect();
        let secrets: Vec<_> = logins.iter().map(|it| PullSecret::DockerConfigJson(it)).collect();
        let keyring = Keyring::new(&secrets).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder: Folder { server: servers[0], path }, client, keyring, runtime }
    }

    fn push(&self, content: Content) -> Content {
        self.folder.push(&content);
        content
    }

    /// A reference in the repository.
    fn named(&self, tag: &str) -> Reference {
        let Folder { server, path } = &self.folder;
        Reference::parse(&format!("{}/{path}:{tag}", server.host())).unwrap()
    }

    fn login(&self) -> Login {
        let found = self.keyring.find(self.named("1").repository());
        found.first().map_or(Login::Anonymous, |it| it.login.clone())
    }

    fn finder(&self) -> Finder<'_, Keyring> {
        let (client, logins) = (&self.client, &self.keyring);
        Finder::new(client, logins)
    }

    /// What is read of a manifest, by its tag and by its digest: whether it is that of the content, or the reason of the error.
    fn read(&self, content: &Content) -> String {
        let (image, login) = (self.named(&content.name), self.login());
        let by = |which: Which| {
            let read = self.client.manifest(image.repository(), &which, &login);
            match self.runtime.block_on(read) {
                Ok(it) if it.digest == content.digest() && it.bytes == content.bytes => content.name.clone(),
                Ok(it) => format!("another manifest, {}", it.digest),
                Err(error) => error.reason().to_owned(),
            }
        };
        let [by_tag, by_digest] = [Which::Tag(image.tag().unwrap()), Which::Digest(content.digest())].map(by);
        if by_tag == by_digest { by_tag } else { format!("{by_tag} by tag, {by_digest} by digest") }
    }

    /// Which profile an image carries for an architecture, and where.
    fn profile(&self, tag: &str, architecture: &str) -> String {
        let architectures = [architecture.to_owned()];
        let image = self.named(tag);
        let carried = match self.runtime.block_on(self.finder().find(&image, &architectures, None)) {
            Ok(carried) => carried,
            Err(error) => return error.reason().to_owned(),
        };
        let [platform] = &carried.platforms[..] else { return format!("{carried:?}") };
        let Some(found) = platform.winner() else { return "none".to_owned() };
        let contents = match &found.contents {
            Ok(text) if text.contains("\"read\"") => "reads",
            Ok(text) if text.contains("\"write\"") => "writes",
            Ok(text) => text,
            Err(error) => error.reason(),
        };
        format!("{contents} of the {}", found.place.kind())
    }

    /// How many manifests the registry says refer to one, and whether it has the API for them.
    fn referrers(&self, digest: &Digest) -> String {
        let image = self.named("1");
        let login = self.login();
        match self.runtime.block_on(self.client.referrers(image.repository(), digest, &login)) {
            Ok(it) => format!("{}{}", it.descriptors.len(), if it.by_api { " by the API" } else { "" }),
            Err(error) => error.reason().to_owned(),
        }
    }

    /// Enters artifacts in the index that stands in for the API, as tools do where the registry does not name the subject.
    fn enter(&self, artifacts: &[Content], subject: &Content) {
        let entries: Vec<_> =
            artifacts.iter().map(|it| super::contents::descriptor(it.media_type, &it.bytes)).collect();
        let index = index().changed("", |it| it["manifests"] = json!(entries));
        let tag = subject.digest().to_string().replace(':', "-");
        assert_eq!(self.folder.put_as(&index, &tag, index.media_type).status, 201);
    }

    /// Attaches artifacts to an image in these ways.
    fn refer(&self, subject: &Content, artifacts: &[Refers<'_>]) -> Vec<Content> {
        let artifacts: Vec<_> = artifacts.iter().map(|it| self.push(it.to(subject))).collect();
        self.enter(&artifacts, subject);
        artifacts
    }

    /// What is read of a copy of an image in another repository of the registry.
    fn copied(&self, content: &Content) -> String {
        let path = format!("{}-copy", self.folder.path);
        let to = Ours::of(&[self.folder.server], path);
        let image = self.named(&content.name);
        match self.runtime.block_on(self.finder().copy(&image, &to.named(&content.name), &mut |_, _, _| {})) {
            Ok(_) => to.read(content),
            Err(error) => error.reason().to_owned(),
        }
    }
}

/// What is asked, and what comes of it with Debian's docker-registry 2.8.2, distribution 3.1.2, and go-containerregistry 0.22.1
/// without and with the API for referrers.
struct Row {
    about: &'static str,
    ask: fn(&Ours<'_>) -> String,
    answers: [&'static str; 4],
}

const fn row(about: &'static str, ask: fn(&Ours<'_>) -> String, answers: [&'static str; 4]) -> Row {
    Row { about, ask, answers }
}

/// One that holds a profile, of this time.
const fn holding(profile: &'static str, created: &'static str, spelling: usize) -> Refers<'static> {
    let Refers { name, config_type, artifact_type, .. } = ARTIFACTS[spelling];
    Refers { name, config_type, artifact_type, created, layer: profile }
}

const OLDER: &str = "2026-01-01T00:00:00Z";
const NEWER: &str = "2026-01-02T00:00:00Z";

const TABLE: &[Row] = &[
    row("an OCI manifest", |it| it.read(&it.push(oci())), ["oci"; 4]),
    row("an OCI index", |it| it.read(&it.push(index())), ["index"; 4]),
    row("Docker's manifest", |it| it.read(&it.push(docker())), ["docker"; 4]),
    row("Docker's list: not the manifest of a platform", |it| it.read(&it.push(docker_list())), ["list"; 4]),
    row("an OCI manifest that states no type", |it| it.read(&it.push(untyped())), ["untyped"; 4]),
    row("what is not there", |it| it.read(&oci()), ["RegistryNotFound"; 4]),
    row(
        "of an OCI index the manifest of the platform",
        |it| {
            it.push(index());
            [it.profile("index", "amd64"), it.profile("index", "arm64")].join(", ")
        },
        ["reads of the PodmanLabel, writes of the PodmanLabel"; 4],
    ),
    row(
        "the same of Docker's list",
        |it| {
            it.push(docker_list());
            [it.profile("list", "amd64"), it.profile("list", "arm64")].join(", ")
        },
        ["reads of the PodmanLabel, writes of the PodmanLabel"; 4],
    ),
    row(
        "the profile of an artifact whose artifact type is its own, and not that of its configuration",
        |it| {
            it.refer(&it.push(oci()), &[holding(WRITES, OLDER, 0)]);
            it.profile("oci", "amd64")
        },
        ["writes of the Referrer"; 4],
    ),
    row(
        "the profile of an artifact whose type is that of its configuration alone",
        |it| {
            it.refer(&it.push(oci()), &[holding(WRITES, OLDER, 1)]);
            it.profile("oci", "amd64")
        },
        ["writes of the Referrer"; 4],
    ),
    row(
        "an artifact whose two types do not agree",
        |it| {
            it.refer(&it.push(oci()), &[holding(WRITES, OLDER, 2)]);
            it.profile("oci", "amd64")
        },
        ["ArtifactType of the Referrer"; 4],
    ),
    row(
        "an artifact of another type, which registries list whatever type is asked for",
        |it| {
            it.refer(&it.push(oci()), &[holding(WRITES, OLDER, 3)]);
            it.profile("oci", "amd64")
        },
        ["reads of the PodmanLabel"; 4],
    ),
    row(
        "the latest of several artifacts, in whatever order they are listed",
        |it| {
            let both = [holding(READS, OLDER, 0), holding(WRITES, NEWER, 1), holding(READS, NEWER, 3)];
            it.refer(&it.push(oci()), &both);
            // The order is drawn anew for each answer by the registry that has the API.
            let answers: std::collections::BTreeSet<_> =
                (0..20).map(|_| it.profile("oci", "amd64")).collect();
            Vec::from_iter(answers).join(", ")
        },
        ["writes of the Referrer"; 4],
    ),
    row(
        "an artifact that was deleted by its digest and is still listed",
        |it| {
            let deleted = it.refer(&it.push(oci()), &[holding(WRITES, OLDER, 0)]).remove(0);
            let path = format!("manifests/{}", deleted.digest());
            assert_eq!(it.folder.ask("DELETE", &path, &[], b"").status, 202);
            it.profile("oci", "amd64")
        },
        ["reads of the PodmanLabel"; 4],
    ),
    row(
        "the referrers of a manifest that is not there",
        |it| {
            it.refer(&oci(), &[holding(WRITES, OLDER, 0)]);
            it.referrers(&oci().digest())
        },
        ["1", "1", "1", "1 by the API"],
    ),
    row("the referrers in a repository that is not there", |it| it.referrers(&oci().digest()), ["0"; 4]),
    row(
        "an index with a manifest that was deleted",
        |it| {
            let index = it.push(index());
            let path = format!("manifests/{}", index.children[1].digest());
            assert_eq!(it.folder.ask("DELETE", &path, &[], b"").status, 202);
            [it.profile("index", "amd64"), it.profile("index", "arm64")].join(", ")
        },
        ["reads of the PodmanLabel, RegistryNotFound"; 4],
    ),
    row(
        "a manifest whose blobs are not there, which some registries do not take",
        |it| {
            // Of an architecture that no other row has: some registries serve the blobs of all repositories in each.
            let image = oci_for("oci", "s390x");
            it.folder.put(&image);
            format!("{}, {}", it.read(&image), it.profile("oci", "s390x"))
        },
        [
            "RegistryNotFound, RegistryNotFound",
            "RegistryNotFound, RegistryNotFound",
            "oci, RegistryNotFound of the PodmanLabel",
            "oci, RegistryNotFound of the PodmanLabel",
        ],
    ),
    row(
        "a manifest that the registry states to be of another type than it says itself",
        |it| {
            it.folder.push_blobs(&oci());
            it.folder.put_as(&oci(), "oci", DOCKER);
            it.read(&oci())
        },
        ["RegistryNotFound", "RegistryNotFound", "ManifestMediaType", "ManifestMediaType"],
    ),
    row(
        "an artifact manifest, a type that was withdrawn",
        |it| {
            it.folder.push_blobs(&withdrawn());
            it.folder.put(&withdrawn());
            it.read(&withdrawn())
        },
        ["RegistryNotFound", "RegistryNotFound", "ManifestKind", "ManifestKind"],
    ),
    row("a manifest of 4 MiB", |it| it.read(&it.push(of_size(4 * 1024 * 1024))), ["large"; 4]),
    row(
        "a manifest of 4 MiB and a byte, which some registries do not take",
        |it| {
            let large = of_size(4 * 1024 * 1024 + 1);
            it.folder.push_blobs(&large);
            it.folder.put(&large);
            it.read(&large)
        },
        ["RegistryNotFound", "RegistryNotFound", "RegistryTooLarge", "RegistryTooLarge"],
    ),
    row(
        "a copy of an OCI index: its manifests are there first",
        |it| it.copied(&it.push(index())),
        ["index"; 4],
    ),
    row("a copy of Docker's list", |it| it.copied(&it.push(docker_list())), ["list"; 4]),
    row("a copy of Docker's manifest", |it| it.copied(&it.push(docker())), ["docker"; 4]),
    row("a copy of an OCI manifest that states no type", |it| it.copied(&it.push(untyped())), ["untyped"; 4]),
];

#[test]
#[ignore = "long: builds registries"]
fn of_all_registries_the_client_makes_the_same() {
    let servers = servers_to_compare();
    let mut wrong = Vec::new();
    for (number, Row { about, ask, answers }) in TABLE.iter().enumerate() {
        for (server, expected) in servers.iter().zip(answers) {
            let answer = ask(&Ours::of(&[server], format!("team/row-{number}")));
            if answer != **expected {
                wrong.push(format!("{about}: {} gives {answer:?}, expected {expected:?}", server.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "long: builds registries"]
fn a_registry_that_refuses_a_write_is_quoted() {
    let [of_debian, distribution, from, _] = servers_to_compare();
    // Docker's, as the registry states that takes everything: the manifest does not say so itself, and others want that.
    let image = untyped();
    for to in [&of_debian, &distribution] {
        let source = Ours::of(&[&from, to], "team/source".to_owned());
        source.folder.push_blobs(&image);
        source.folder.put_as(&image, &image.name, DOCKER);
        let target = Reference::parse(&format!("{}/team/target:1", to.host())).unwrap();
        let copy =
            async { source.finder().copy(&source.named(&image.name), &target, &mut |_, _, _| {}).await };
        let error = source.runtime.block_on(copy).unwrap_err();
        assert_eq!(error.reason(), "RegistryRefused", "{error}");
        let message = error.to_string();
        let parts = ["team/target", "400", "MANIFEST_INVALID", "manifest invalid"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}
