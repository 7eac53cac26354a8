//! How registries differ: what four of them answer to the same requests. The client of this project is written for each of
//! these answers (`ours.rs` holds what it makes of them); a registry of another version that answers otherwise fails here.

use registry::Digest;
use serde_json::Value;

use super::contents::{
    ARTIFACTS, Content, DOCKER, DOCKER_LIST, EMPTY, OCI, OCI_ARTIFACT, OCI_INDEX, OTHER, docker, docker_list,
    index, oci, of_size, untyped, withdrawn,
};
use super::folder::Folder;
use super::raw::Request;
use super::server::Server;
use super::{TYPE, servers_to_compare};

/// What is asked, and what Debian's docker-registry 2.8.2, distribution 3.1.2, and go-containerregistry 0.22.1 without and with
/// the API for referrers answer.
struct Row {
    about: &'static str,
    ask: fn(&Folder<'_>) -> String,
    answers: [&'static str; 4],
}

const fn row(about: &'static str, ask: fn(&Folder<'_>) -> String, answers: [&'static str; 4]) -> Row {
    Row { about, ask, answers }
}

/// The answer about a manifest that was just pushed, by its tag, to a request with this `Accept`.
fn read(at: &Folder<'_>, content: Content, accept: Option<&str>) -> String {
    at.push(&content);
    let headers: Vec<_> = accept.map(|it| ("accept", it)).into_iter().collect();
    let answer = at.ask("GET", &format!("manifests/{}", content.name), &headers, b"");
    answer.outline(&[content])
}

/// All types, as this project's client names them.
fn all_types() -> String {
    [OCI_INDEX, OCI, DOCKER_LIST, DOCKER].join(", ")
}

/// The headers of the answer to HEAD.
fn head(at: &Folder<'_>) -> String {
    let content = oci();
    at.push(&content);
    let answer = at.ask("HEAD", "manifests/oci", &[("accept", OCI)], b"");
    let length = answer.header("content-length") == Some(&content.bytes.len().to_string());
    let is_typed = answer.header("content-type") == Some(OCI);
    let etag = format!("\"{}\"", content.digest());
    let has_etag = answer.header("etag").map(|it| it == etag);
    format!("{}, length {length}, type {is_typed}, etag {has_etag:?}", answer.outline(&[content]))
}

/// The answer to a write: the status, the code of an error with its reason, and whether it names the subject.
fn written(at: &Folder<'_>, content: &Content, media_type: &str) -> String {
    let answer = at.put_as(content, &content.name, media_type);
    let reason = match &answer.json()["errors"][0]["detail"] {
        // The digests of what is not there.
        Value::String(text) if !text.starts_with("sha256:") => format!(": {text}"),
        _ => String::new(),
    };
    let subject = answer.header("oci-subject").map_or("", |_| ", OCI-Subject");
    format!("{}{reason}{subject}", answer.outline(&[]))
}

/// An image, and artifacts with all mixes of types that refer to it.
fn with_artifacts(at: &Folder<'_>) -> Content {
    let image = oci();
    at.push(&image);
    ARTIFACTS.iter().for_each(|artifact| at.push(&artifact.to(&image)));
    image
}

/// The names of the artifacts that the registry lists, each with the type that it states, in a fixed order.
fn listed(at: &Folder<'_>, image: &Content, query: &str) -> String {
    let answer = at.get(&format!("referrers/{}{query}", image.digest()));
    let Value::Array(found) = &answer.json()["manifests"] else { return answer.outline(&[]) };
    let mut names = Vec::new();
    for artifact in ARTIFACTS {
        let digest = artifact.to(image).digest().to_string();
        for entry in found.iter().filter(|entry| entry["digest"] == digest) {
            let stated = match entry["artifactType"].as_str() {
                Some(TYPE) => "profile",
                Some(EMPTY) => "empty",
                Some(OTHER) => "other",
                _ => "none",
            };
            names.push(format!("{} {stated}", artifact.name));
        }
    }
    assert_eq!(names.len(), found.len(), "{found:?}");
    let headers = [("oci-filters-applied", "filtered"), ("link", "Link")];
    let headers = headers.into_iter().filter(|(name, _)| answer.header(name).is_some());
    names.extend(headers.map(|(_, what)| what.to_owned()));
    format!("{}: {}", answer.status, names.join(", "))
}

/// Whether the order of the list is always the same. With four entries in an order that is drawn anew each time, a hundred
/// equal ones do not happen.
fn order(at: &Folder<'_>) -> String {
    let image = with_artifacts(at);
    let path = format!("referrers/{}", image.digest());
    let first = at.get(&path);
    if first.status != 200 {
        return first.outline(&[]);
    }
    let differs = (0..100).any(|_| at.get(&path).body != first.body);
    if differs { "drawn anew" } else { "fixed" }.to_owned()
}

/// What comes of a manifest of so many bytes: whether it was stored, and the answer to a manifest that is not.
fn stored(at: &Folder<'_>, bytes: usize) -> String {
    let content = of_size(bytes);
    at.push_blobs(&content);
    let path = format!("/v2/{}/manifests/large", at.path);
    let headers = [("content-type", OCI)];
    let request = Request { method: "PUT", path: &path, headers: &headers, body: content.bytes.as_bytes() };
    let sent = at.server.send(request);
    let read = at.ask("GET", "manifests/large", &[("accept", OCI)], b"");
    match (sent, read.status) {
        (Ok(answer), 200) => format!("{}, stored", answer.status),
        // Of a body that is much too large the registry reads no more and closes the connection, and whether its answer
        // arrives before is a matter of chance.
        (Err(_), 404) if bytes > FAR_TOO_LARGE => "refused".to_owned(),
        (Ok(answer), 404) if bytes > FAR_TOO_LARGE && answer.status == 400 => "refused".to_owned(),
        (Ok(answer), 404) => {
            let message = answer.json()["errors"][0]["detail"].to_string();
            format!("{} {}", answer.outline(&[]), message.trim_matches('"'))
        }
        (sent, status) => format!("{sent:?}, then {status}"),
    }
}

const LARGEST: usize = 4 * 1024 * 1024;
const FAR_TOO_LARGE: usize = 8 * LARGEST;

/// The answer to DELETE, and what can be read after it by the tag and by the digest.
fn deleted(at: &Folder<'_>, name: fn(&Content) -> String) -> String {
    let content = oci();
    at.push(&content);
    let answer = at.ask("DELETE", &format!("manifests/{}", name(&content)), &[], b"");
    let status = |name: &str| at.ask("GET", &format!("manifests/{name}"), &[("accept", OCI)], b"").status;
    let (by_tag, by_digest) = (status("oci"), status(&content.digest().to_string()));
    format!("{}, then {by_tag} by tag, {by_digest} by digest", answer.outline(&[]))
}

/// How many tags are listed of three if two are asked for, and whether the answer names the next page.
fn tags(at: &Folder<'_>) -> String {
    let content = oci();
    at.push(&content);
    for tag in ["a", "b"] {
        assert_eq!(at.put_as(&content, tag, OCI).status, 201);
    }
    let answer = at.get("tags/list?n=2");
    let count = answer.json()["tags"].as_array().map_or(0, Vec::len);
    let link = if answer.header("link").is_some() { ", Link" } else { "" };
    format!("{count} of 3{link}")
}

const TABLE: &[Row] = &[
    row(
        "an OCI manifest, without Accept",
        |at| read(at, oci(), None),
        ["404 MANIFEST_UNKNOWN", "404 MANIFEST_UNKNOWN", "200 oci", "200 oci"],
    ),
    row(
        "an OCI manifest, with Accept: */*",
        |at| read(at, oci(), Some("*/*")),
        ["404 MANIFEST_UNKNOWN", "404 MANIFEST_UNKNOWN", "200 oci", "200 oci"],
    ),
    row(
        "an OCI manifest by its digest, without Accept",
        |at| {
            let content = oci();
            at.push(&content);
            at.get(&format!("manifests/{}", content.digest())).outline(&[content])
        },
        ["404 MANIFEST_UNKNOWN", "404 MANIFEST_UNKNOWN", "200 oci", "200 oci"],
    ),
    row("an OCI manifest, with its type", |at| read(at, oci(), Some(OCI)), ["200 oci"; 4]),
    row(
        "an OCI index, without Accept",
        |at| read(at, index(), None),
        ["404 MANIFEST_UNKNOWN", "200 index", "200 index", "200 index"],
    ),
    row(
        "Docker's manifest, without Accept",
        |at| read(at, docker(), None),
        ["400 MANIFEST_INVALID", "200 docker", "200 docker", "200 docker"],
    ),
    row(
        "Docker's list, with the type of Docker's manifest alone: of the platform amd64 of Linux",
        |at| read(at, docker_list(), Some(DOCKER)),
        ["200 docker-amd64", "200 docker-amd64", "200 list", "200 list"],
    ),
    row(
        "a type that is not wanted at all (q=0) is as good as another",
        |at| read(at, oci(), Some(&format!("{OCI}; q=0"))),
        ["200 oci"; 4],
    ),
    row("all types in one header, an OCI manifest", |at| read(at, oci(), Some(&all_types())), ["200 oci"; 4]),
    row("the same, an OCI index", |at| read(at, index(), Some(&all_types())), ["200 index"; 4]),
    row("the same, Docker's manifest", |at| read(at, docker(), Some(&all_types())), ["200 docker"; 4]),
    row("the same, Docker's list", |at| read(at, docker_list(), Some(&all_types())), ["200 list"; 4]),
    row(
        "HEAD of a tag",
        head,
        [
            "200 oci, length true, type true, etag Some(true)",
            "200 oci, length true, type true, etag Some(true)",
            "200 oci, length true, type true, etag None",
            "200 oci, length true, type true, etag None",
        ],
    ),
    row(
        "an artifact with a subject is put",
        |at| {
            let image = oci();
            at.push(&image);
            let artifact = ARTIFACTS[0].to(&image);
            at.push_blobs(&artifact);
            written(at, &artifact, OCI)
        },
        ["201"; 4],
    ),
    row(
        "an artifact is put whose subject is not there",
        |at| {
            let artifact = ARTIFACTS[0].to(&oci());
            at.push_blobs(&artifact);
            written(at, &artifact, OCI)
        },
        ["201"; 4],
    ),
    row(
        "the referrers of a subject that is not there",
        |at| {
            at.push(&ARTIFACTS[0].to(&oci()));
            listed(at, &oci(), "")
        },
        ["404 text", "404 text", "404 METHOD_UNKNOWN", "200: by-artifact-type empty"],
    ),
    row(
        "the referrers of an image: the stated type is that of the configuration",
        |at| listed(at, &with_artifacts(at), ""),
        [
            "404 text",
            "404 text",
            "404 METHOD_UNKNOWN",
            "200: by-artifact-type empty, by-config profile, by-both profile, other empty",
        ],
    ),
    row(
        "the referrers of a type",
        |at| listed(at, &with_artifacts(at), &format!("?artifactType={TYPE}")),
        [
            "404 text",
            "404 text",
            "404 METHOD_UNKNOWN",
            "200: by-artifact-type empty, by-config profile, by-both profile, other empty",
        ],
    ),
    row(
        "the referrers, of which two are asked for",
        |at| listed(at, &with_artifacts(at), "?n=2"),
        [
            "404 text",
            "404 text",
            "404 METHOD_UNKNOWN",
            "200: by-artifact-type empty, by-config profile, by-both profile, other empty",
        ],
    ),
    row("the order of the referrers", order, ["404 text", "404 text", "404 METHOD_UNKNOWN", "drawn anew"]),
    row(
        "the referrers in a repository that is not there",
        |at| listed(at, &oci(), ""),
        ["404 text", "404 text", "404 METHOD_UNKNOWN", "404 NAME_UNKNOWN"],
    ),
    row(
        "the referrers of what is no digest",
        |at| {
            at.push(&oci());
            at.get("referrers/oci").outline(&[])
        },
        ["404 text", "404 text", "404 METHOD_UNKNOWN", "400 UNSUPPORTED"],
    ),
    row(
        "an index is put, and a manifest that it names is not there",
        |at| written(at, &index(), OCI_INDEX),
        [
            "400 MANIFEST_BLOB_UNKNOWN",
            "400 MANIFEST_BLOB_UNKNOWN",
            "404 MANIFEST_UNKNOWN",
            "404 MANIFEST_UNKNOWN",
        ],
    ),
    row(
        "a manifest is put, and the blobs that it names are not there",
        |at| written(at, &oci(), OCI),
        ["400 MANIFEST_BLOB_UNKNOWN", "400 MANIFEST_BLOB_UNKNOWN", "201", "201"],
    ),
    row(
        "a blob of another repository",
        |at| {
            let other = Folder { server: at.server, path: format!("{}-other", at.path) };
            other.push_blob("of another repository");
            at.push(&oci());
            at.get(&format!("blobs/{}", Digest::of(b"of another repository"))).status.to_string()
        },
        ["404", "404", "200", "200"],
    ),
    row(
        "an OCI manifest is put as Docker's",
        |at| {
            at.push_blobs(&oci());
            let put = written(at, &oci(), DOCKER);
            let read = at.ask("GET", "manifests/oci", &[("accept", &all_types())], b"");
            let stated = read.header("content-type").filter(|_| read.status == 200);
            format!("{put}, then {}", if stated == Some(DOCKER) { "Docker's" } else { "nothing" })
        },
        [
            "400 MANIFEST_INVALID, then nothing",
            "400 MANIFEST_INVALID: mediaType in manifest should be \
             'application/vnd.docker.distribution.manifest.v2+json' not \
             'application/vnd.oci.image.manifest.v1+json', then nothing",
            "201, then Docker's",
            "201, then Docker's",
        ],
    ),
    row(
        "an OCI manifest that states no type, without Accept",
        |at| read(at, untyped(), None),
        ["404 MANIFEST_UNKNOWN", "404 MANIFEST_UNKNOWN", "200 untyped", "200 untyped"],
    ),
    row("the same, with its type", |at| read(at, untyped(), Some(OCI)), ["200 untyped"; 4]),
    row(
        "an artifact manifest, a type that was withdrawn, is put",
        |at| {
            at.push_blobs(&withdrawn());
            written(at, &withdrawn(), OCI_ARTIFACT)
        },
        [
            "400 MANIFEST_INVALID",
            "400 MANIFEST_INVALID: unsupported manifest media type and no default available: \
             application/vnd.oci.artifact.manifest.v1+json",
            "201",
            "201",
        ],
    ),
    row("a manifest of 4 MiB is put", |at| stored(at, LARGEST), ["201, stored"; 4]),
    row(
        "a manifest of 4 MiB and a byte is put",
        |at| stored(at, LARGEST + 1),
        [
            "400 MANIFEST_INVALID http: request body too large",
            "400 MANIFEST_INVALID http: request body too large",
            "201, stored",
            "201, stored",
        ],
    ),
    row(
        "a manifest of 33 MiB is put",
        |at| stored(at, 33 * 1024 * 1024),
        ["refused", "refused", "201, stored", "201, stored"],
    ),
    row(
        "a tag is deleted",
        |at| deleted(at, |content| content.name.clone()),
        [
            "400 DIGEST_INVALID, then 200 by tag, 200 by digest",
            "202, then 404 by tag, 200 by digest",
            "202, then 404 by tag, 200 by digest",
            "202, then 404 by tag, 200 by digest",
        ],
    ),
    row(
        "a digest is deleted",
        |at| deleted(at, |content| content.digest().to_string()),
        [
            "202, then 404 by tag, 404 by digest",
            "202, then 404 by tag, 404 by digest",
            "202, then 200 by tag, 404 by digest",
            "202, then 200 by tag, 404 by digest",
        ],
    ),
    row("two tags are asked for", tags, ["3 of 3", "2 of 3, Link", "2 of 3", "2 of 3"]),
];

#[test]
#[ignore = "long: builds registries"]
fn registries_differ_as_the_table_says() {
    let servers: [Server; 4] = servers_to_compare();
    let mut wrong = Vec::new();
    for (number, Row { about, ask, answers }) in TABLE.iter().enumerate() {
        for (server, expected) in servers.iter().zip(answers) {
            let answer = ask(&Folder { server, path: format!("team/row-{number}") });
            if answer != **expected {
                wrong.push(format!("{about}: {} answers {answer:?}, expected {expected:?}", server.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
