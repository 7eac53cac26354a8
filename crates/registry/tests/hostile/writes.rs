//! What hostile registries do while somebody writes to them, or copies what they have.

use std::sync::LazyLock;
use std::time::Instant;

use registry::{Created, Digest, Finder, Login, Logins, Reference, Repository, Times};

use crate::server::{Action, Handler, Seen, Server, answer, head};
use crate::{AMPLE, BYTES, SURPLUS, TIME, client};

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    /// A profile is attached to the image.
    Attach,
    /// The image is copied to another repository of the same registry.
    Copy,
}

/// A registry, which has an image and no blob that is written.
struct Case {
    name: &'static str,
    write: Write,
    /// What it answers instead of what a registry should.
    handler: fn(&Seen, u16) -> Option<Action>,
    /// The reason of the error, or `Ok`.
    reason: &'static str,
    /// Whether it asks for the login to write in a way of its own.
    asks: bool,
}

impl Case {
    const fn that_asks_for_a_login(self) -> Self {
        Self { asks: true, ..self }
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux"}"#;
const LAYER: &str = "good";
const OTHER_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The manifest of the image.
static IMAGE: LazyLock<String> = LazyLock::new(|| {
    let descriptor = |kind: &str, text: &str| {
        let digest = Digest::of(text.as_bytes());
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, text.len())
    };
    let config = descriptor("application/vnd.oci.image.config.v1+json", CONFIG);
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar", LAYER);
    format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]}}"#)
});

/// What a registry should answer, which takes everything and does not keep it.
fn honest(seen: &Seen) -> Action {
    let is_blob = |text: &str| seen.path.ends_with(&Digest::of(text.as_bytes()).to_string());
    let is_source = seen.path.starts_with("/v2/team/app/");
    match &*seen.method {
        "GET" if is_source && seen.path.ends_with("/manifests/1") => {
            answer(200, &[("content-type", MANIFEST)], IMAGE.as_bytes())
        }
        "GET" if is_source && is_blob(CONFIG) => answer(200, &[], CONFIG.as_bytes()),
        "GET" if is_source && is_blob(LAYER) => answer(200, &[], LAYER.as_bytes()),
        "POST" => answer(202, &[("location", "/v2/upload?state=x")], b""),
        "PUT" => answer(201, &[("oci-subject", OTHER_DIGEST)], b""),
        _ => answer(404, &[], b""),
    }
}

fn is_put(seen: &Seen, of: &str) -> bool {
    seen.method == "PUT" && seen.path.contains(of)
}

/// Where the upload of a blob is to go on.
fn goes_on_at(seen: &Seen, location: &str) -> Option<Action> {
    (seen.method == "POST").then(|| answer(202, &[("location", location)], b""))
}

/// An answer whose body does not end.
fn endless(status: u16, headers: &[(&str, &str)]) -> Action {
    Action::Endless(head(status, headers, "x: y"), vec![b' '; 4096])
}

/// The answer to who asks for the layer of the image.
fn layer(seen: &Seen, answer: fn() -> Action) -> Option<Action> {
    let is_layer = seen.path.ends_with(&Digest::of(LAYER.as_bytes()).to_string());
    (seen.method == "GET" && is_layer).then(answer)
}

const fn attach(name: &'static str, handler: fn(&Seen, u16) -> Option<Action>, reason: &'static str) -> Case {
    Case { name, write: Write::Attach, handler, reason, asks: false }
}

const fn copy(name: &'static str, handler: fn(&Seen, u16) -> Option<Action>, reason: &'static str) -> Case {
    Case { name, write: Write::Copy, handler, reason, asks: false }
}

