//! A registry of another project on a port of loopback, and the tools that use it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use xtask::build_program::build_plugin;
use xtask::programs::Programs;
use xtask::workspace::repository;

static PROGRAMS: LazyLock<Programs> =
    LazyLock::new(|| Programs::build_registries().unwrap_or_else(|error| panic!("{error}")));
static PLUGIN: LazyLock<PathBuf> =
    LazyLock::new(|| build_plugin(repository()).unwrap_or_else(|error| panic!("{error}")));

const USER: &str = "somebody";
const PASSWORD: &str = "right";
/// The bcrypt of the password, the only hash that the registry reads.
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC";

/// A registry that runs until this is dropped, and the folder of somebody who uses it.
pub(crate) struct Server {
    child: Child,
    host: String,
    has_tls: bool,
    folder: TempDir,
}

impl Server {
    /// The registry of the distribution project, with TLS and a login.
    pub(crate) fn distribution() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        fs::write(path("ca.pem"), identity.cert.pem()).unwrap();
        fs::write(path("key.pem"), identity.signing_key.serialize_pem()).unwrap();
        fs::write(path("users"), format!("{USER}:{HASH}\n")).unwrap();
        let config = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": { "filesystem": { "rootdirectory": path("data") } },
            "http": {
                "addr": "127.0.0.1:0",
                "tls": { "certificate": path("ca.pem"), "key": path("key.pem") },
            },
            "auth": { "htpasswd": { "realm": "test", "path": path("users") } },
        });
        // YAML reads JSON.
        fs::write(path("config.yaml"), config.to_string()).unwrap();
        let mut registry = PROGRAMS.command("registry");
        registry.arg("serve").arg(path("config.yaml")).env("OTEL_TRACES_EXPORTER", "none");
        let server = Self::start(registry, folder, true, |line| {
            let (_, rest) = line.split_once("listening on ")?;
            rest.split([',', '"']).next()?.rsplit(':').next()?.parse().ok()
        });
        server.log_in();
        server
    }

    /// The registry of crane, in memory.
    pub(crate) fn crane() -> Self {
        let mut registry = PROGRAMS.command("crane");
        registry.args(["registry", "serve", "--address", "127.0.0.1:0"]);
        Self::start(registry, tempfile::tempdir().unwrap(), false, |line| {
            line.split_once("serving on port ")?.1.trim().parse().ok()
        })
    }

    /// Starts a registry, and waits until it names its port.
    fn start(mut registry: Command, folder: TempDir, has_tls: bool, port: fn(&str) -> Option<u16>) -> Self {
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
        Self { child, host: format!("127.0.0.1:{port}"), has_tls, folder }
    }

    /// The repository of the image.
    pub(crate) fn repository(&self) -> String {
        format!("{}/team/app", self.host)
    }

    /// The image.
    pub(crate) fn image(&self) -> String {
        format!("{}:1", self.repository())
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Writes a file in the folder, and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Has Docker's configuration contain the login.
    pub(crate) fn log_in(&self) {
        let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let host = self.host.as_str();
        self.file("config.json", &json!({ "auths": { host: { "auth": auth } } }).to_string());
    }

    /// Has Docker's configuration contain none.
    pub(crate) fn log_out(&self) {
        self.file("config.json", "{}");
    }

    /// Pushes an image for linux/amd64 with one layer.
    pub(crate) fn push_image(&self) {
        let layer = self.path("layer.tar");
        let mut tar = tar::Builder::new(fs::File::create(&layer).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        tar.append_data(&mut header, "hello", &b"hello"[..]).unwrap();
        tar.finish().unwrap();
        let image = self.image();
        self.tool("crane", &["append", "--oci-empty-base", "--new_layer", &layer, "--new_tag", &image]);
        self.tool("crane", &["mutate", &image, "--set-platform", "linux/amd64", "--tag", &image]);
    }

    /// Runs `oras`, and returns what it prints.
    pub(crate) fn oras(&self, arguments: &[&str]) -> String {
        let ca = self.path("ca.pem");
        let how = if self.has_tls { vec!["--ca-file", &ca] } else { vec!["--plain-http"] };
        self.tool("oras", &[arguments, &how].concat())
    }

    /// How cosign is told to use it.
    pub(crate) fn cosigns_way(&self) -> Vec<&'static str> {
        // The certificate is in the environment.
        if self.has_tls { Vec::new() } else { vec!["--allow-http-registry"] }
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = PROGRAMS.command(name);
        self.run(command.args(arguments), 0)
    }

    /// Runs a command of `kubectl seccomp`, which must end with this code, and returns its standard output and error.
    pub(crate) fn seccomp(&self, code: i32, task: &str, arguments: &[&str]) -> String {
        let ca = self.path("ca.pem");
        let how = if self.has_tls { ["--ca-file", &ca] } else { ["--plain-http", &self.host] };
        let mut command = Command::new(PLUGIN.join("kubectl-seccomp"));
        self.run(command.arg(task).args(arguments).args(how), code)
    }

    /// Runs a command of `kubectl seccomp` that asks both registries, with the logins and certificates of both.
    pub(crate) fn seccomp_between(&self, other: &Self, arguments: &[&str]) -> String {
        let mut command = Command::new(PLUGIN.join("kubectl-seccomp"));
        command.args(arguments);
        for server in [self, other] {
            match server.has_tls {
                true => command.args(["--ca-file", &server.path("ca.pem")]),
                false => command.args(["--plain-http", &server.host]),
            };
        }
        let with_login = if self.has_tls { self } else { other };
        with_login.run(&mut command, 0)
    }

    /// The digest of an image, as crane sees it.
    pub(crate) fn digest(&self, image: &str) -> String {
        self.tool("crane", &["digest", image])
    }

    /// Runs a program in the folder, which must end with this code.
    pub(crate) fn run(&self, command: &mut Command, code: i32) -> String {
        let folder = self.folder.path();
        command.current_dir(folder).env("HOME", folder).env("DOCKER_CONFIG", folder);
        command.env("SSL_CERT_FILE", folder.join("ca.pem")).env_remove("SOURCE_DATE_EPOCH");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let printed = String::from_utf8_lossy(&stdout).into_owned();
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(code), "{command:?}: {printed}{said}");
        if code == 0 { printed } else { printed + &said }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
