//! A registry of another project, as a process of the test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rcgen::{CertifiedKey, KeyPair};
use serde_json::{Value, json};
use xtask::programs::Programs;

/// The certificate of the registry of the distribution project, in its folder. It is its own authority.
pub(crate) const CERTIFICATE: &str = "ca.pem";
/// The key of the certificate, in the same folder.
pub(crate) const KEY: &str = "key.pem";

/// Who may log in.
pub(crate) const USER: &str = "somebody";
pub(crate) const PASSWORD: &str = "right";
/// The bcrypt of the password, the only hash that the registry reads.
pub(crate) const HASH: &str = "$2b$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC";

/// A registry that runs until this is dropped.
pub(crate) struct RegistryProcess {
    child: Child,
    port: u16,
}

impl RegistryProcess {
    /// The registry of the distribution project, with TLS, at this address and with its files in `folder`. `users` are those
    /// who may log in, as htpasswd has them; everybody may do everything if there are none.
    pub(crate) fn distribution(
        programs: &Programs,
        folder: &Path,
        address: IpAddr,
        users: Option<&str>,
    ) -> Self {
        Self::of_distribution(programs.command("registry"), folder, address, |_| {
            users.map(|users| logins(folder, users))
        })
    }

    /// The same by this program, with what the configuration says about logins. The certificate is one for TLS.
    pub(crate) fn of_distribution(
        mut registry: Command,
        folder: &Path,
        address: IpAddr,
        auth: impl FnOnce(&CertifiedKey<KeyPair>) -> Option<Value>,
    ) -> Self {
        let path = |name: &str| folder.join(name);
        let identity = identity(folder, address);
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": { "filesystem": { "rootdirectory": path("data") }, "delete": { "enabled": true } },
            "http": {
                "addr": format!("{address}:0"),
                "tls": { "certificate": path(CERTIFICATE), "key": path(KEY) },
            },
        });
        if let Some(auth) = auth(&identity) {
            config["auth"] = auth;
        }
        // YAML reads JSON.
        fs::write(path("config.yaml"), config.to_string()).unwrap();
        registry.arg("serve").arg(path("config.yaml")).env("OTEL_TRACES_EXPORTER", "none");
        Self::start(registry, |line| {
            let (_, rest) = line.split_once("listening on ")?;
            rest.split([',', '"']).next()?.rsplit(':').next()?.parse().ok()
        })
    }

    /// Starts a registry, and waits until it names its port.
    pub(crate) fn start(mut registry: Command, port: fn(&str) -> Option<u16>) -> Self {
        let mut child =
            registry.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let port = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry ended: {said}");
            match port(&line) {
                Some(port) => break port,
                None => said += &line,
            }
        };
        // What it says later is read, so that it can go on.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { child, port }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// A certificate for this address, in the folder with its key.
pub(crate) fn identity(folder: &Path, address: IpAddr) -> CertifiedKey<KeyPair> {
    let names = vec![address.to_string(), "localhost".to_owned()];
    let identity = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(folder.join(CERTIFICATE), identity.cert.pem()).unwrap();
    fs::write(folder.join(KEY), identity.signing_key.serialize_pem()).unwrap();
    identity
}

/// What the configuration says about users who may log in, as htpasswd has them.
pub(crate) fn logins(folder: &Path, users: &str) -> Value {
    let path = folder.join("users");
    fs::write(&path, users).unwrap();
    json!({ "htpasswd": { "realm": "test", "path": path } })
}

impl Drop for RegistryProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
