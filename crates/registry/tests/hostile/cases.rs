//! What hostile registries do, and what comes of it.

use crate::server::{Action, Handler, Seen, answer, head};

/// What is asked.
pub(crate) enum Operation {
    /// The manifest of a tag.
    Tag,
    /// The manifest with this digest.
    Digest(&'static str),
    /// A blob with the digest of `good` and this size.
    Blob { size: u64 },
    /// Who refers to a manifest.
    Referrers,
}

/// A registry.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) operation: Operation,
    pub(crate) handler: Handler,
    /// What another host does, to which the registry may lead.
    pub(crate) other: Handler,
    /// The reason of the error, or `Ok`.
    pub(crate) reason: &'static str,
}

const OTHER_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

const fn tag(name: &'static str, handler: Handler, reason: &'static str) -> Case {
    Case { name, operation: Operation::Tag, handler, other: welcome, reason }
}

const fn of(name: &'static str, operation: Operation, handler: Handler, reason: &'static str) -> Case {
    Case { name, operation, handler, other: welcome, reason }
}

fn welcome(_: &Seen, _: u16) -> Action {
    answer(200, &[], br#"{"manifests":[]}"#)
}

/// Bytes, and then others for ever.
fn endless(first: Vec<u8>, rest: &[u8]) -> Action {
    Action::Endless(first, rest.to_vec())
}

/// An answer that wants a token of a service.
fn wants_token(realm: &str) -> Action {
    answer(401, &[("www-authenticate", &format!("Bearer realm=\"{realm}\""))], b"")
}

/// A registry with a token service of its own, which answers so.
fn with_token(seen: &Seen, token: fn() -> Action) -> Action {
    if seen.path.starts_with("/token") { token() } else { wants_token("/token") }
}

fn leads_to(location: &str) -> Action {
    answer(307, &[("location", location)], b"")
}

fn descriptors(count: usize) -> String {
    let one = format!(r#"{{"digest":"{OTHER_DIGEST}","size":1}}"#);
    format!(r#"{{"manifests":[{}]}}"#, vec![one; count].join(","))
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    tag("never answers", |_, _| Action::Hang, "RegistryTimeout"),
    tag("closes the connection", |_, _| Action::Send(Vec::new()), "RegistryUnreachable"),
    tag("does not speak HTTP", |_, _| Action::Send(b"SSH-2.0-x\r\n\r\n".to_vec()), "RegistryUnreachable"),
    tag(
        "sends headers for ever",
        |_, _| endless(b"HTTP/1.1 200 X\r\n".to_vec(), b"a: b\r\n"),
        "RegistryUnreachable",
    ),
    tag(
        "sends one header for ever",
        |_, _| endless(b"HTTP/1.1 200 X\r\na: ".to_vec(), &[b'b'; 4096]),
        "RegistryUnreachable",
    ),
    tag(
        "sends preliminary answers for ever",
        |_, _| endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n"),
        "RegistryTimeout",
    ),
    tag(
        "sends its headers slowly",
        |_, _| Action::Drip(head(200, &[], "content-length: 2")),
        "RegistryTimeout",
    ),
    tag(
        "sends its body slowly",
        |_, _| {
            let mut bytes = head(200, &[], "content-length: 100");
            bytes.extend([b' '; 100]);
            Action::Drip(bytes)
        },
        "RegistryTimeout",
    ),
    tag(
        "sends chunks for ever",
        |_, _| {
            endless(
                head(200, &[], "transfer-encoding: chunked"),
                format!("1000\r\n{}\r\n", " ".repeat(4096)).as_bytes(),
            )
        },
        "RegistryTooLarge",
    ),
    tag(
        "sends a chunk without end",
        |_, _| endless(head(200, &[], "transfer-encoding: chunked"), &b"fffffffffff\r\n".repeat(512)),
        "RegistryTooLarge",
    ),
    tag(
        "sends a body without a length for ever",
        |_, _| endless(head(200, &[], "x: y"), &[b' '; 4096]),
        "RegistryTooLarge",
    ),
    tag(
        "announces more than memory",
        |_, _| Action::Send(head(200, &[], "content-length: 18446744073709551614")),
        "RegistryUnreachable",
    ),
    tag(
        "announces four mebibytes and a byte",
        |_, _| Action::Send(head(200, &[], "content-length: 4194305")),
        "RegistryTooLarge",
    ),
    tag(
        "sends less than it announces",
        |_, _| Action::Send(head(200, &[], "content-length: 10")),
        "RegistryUnreachable",
    ),
    tag(
        "states two lengths",
        |_, _| Action::Send(head(200, &[("content-length", "1")], "content-length: 2")),
        "RegistryUnreachable",
    ),
    tag("sends nothing", |_, _| answer(200, &[], b""), "ManifestFormat"),
    tag("sends a page", |_, _| answer(200, &[("content-type", "text/html")], b"<html>"), "ManifestFormat"),
    tag("sends a deep document", |_, _| answer(200, &[], "[".repeat(1 << 20).as_bytes()), "ManifestFormat"),
    tag(
        "sends a deep annotation",
        |_, _| answer(200, &[], format!(r#"{{"x":{}"#, r#"{"a":"#.repeat(1 << 18)).as_bytes()),
        "ManifestFormat",
    ),
    tag(
        "sends compressed bytes",
        |_, _| answer(200, &[("content-encoding", "gzip")], b"\x1f\x8b\x08\x00"),
        "ManifestFormat",
    ),
    tag(
        "states another digest",
        |_, _| answer(200, &[("docker-content-digest", OTHER_DIGEST)], br#"{"manifests":[]}"#),
        "RegistryDigest",
    ),
    tag(
        "states no digest for one",
        |_, _| answer(200, &[("docker-content-digest", "sha256:x")], br#"{"manifests":[]}"#),
        "RegistryDigest",
    ),
    of(
        "sends other bytes than those of the digest",
        Operation::Digest(OTHER_DIGEST),
        |_, _| answer(200, &[("docker-content-digest", OTHER_DIGEST)], br#"{"manifests":[]}"#),
        "RegistryDigest",
    ),
    of("sends other bytes and no digest", Operation::Digest(OTHER_DIGEST), welcome, "RegistryDigest"),
    tag(
        "states another type",
        |_, _| {
            answer(
                200,
                &[("content-type", MANIFEST)],
                format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#).as_bytes(),
            )
        },
        "ManifestMediaType",
    ),
    tag(
        "sends a manifest that is an index, too",
        |_, _| {
            answer(
                200,
                &[],
                format!(r#"{{"manifests":[],"layers":[],"config":{{"digest":"{OTHER_DIGEST}","size":1}}}}"#)
                    .as_bytes(),
            )
        },
        "ManifestKind",
    ),
    tag(
        "sends a manifest of the first schema",
        |_, _| answer(200, &[], br#"{"schemaVersion":1,"fsLayers":[]}"#),
        "ManifestKind",
    ),
    tag(
        "sends very many manifests",
        |_, _| answer(200, &[], descriptors(1_001).as_bytes()),
        "ManifestFormat",
    ),
    tag(
        "sends a key twice",
        |_, _| answer(200, &[], br#"{"manifests":[],"manifests":[]}"#),
        "ManifestFormat",
    ),
    tag("names no challenge", |_, _| answer(401, &[], b""), "RegistryUnauthorized"),
    tag(
        "never accepts the password",
        |_, _| answer(401, &[("www-authenticate", "Basic")], b""),
        "RegistryUnauthorized",
    ),
    tag(
        "never accepts the token",
        |seen, _| with_token(seen, || answer(200, &[], br#"{"token":"t"}"#)),
        "RegistryUnauthorized",
    ),
    tag("wants a token without TLS", |_, _| wants_token("http://auth.example/t"), "RegistryNotPermitted"),
    tag("wants a token of the node", |_, _| wants_token("https://127.0.0.1:10250/t"), "RegistryNotPermitted"),
    tag(
        "wants a token of the cloud's metadata",
        |_, _| wants_token("https://169.254.169.254/latest"),
        "RegistryNotPermitted",
    ),
    tag("wants a token of a file", |_, _| wants_token("file:///etc/passwd"), "RegistryNotPermitted"),
    tag("sends no token", |seen, _| with_token(seen, || answer(200, &[], b"<html>")), "RegistryToken"),
    tag(
        "sends a token that is a header",
        |seen, _| with_token(seen, || answer(200, &[], br#"{"token":"t\r\nx: y"}"#)),
        "RegistryToken",
    ),
    tag(
        "sends a token for ever",
        |seen, _| with_token(seen, || endless(head(200, &[], "x: y"), &[b't'; 4096])),
        "RegistryTooLarge",
    ),
    tag(
        "sends a challenge for ever",
        |_, _| endless(head(401, &[("www-authenticate", "Bearer realm=\"/token\"")], "x: y"), &[b't'; 4096]),
        "RegistryUnauthorized",
    ),
    tag(
        "redirects the question for a token",
        |seen, other| match seen.path.starts_with("/token") {
            true => leads_to(&format!("http://127.0.0.1:{other}/token")),
            false => wants_token("/token"),
        },
        "RegistryToken",
    ),
    tag("redirects for ever", |_, _| leads_to("/v2/again"), "RegistryRedirects"),
    tag("redirects to a host without TLS", |_, _| leads_to("http://b.example/"), "RegistryNotPermitted"),
    tag(
        "redirects to the cloud's metadata",
        |_, _| leads_to("https://169.254.169.254/latest/meta-data"),
        "RegistryNotPermitted",
    ),
    tag(
        "redirects to the cloud's metadata without TLS",
        |_, _| leads_to("http://169.254.169.254/latest/meta-data"),
        "RegistryNotPermitted",
    ),
    tag("redirects to this machine", |_, _| leads_to("https://localhost:6443/"), "RegistryNotPermitted"),
    tag(
        "redirects to this machine as a number",
        |_, _| leads_to("https://2130706433/"),
        "RegistryNotPermitted",
    ),
    tag("redirects to this machine in short", |_, _| leads_to("https://127.1/"), "RegistryNotPermitted"),
    tag("redirects to this machine by IPv6", |_, _| leads_to("https://[::1]:6443/"), "RegistryNotPermitted"),
    tag(
        "redirects to this machine by a mapped address",
        |_, _| leads_to("https://[::ffff:127.0.0.1]/"),
        "RegistryNotPermitted",
    ),
    tag(
        "redirects to a service of the cluster",
        |_, _| leads_to("https://10.96.0.1/"),
        "RegistryNotPermitted",
    ),
    tag("redirects to a file", |_, _| leads_to("file:///etc/passwd"), "RegistryNotPermitted"),
    tag("redirects with a password", |_, _| leads_to("https://a:b@b.example/"), "RegistryNotPermitted"),
    tag("redirects to nowhere", |_, _| answer(307, &[], b""), "RegistryRefused"),
    Case {
        name: "redirects to a host that wants a login",
        operation: Operation::Tag,
        handler: |seen, other| match seen.authorization() {
            None => answer(401, &[("www-authenticate", "Basic")], b""),
            Some(_) => leads_to(&format!("http://127.0.0.1:{other}/x")),
        },
        other: |_, _| answer(401, &[("www-authenticate", "Basic")], b""),
        reason: "RegistryUnauthorized",
    },
    Case {
        name: "redirects to a host that needs no login",
        operation: Operation::Tag,
        handler: |seen, other| match seen.authorization() {
            None => answer(401, &[("www-authenticate", "Basic")], b""),
            Some(_) => leads_to(&format!("http://127.0.0.1:{other}/x")),
        },
        other: welcome,
        reason: "Ok",
    },
    tag(
        "denies with a message for the terminal",
        |_, _| answer(403, &[], br#"{"errors":[{"code":"DENIED","message":"\u001b[2J\u0007gone"}]}"#),
        "RegistryDenied",
    ),
    tag(
        "answers 404 with an endless page",
        |_, _| endless(head(404, &[], "x: y"), &[b' '; 4096]),
        "RegistryNotFound",
    ),
    tag("answers 429", |_, _| answer(429, &[("retry-after", "999999999")], b""), "RegistryTooManyRequests"),
    tag("answers 503", |_, _| answer(503, &[], b""), "RegistryFault"),
    tag("answers 418", |_, _| answer(418, &[], b""), "RegistryRefused"),
    of(
        "sends a blob that is too long",
        Operation::Blob { size: 4 },
        |_, _| answer(200, &[], b"good and more"),
        "RegistryTooLarge",
    ),
    of(
        "sends a blob for ever",
        Operation::Blob { size: 4 },
        |_, _| endless(head(200, &[], "x: y"), b"good"),
        "RegistryTooLarge",
    ),
    of(
        "sends a blob that is too short",
        Operation::Blob { size: 5 },
        |_, _| answer(200, &[], b"good"),
        "RegistryDigest",
    ),
    of("sends another blob", Operation::Blob { size: 4 }, |_, _| answer(200, &[], b"evil"), "RegistryDigest"),
    of(
        "has a blob that is too large",
        Operation::Blob { size: 1025 },
        |_, _| answer(200, &[], b"good"),
        "RegistryTooLarge",
    ),
    of(
        "lists referrers on another host",
        Operation::Referrers,
        |_, other| {
            let link = format!("<http://127.0.0.1:{other}/next>; rel=\"next\"");
            answer(200, &[("content-type", INDEX), ("link", &link)], br#"{"manifests":[]}"#)
        },
        "RegistryNotPermitted",
    ),
    of(
        "lists referrers on ever more pages",
        Operation::Referrers,
        |_, _| {
            answer(
                200,
                &[("content-type", INDEX), ("link", "</v2/next>; rel=\"next\"")],
                br#"{"manifests":[]}"#,
            )
        },
        "RegistryTooLarge",
    ),
    of(
        "lists very many referrers",
        Operation::Referrers,
        |_, _| {
            answer(
                200,
                &[("content-type", INDEX), ("link", "</v2/next>; rel=next")],
                descriptors(600).as_bytes(),
            )
        },
        "RegistryTooLarge",
    ),
    of(
        "answers everything with a page",
        Operation::Referrers,
        |_, _| answer(200, &[("content-type", "text/html")], b"<html>"),
        "ManifestFormat",
    ),
    of(
        "has a manifest for the list of referrers",
        Operation::Referrers,
        |seen, _| match seen.path.contains("/referrers/") {
            true => answer(404, &[], b"404 page not found"),
            false => {
                answer(200, &[], format!(r#"{{"config":{{"digest":"{OTHER_DIGEST}","size":1}}}}"#).as_bytes())
            }
        },
        "ManifestKind",
    ),
    of("has no referrers at all", Operation::Referrers, |_, _| answer(404, &[], b""), "Ok"),
];
