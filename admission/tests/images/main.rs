//! Images in a registry of this process, and what the webhook makes of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod narrowing;
mod questions;
mod signing;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use registry::testing::RunningRegistry;
use registry::{Client, Limits, Reach, Reference};

/// The host of a registry of this process, as in references.
fn host(registry: &RunningRegistry) -> String {
    format!("127.0.0.1:{}", registry.port())
}

/// The image with this tag.
fn image(registry: &RunningRegistry, tag: usize) -> Reference {
    Reference::parse(&format!("{}/team/app:{tag}", host(registry))).unwrap()
}

/// A client that may ask it.
fn client(registry: &RunningRegistry) -> Client {
    client_of(&[registry])
}

/// A client that may ask these.
fn client_of(registries: &[&RunningRegistry]) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names: BTreeSet<_> = registries.iter().map(|registry| host(registry)).collect();
    let reach = Reach { plain: names.clone(), inside: names, networks: Vec::new() };
    let time = Duration::from_mins(1);
    let roots = std::iter::empty::<rustls::pki_types::CertificateDer<'_>>();
    Client::new(reach, Limits { time, connect: time }, roots).unwrap()
}

/// Prints a line even if the test passes.
fn print_line(text: &str) {
    // Not `eprintln!`, whose output the harness captures.
    let _ = writeln!(std::io::stderr(), "{text}");
}
