//! Signatures by the real cosign, with keys alone.

use std::process::Command;

use serde_json::Value;
use xtask::programs::Programs;

use super::server::Server;
use super::{READS, artifact};

/// A key pair of somebody who signs, in the folder of a server.
struct Signer<'a> {
    server: &'a Server,
    cosign: Programs,
    name: &'a str,
}

impl<'a> Signer<'a> {
    fn new(server: &'a Server, name: &'a str) -> Self {
        let cosign = Programs::build_cosign().unwrap_or_else(|error| panic!("{error}"));
        let signer = Self { server, cosign, name };
        signer.run(&["generate-key-pair", "--output-key-prefix", name]);
        // No log, no time stamps: what is pushed depends on nobody else.
        signer.run(&["signing-config", "create", "--out", "config-without-services.json"]);
        signer
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command: Command = self.cosign.command("cosign");
        command.args(arguments).env("COSIGN_PASSWORD", "");
        // It would ask the public instance for what is trusted there, and goes on without.
        command.env("HTTPS_PROXY", "http://127.0.0.1:1");
        self.server.run(&mut command, 0)
    }

    /// Signs the manifest with this digest.
    fn sign(&self, digest: &str) {
        let (key, image) = (format!("{}.key", self.name), format!("{}@{digest}", self.server.repository()));
        let how = ["--yes", "--key", &key, "--signing-config", "config-without-services.json"];
        self.run(&[&["sign"], &how[..], &self.server.cosigns_way(), &[&image]].concat());
    }

    fn public_key(&self) -> String {
        self.server.path(&format!("{}.pub", self.name))
    }
}

#[test]
#[ignore = "long: builds registries and cosign"]
fn what_cosign_signs_can_be_used_and_nothing_else() {
    for server in super::servers() {
        let (image, signer, other) =
            (server.image(), Signer::new(&server, "one"), Signer::new(&server, "other"));
        let inspect = |code, key: &Signer| {
            server.seccomp(code, "inspect", &[&image, "--output", "json", "--key", &key.public_key()])
        };
        let attached = server.seccomp(0, "attach", &[&image, &server.file("reads.json", READS)]);
        let artifact = artifact(&attached);
        signer.sign(server.digest(&image).trim_end());
        assert!(inspect(1, &signer).contains(&format!("{artifact} has no signature")));
        other.sign(artifact);
        assert!(inspect(1, &signer).contains("none of the keys has made it"));
        signer.sign(artifact);
        let found: Value = serde_json::from_str(&inspect(0, &signer)).unwrap();
        assert_eq!(found["platforms"][0]["places"][0]["signed"], true, "{found}");
        inspect(0, &other);
    }
}
