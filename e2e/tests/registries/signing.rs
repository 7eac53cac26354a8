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
        Self::with(server, name, &["generate-key-pair"])
    }

    /// One with a key that openssl makes of these options.
    fn imported(server: &'a Server, name: &'a str, options: &[&str]) -> Self {
        let path = server.path(&format!("{name}.pem"));
        server.run(Command::new("openssl").args(["genpkey", "-out", &path]).args(options), 0);
        Self::with(server, name, &["import-key-pair", "--key", &path])
    }

    /// One with the key pair that a command of cosign makes.
    fn with(server: &'a Server, name: &'a str, command: &[&str]) -> Self {
        let cosign = Programs::build_cosign().unwrap_or_else(|error| panic!("{error}"));
        let signer = Self { server, cosign, name };
        signer.run(&[command, &["--output-key-prefix", name]].concat());
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

#[test]
#[ignore = "long: builds registries and cosign"]
fn of_other_kinds_of_keys_those_on_p_384_and_of_rsa_can_be_used_and_others_are_named() {
    const P521: &str = "key 1 is an ECDSA key on the curve P-521; expected";
    const ED25519: &str = "key 1 is an Ed25519 key; expected";
    let kinds: [(&str, &str, &[&str], Option<&str>); 6] = [
        ("p384", "EC", &["-pkeyopt", "ec_paramgen_curve:P-384"], None),
        ("rsa2048", "RSA", &["-pkeyopt", "rsa_keygen_bits:2048"], None),
        ("rsa3072", "RSA", &["-pkeyopt", "rsa_keygen_bits:3072"], None),
        ("rsa4096", "RSA", &["-pkeyopt", "rsa_keygen_bits:4096"], None),
        ("p521", "EC", &["-pkeyopt", "ec_paramgen_curve:P-521"], Some(P521)),
        ("ed25519", "ed25519", &[], Some(ED25519)),
    ];
    let server = Server::distribution();
    server.push_image();
    let image = server.image();
    let attached = server.seccomp(0, "attach", &[&image, &server.file("reads.json", READS)]);
    let artifact = artifact(&attached);
    for (name, algorithm, options, refused) in kinds {
        let signer = Signer::imported(&server, name, &[&["-algorithm", algorithm], options].concat());
        let inspect = |code| {
            server.seccomp(code, "inspect", &[&image, "--output", "json", "--key", &signer.public_key()])
        };
        if let Some(message) = refused {
            assert!(inspect(2).contains(message));
            continue;
        }
        if name != "p384" {
            assert!(inspect(1).contains("none of the keys has made it"), "{name}");
        }
        signer.sign(artifact);
        let found: Value = serde_json::from_str(&inspect(0)).unwrap();
        assert_eq!(found["platforms"][0]["places"][0]["signed"], true, "{name}: {found}");
    }
}
