//! Registries that lie, stall, flood, lead astray and ask for logins: each costs a bounded time and a bounded number of
//! bytes, and none receives a login that is not its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

mod cases;
mod server;
mod writes;

use std::time::{Duration, Instant};

use registry::{Client, Limits, Login, Reach, Reference, RegistryError, Which};
use rustls::pki_types::CertificateDer;

use cases::{CASES, Case, Operation};
use server::{Action, Server, answer};

/// The longest time of a question to a registry that never comes to an end by itself.
const TIME: Duration = Duration::from_millis(400);
/// The longest time of one that another bound ends: on a slow machine, too, that bound is the first.
const AMPLE: Duration = Duration::from_mins(1);
/// How much later than its time a question may end on a slow machine.
const SURPLUS: Duration = Duration::from_mins(1);
/// What an answer may cost in bytes: the largest manifest, and what lies in the buffers of two sockets.
const BYTES: u64 = 20 * 1024 * 1024;

fn client(ports: &[u16], time: Duration) -> Client {
    let names: std::collections::BTreeSet<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let reach = Reach { plain: names.clone(), inside: names, networks: Vec::new() };
    let limits = Limits { time, connect: time };
    Client::new(reach, limits, std::iter::empty::<CertificateDer<'_>>()).unwrap()
}

async fn ask(client: &Client, port: u16, operation: &Operation) -> Result<(), RegistryError> {
    let reference = Reference::parse(&format!("127.0.0.1:{port}/team/app:1")).unwrap();
    let (repository, login) = (reference.repository(), Login::user("user", "pass"));
    match operation {
        Operation::Tag => {
            client.manifest(repository, &Which::Tag(reference.tag().unwrap()), &login).await.map(drop)
        }
        Operation::Digest(digest) => {
            let which = Which::Digest(digest.parse().unwrap());
            client.manifest(repository, &which, &login).await.map(drop)
        }
        Operation::Blob { size } => {
            let text = format!(r#"{{"digest":"{}","size":{size}}}"#, registry::Digest::of(b"good"));
            let descriptor = serde_json::from_str(&text).unwrap();
            client.blob(repository, &descriptor, 1024, &login).await.map(drop)
        }
        Operation::Referrers => {
            client.referrers(repository, &registry::Digest::of(b"good"), &login).await.map(drop)
        }
    }
}

#[tokio::test]
async fn whatever_a_registry_does_is_bounded_and_gets_no_other_login() {
    let mut wrong = Vec::new();
    for Case { name, operation, handler, other, reason } in CASES {
        let second = Server::start(*other, 0).await;
        let first = Server::start(*handler, second.port).await;
        let time = if *reason == "RegistryTimeout" { TIME } else { AMPLE };
        let (client, start) = (client(&[first.port, second.port], time), Instant::now());
        let found = ask(&client, first.port, operation).await;
        let took = start.elapsed();
        let found_reason = found.as_ref().err().map_or("Ok", RegistryError::reason);
        if found_reason != *reason {
            wrong.push(format!("{name}: {found:?}, expected {reason}"));
        }
        if took > time + SURPLUS || first.sent() + second.sent() > BYTES {
            wrong.push(format!("{name}: {took:?} and {} bytes", first.sent() + second.sent()));
        }
        if let Err(error) = found {
            let text = error.to_string();
            if text.len() > 600 || text.chars().any(char::is_control) || text.contains("pass") {
                wrong.push(format!("{name}: {text:?}"));
            }
        }
        if second.seen().iter().any(|seen| seen.authorization().is_some()) {
            wrong.push(format!("{name}: the other host received a login"));
        }
    }
    assert!(CASES.len() >= 40, "{}", CASES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_token_of_one_login_is_not_used_for_another() {
    fn handler(seen: &server::Seen, _: u16) -> Action {
        let port = seen.headers["host"].clone();
        match (&*seen.path, seen.authorization()) {
            (path, _) if path.starts_with("/token") => {
                // The token names who asked for it.
                let who = seen.authorization().unwrap_or("nobody").replace(' ', "_").replace('=', "");
                answer(200, &[], format!(r#"{{"token":"{who}","expires_in":300}}"#).as_bytes())
            }
            (_, None) => {
                let challenge = format!(r#"Bearer realm="http://{port}/token",service="s""#);
                answer(401, &[("www-authenticate", &challenge)], b"")
            }
            (_, Some(token)) => {
                let text = format!(r#"{{"manifests":[],"annotations":{{"for":"{token}"}}}}"#);
                answer(200, &[], text.as_bytes())
            }
        }
    }
    let server = Server::start(handler, 0).await;
    let client = client(&[server.port], AMPLE);
    let reference = Reference::parse(&format!("127.0.0.1:{}/team/app:1", server.port)).unwrap();
    let which = Which::Tag(reference.tag().unwrap());
    let mut texts = Vec::new();
    for login in [Login::user("a", "1"), Login::user("b", "2"), Login::Anonymous, Login::user("a", "1")] {
        let fetched = client.manifest(reference.repository(), &which, &login).await.unwrap();
        texts.push(String::from_utf8(fetched.bytes.to_vec()).unwrap());
    }
    assert_eq!(texts[0], texts[3]);
    assert_ne!(texts[0], texts[1]);
    assert!(texts[2].contains("nobody"));
    let tokens = server.seen().iter().filter(|seen| seen.path.starts_with("/token")).count();
    assert_eq!(tokens, 3, "the fourth question uses the token of the first");
}

#[tokio::test]
async fn a_host_inside_is_not_asked_unless_it_is_named() {
    let server = Server::start(|_, _| answer(200, &[], b"{}"), 0).await;
    let named = format!("127.0.0.1:{}", server.port);
    let reach = Reach { plain: [named.clone()].into(), ..Reach::default() };
    let limits = Limits { time: AMPLE, connect: AMPLE };
    let client = Client::new(reach, limits, std::iter::empty::<CertificateDer<'_>>()).unwrap();
    let error = ask(&client, server.port, &Operation::Tag).await.unwrap_err();
    assert_eq!(error.reason(), "RegistryNotPermitted");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_with_another_certificate_gets_nothing() {
    // It answers the handshake with something else than TLS, as any server without a trusted certificate fails.
    let server = Server::start(|_, _| answer(200, &[], b"{}"), 0).await;
    let named = format!("127.0.0.1:{}", server.port);
    let reach = Reach { inside: [named].into(), ..Reach::default() };
    let limits = Limits { time: TIME, connect: TIME };
    let client = Client::new(reach, limits, std::iter::empty::<CertificateDer<'_>>()).unwrap();
    let error = ask(&client, server.port, &Operation::Tag).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(server.seen().is_empty());
}