/// All of them.
const CASES: &[Case] = &[
    attach("does what it should", |_, _| None, "Ok"),
    copy("does what it should", |_, _| None, "Ok"),
    attach(
        "has a blob be put to another host",
        |seen, other| goes_on_at(seen, &format!("http://127.0.0.1:{other}/upload")),
        "RegistryRedirects",
    ),
    copy(
        "has a blob be put to another host",
        |seen, other| goes_on_at(seen, &format!("http://127.0.0.1:{other}/upload")),
        "RegistryRedirects",
    ),
    attach(
        "has a blob be put to the cloud's metadata",
        |seen, _| goes_on_at(seen, "https://169.254.169.254/latest"),
        "RegistryRedirects",
    ),
    attach(
        "has a blob be put to a file",
        |seen, _| goes_on_at(seen, "file:///etc/passwd"),
        "RegistryNotPermitted",
    ),
    attach(
        "has a blob be put to a host with a password",
        |seen, other| goes_on_at(seen, &format!("http://user:pass@127.0.0.1:{other}/")),
        "RegistryNotPermitted",
    ),
    attach(
        "does not say where a blob is put",
        |seen, _| (seen.method == "POST").then(|| answer(202, &[], b"")),
        "RegistryRedirects",
    ),
    attach(
        "redirects the question where a blob is put",
        |seen, other| {
            let location = format!("http://127.0.0.1:{other}/upload");
            (seen.method == "POST").then(|| answer(307, &[("location", &location)], b""))
        },
        "RegistryRedirects",
    ),
    attach(
        "redirects the bytes of a blob",
        |seen, other| {
            let location = format!("http://127.0.0.1:{other}/upload");
            is_put(seen, "/upload").then(|| answer(307, &[("location", &location)], b""))
        },
        "RegistryRedirects",
    ),
    attach(
        "redirects a manifest",
        |seen, other| {
            let location = format!("http://127.0.0.1:{other}/manifest");
            is_put(seen, "/manifests/").then(|| answer(308, &[("location", &location)], b""))
        },
        "RegistryRedirects",
    ),
    attach(
        "answers the question where a blob is put for ever",
        |seen, _| (seen.method == "POST").then(|| endless(202, &[("location", "/v2/upload?state=x")])),
        "RegistryTooLarge",
    ),
    attach(
        "answers a blob for ever",
        |seen, _| is_put(seen, "/upload").then(|| endless(201, &[])),
        "RegistryTooLarge",
    ),
    copy(
        "answers a blob for ever",
        |seen, _| is_put(seen, "/upload").then(|| endless(201, &[])),
        "RegistryTooLarge",
    ),
    attach(
        "answers a manifest for ever",
        |seen, _| is_put(seen, "/manifests/").then(|| endless(201, &[])),
        "RegistryTooLarge",
    ),
    attach(
        "refuses a manifest for ever",
        |seen, _| is_put(seen, "/manifests/").then(|| endless(400, &[])),
        "RegistryRefused",
    ),
    attach(
        "never answers a manifest",
        |seen, _| is_put(seen, "/manifests/").then_some(Action::Hang),
        "RegistryTimeout",
    ),
    attach(
        "never says where a blob is put",
        |seen, _| (seen.method == "POST").then_some(Action::Hang),
        "RegistryTimeout",
    ),
    attach(
        "states another digest for the manifest that it has taken",
        |seen, _| {
            let headers = [("docker-content-digest", OTHER_DIGEST), ("oci-subject", OTHER_DIGEST)];
            is_put(seen, "/manifests/").then(|| answer(201, &headers, b""))
        },
        "RegistryDigest",
    ),
    copy(
        "states another digest for the manifest that it has taken",
        |seen, _| {
            let headers = [("docker-content-digest", OTHER_DIGEST)];
            is_put(seen, "/manifests/").then(|| answer(201, &headers, b""))
        },
        "RegistryDigest",
    ),
    attach(
        "does not keep the list of referrers",
        |seen, _| is_put(seen, "/manifests/").then(|| answer(201, &[], b"")),
        "RegistryContended",
    ),
    attach(
        "always has another list of referrers meanwhile",
        |seen, _| {
            is_put(seen, "/manifests/").then(|| match seen.path.contains("/manifests/sha256-") {
                true => answer(412, &[], b""),
                false => answer(201, &[], b""),
            })
        },
        "RegistryContended",
    ),
    attach(
        "has an endless list of referrers",
        |seen, _| {
            let is_list = seen.method == "GET" && seen.path.contains("/manifests/sha256-");
            is_list.then(|| endless(200, &[("content-type", INDEX)]))
        },
        "RegistryTooLarge",
    ),
    attach(
        "wants a token of the node to write",
        |seen, _| {
            let realm = "Bearer realm=\"https://169.254.169.254/token\"";
            (seen.method == "POST").then(|| answer(401, &[("www-authenticate", realm)], b""))
        },
        "RegistryNotPermitted",
    )
    .that_asks_for_a_login(),
    attach(
        "never accepts the login to write",
        |seen, _| (seen.method == "POST").then(|| answer(401, &[("www-authenticate", "Basic")], b"")),
        "RegistryUnauthorized",
    )
    .that_asks_for_a_login(),
    copy("sends another layer", |seen, _| layer(seen, || answer(200, &[], b"evil")), "RegistryDigest"),
    copy(
        "sends a layer for ever",
        |seen, _| layer(seen, || Action::Endless(head(200, &[], "x: y"), LAYER.as_bytes().to_vec())),
        "RegistryDigest",
    ),
    copy("sends too short a layer", |seen, _| layer(seen, || answer(200, &[], b"goo")), "RegistryDigest"),
    copy(
        "sends less of a layer than it announces",
        |seen, _| layer(seen, || Action::Send(head(200, &[], "content-length: 4"))),
        "RegistryUnreachable",
    ),
    copy("has no layer", |seen, _| layer(seen, || answer(404, &[], b"")), "RegistryNotFound"),
    copy(
        "leads to another host for a layer, which has another one",
        |seen, other| {
            let is_layer = seen.path.ends_with(&Digest::of(LAYER.as_bytes()).to_string());
            let location = format!("http://127.0.0.1:{other}/layer");
            (seen.method == "GET" && is_layer).then(|| answer(307, &[("location", &location)], b""))
        },
        "RegistryDigest",
    ),
    copy(
        "leads to the cloud's metadata for a layer",
        |seen, _| layer(seen, || answer(307, &[("location", "http://169.254.169.254/latest")], b"")),
        "RegistryNotPermitted",
    ),
];

