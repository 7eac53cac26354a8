//! A registry of another project on a port of loopback, and the tools that use it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::referrers_registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::build_program::build_plugin;
use xtask::programs::Programs;
use xtask::workspace::repository;

use super::TYPE;
use super::registry_process::{CERTIFICATE, HASH, KEY, PASSWORD, RegistryProcess, USER, identity, logins};
use super::tokens::Tokens;

static PROGRAMS: LazyLock<Programs> =
    LazyLock::new(|| Programs::build_registries().unwrap_or_else(|error| panic!("{error}")));
static PLUGIN: LazyLock<PathBuf> =
    LazyLock::new(|| build_plugin(repository()).unwrap_or_else(|error| panic!("{error}")));

/// A registry that runs until this is dropped, and the folder of somebody who uses it.
pub(crate) struct Server {
    _process: RegistryProcess,
    /// What the tests call it.
    name: &'static str,
    host: String,
    has_tls: bool,
    /// Whether it has the API for referrers.
    has_api: bool,
    folder: TempDir,
    /// The service whose tokens it takes, if it does.
    tokens: Option<Tokens>,
}

impl Server {
    /// The registry of the distribution project, with TLS and a login.
    pub(crate) fn distribution() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = format!("{USER}:{HASH}\n");
        let address = Ipv4Addr::LOCALHOST.into();
        let process = RegistryProcess::distribution(&PROGRAMS, folder.path(), address, Some(&users));
        let server = Self::of("distribution", process, folder, true);
        server.log_in();
        server
    }

    /// The same, which takes tokens of a service alone.
    pub(crate) fn with_tokens() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (registry, address) = (PROGRAMS.command("registry"), Ipv4Addr::LOCALHOST.into());
        let mut tokens = None;
        let process = RegistryProcess::of_distribution(registry, folder.path(), address, |identity| {
            let tokens = tokens.insert(Tokens::start(identity, USER, PASSWORD, folder.path()));
            Some(tokens.options())
        });
        let server = Self { tokens, ..Self::of("distribution with tokens", process, folder, true) };
        server.log_in();
        server
    }

    /// An older one of the same project, from Debian's package, with TLS and a login.
    pub(crate) fn of_debian() -> Self {
        static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
            let script = repository().join("e2e/debian-packages.sh");
            let done = Command::new(script).args(["docker-registry", "docker-registry"]).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim_end().into()
        });
        let folder = tempfile::tempdir().unwrap();
        let registry = Command::new(PACKAGE.join("usr/bin/docker-registry"));
        let users = logins(folder.path(), &format!("{USER}:{HASH}\n"));
        let address = Ipv4Addr::LOCALHOST.into();
        let process = RegistryProcess::of_distribution(registry, folder.path(), address, |_| Some(users));
        let server = Self::of("Debian's", process, folder, true);
        server.log_in();
        server
    }

    /// The registry of go-containerregistry with the API for referrers, in memory, with TLS and a login.
    pub(crate) fn with_referrers() -> Self {
        // Where the next run finds it, and not in a folder that a static would never remove.
        static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let program = referrers_registry::build(folder.path()).unwrap_or_else(|error| panic!("{error}"));
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry-with-referrers");
            _ = fs::remove_file(&kept);
            fs::copy(program, &kept).unwrap();
            kept
        });
        let folder = tempfile::tempdir().unwrap();
        identity(folder.path(), Ipv4Addr::LOCALHOST.into());
        let mut registry = Command::new(&*BUILT);
        registry.args([CERTIFICATE, KEY].map(|name| folder.path().join(name))).args([USER, PASSWORD]);
        let process = RegistryProcess::start(registry, port_of_crane);
        let server = Self { has_api: true, ..Self::of("crane's with referrers", process, folder, true) };
        server.log_in();
        server
    }

    /// The registry of crane, in memory.
    pub(crate) fn crane() -> Self {
        let mut registry = PROGRAMS.command("crane");
        registry.args(["registry", "serve", "--address", "127.0.0.1:0"]);
        let process = RegistryProcess::start(registry, port_of_crane);
        Self::of("crane's", process, tempfile::tempdir().unwrap(), false)
    }

    fn of(name: &'static str, process: RegistryProcess, folder: TempDir, has_tls: bool) -> Self {
        let host = format!("127.0.0.1:{}", process.port());
        Self { _process: process, name, host, has_tls, has_api: false, folder, tokens: None }
    }

    /// What the tests call it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The address and the port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is asked with TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// For what tokens were asked of its service: the status of the answer and the scope.
    pub(crate) fn tokens_asked(&self) -> Vec<String> {
        self.tokens.as_ref().map(Tokens::asked).unwrap_or_default()
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
        self.run(command.arg(task).args(arguments).args(how).args(self.inside()), code)
    }

    /// The option without which the service for tokens would not be asked, as it is on this machine.
    fn inside(&self) -> Option<String> {
        self.tokens.as_ref().map(|tokens| format!("--inside={}", tokens.host()))
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
            command.args(server.inside());
        }
        let with_login = if self.has_tls { self } else { other };
        with_login.run(&mut command, 0)
    }

    /// What oras finds that refers to the image with a profile.
    pub(crate) fn discover(&self) -> Vec<Value> {
        let of_type = self.discover_by(&["--artifact-type", TYPE]);
        if !self.has_api {
            return of_type;
        }
        // The registry with the API for referrers says of each the type of its configuration, whatever type the artifact
        // has, so that oras finds none by the type.
        assert_eq!(of_type, Vec::<Value>::new());
        self.discover_by(&[])
    }

    fn discover_by(&self, more: &[&str]) -> Vec<Value> {
        let how = ["discover", &self.image(), "--format", "json"];
        let found: Value = serde_json::from_str(&self.oras(&[&how, more].concat())).unwrap();
        found["referrers"].as_array().unwrap().clone()
    }

    /// The digest of an image, as crane sees it.
    pub(crate) fn digest(&self, image: &str) -> String {
        self.tool("crane", &["digest", image])
    }

    /// The tags of the repository.
    pub(crate) fn tags(&self) -> Vec<String> {
        let printed = self.tool("crane", &["ls", &self.repository()]);
        printed.lines().map(str::to_owned).collect()
    }

    /// Deletes a tag of the repository.
    pub(crate) fn delete_tag(&self, tag: &str) {
        self.tool("crane", &["delete", &format!("{}:{tag}", self.repository())]);
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

/// The port that crane's registry says it serves on.
fn port_of_crane(line: &str) -> Option<u16> {
    line.split_once("serving on port ")?.1.trim().parse().ok()
}