/// The login of the registry alone.
struct Own(String);

impl Logins for Own {
    fn for_repository(&self, repository: &Repository) -> Vec<Login> {
        let is_own = repository.host() == self.0;
        is_own.then(|| Login::user("user", "pass")).into_iter().collect()
    }
}

/// The reason why it failed, with the message.
async fn write(finder: &Finder<'_, Own>, host: &str, write: Write) -> Result<(), (&'static str, String)> {
    let image = Reference::parse(&format!("{host}/team/app:1")).unwrap();
    match write {
        Write::Attach => {
            let now = Created::parse("2026-01-31T12:00:00Z").unwrap();
            let (profile, times) =
                (br#"{"defaultAction":"SCMP_ACT_ERRNO"}"#.as_slice(), Times { given: None, now });
            let planned = finder.plan_attachment(&image, &[], &profile.into(), &times).await;
            let attached = match planned {
                Ok(planned) => finder.attach(planned).await.map(drop),
                Err(error) => Err(error),
            };
            attached.map_err(|error| (error.reason(), error.to_string()))
        }
        Write::Copy => {
            let to = Reference::parse(&format!("{host}/mirror/app:1")).unwrap();
            let copied = finder.copy(&image, &to, &mut |_, _, _| {}).await;
            copied.map(drop).map_err(|error| (error.reason(), error.to_string()))
        }
    }
}

#[tokio::test]
async fn whatever_a_registry_does_while_it_is_written_to_is_bounded_and_gets_no_other_login() {
    static CASE: std::sync::Mutex<usize> = std::sync::Mutex::new(0);
    fn handler(seen: &Seen, other: u16) -> Action {
        let case = &CASES[*CASE.lock().unwrap()];
        // Nobody sends a login that was not asked for.
        if seen.authorization().is_none() && !(case.asks && seen.method == "POST") {
            return answer(401, &[("www-authenticate", "Basic")], b"");
        }
        (case.handler)(seen, other).unwrap_or_else(|| honest(seen))
    }
    fn evil(_: &Seen, _: u16) -> Action {
        answer(200, &[], b"evil")
    }
    let mut wrong = Vec::new();
    for (at, Case { name, write: what, reason, .. }) in CASES.iter().enumerate() {
        *CASE.lock().unwrap() = at;
        let second = Server::start(evil, 0).await;
        let first = Server::start(handler as Handler, second.port).await;
        let time = if *reason == "RegistryTimeout" { TIME } else { AMPLE };
        let (client, host, start) =
            (client(&[first.port, second.port], time), format!("127.0.0.1:{}", first.port), Instant::now());
        let logins = Own(host.clone());
        let finder = Finder::new(&client, &logins);
        let found = write(&finder, &host, *what).await;
        let took = start.elapsed();
        let found_reason = found.as_ref().err().map_or("Ok", |(reason, _)| *reason);
        if found_reason != *reason {
            wrong.push(format!("{name}: {found:?}, expected {reason}"));
        }
        if took > 4 * time + SURPLUS || first.sent() + second.sent() > BYTES {
            wrong.push(format!("{name}: {took:?} and {} bytes", first.sent() + second.sent()));
        }
        if found.is_err_and(|(_, text)| text.len() > 800 || text.contains("pass")) {
            wrong.push(format!("{name}: the message"));
        }
        if !first.seen().iter().any(|seen| seen.authorization().is_some()) {
            wrong.push(format!("{name}: the registry received no login"));
        }
        let others = second.seen();
        if others.iter().any(|seen| seen.authorization().is_some() || seen.method != "GET") {
            wrong.push(format!("{name}: the other host received a login or a write"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
