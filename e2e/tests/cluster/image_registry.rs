//! A registry that the nodes, the webhook and the person at the keyboard reach, and what they type `docker` for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use xtask::command;
use xtask::programs::Programs;
use xtask::workspace::repository;

use super::plugin::PLUGIN;
use super::registry_process::{CERTIFICATE, HASH, PASSWORD, RegistryProcess, USER};
use super::support::{Session, expect_cleanup};

/// The registry of the distribution project at the control plane's address, whose authority the nodes trust until this is
/// dropped.
pub(crate) struct ImageRegistry<'a> {
    cluster: &'a Session,
    host: String,
    has_login: bool,
    folder: tempfile::TempDir,
    _process: RegistryProcess,
}

impl<'a> ImageRegistry<'a> {
    pub(crate) fn start(cluster: &'a Session) -> Self {
        Self::with_users(cluster, None)
    }

    /// One that gives nothing without a login.
    pub(crate) fn start_private(cluster: &'a Session) -> Self {
        Self::with_users(cluster, Some(&format!("{USER}:{HASH}\n")))
    }

    fn with_users(cluster: &'a Session, users: Option<&str>) -> Self {
        let programs = Programs::build_registry().unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().unwrap();
        let address = cluster.instance().control_plane();
        let process = RegistryProcess::distribution(&programs, folder.path(), address.into(), users);
        let host = format!("{address}:{}", process.port());
        let registry = Self { cluster, host, has_login: users.is_some(), folder, _process: process };
        fs::write(registry.configuration(), registry.logins()).unwrap();
        for node in cluster.node_list() {
            node.trust_registry(registry.host(), &registry.authority()).unwrap();
        }
        registry
    }

    /// Its address and port, as in the name of an image.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The file with the authority of its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join(CERTIFICATE)
    }

    /// Docker's configuration with the login, as a pull secret has it.
    pub(crate) fn logins(&self) -> String {
        let login = json!({ "username": USER, "password": PASSWORD, "auth": STANDARD.encode(format!("{USER}:{PASSWORD}")) });
        let logins = if self.has_login { json!({ &self.host: login }) } else { json!({}) };
        json!({ "auths": logins }).to_string()
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// What a release needs to know of it: it has a private address, and a certificate of a private authority.
    pub(crate) fn values(&self) -> [String; 4] {
        let authority = self.authority().display().to_string();
        [
            "--set-file".to_owned(),
            format!("admission.images.registries.authorities={authority}"),
            "--set".to_owned(),
            format!("admission.images.registries.inside={{{}}}", self.host),
        ]
    }

    /// Builds an image with this Dockerfile and the files of `context`, pushes it, and returns its name.
    pub(crate) fn push(&self, name: &str, dockerfile: &str, context: &Path) -> String {
        let (image, file) = (format!("{}/{name}", self.host), self.folder.path().join("Dockerfile"));
        fs::write(&file, dockerfile).unwrap();
        let docker = || self.trusting(self.docker().join("docker"));
        run(docker().args(["build", "--tag", &image, "--file"]).arg(&file).arg(context));
        run(docker().args(["push", &image]));
        image
    }

    /// Runs `kubectl seccomp` with these arguments, which must succeed, and returns its standard output.
    pub(crate) fn seccomp(&self, arguments: &[&str]) -> String {
        run(self.trusting(PLUGIN.join("kubectl-seccomp")).args(arguments))
    }

    /// A command that trusts the registry's authority alone, and logs in there alone.
    fn trusting(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.env("SSL_CERT_FILE", self.authority());
        // One for `kubectl seccomp`, the other for buildah.
        command.env("DOCKER_CONFIG", self.folder.path()).env("REGISTRY_AUTH_FILE", self.configuration());
        command
    }

    /// A directory with a program `docker` that builds and pushes by Debian's `buildah`, which needs no daemon.
    pub(crate) fn docker(&self) -> PathBuf {
        let buildah = command::output(&mut Command::new(repository().join("e2e/buildah.sh")));
        let buildah = buildah.unwrap_or_else(|error| panic!("{error}"));
        let folder = self.folder.path();
        fs::write(folder.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        fs::write(folder.join("registries.conf"), "").unwrap();
        let script = format!(
            r#"#!/bin/sh
set -eu
debian={} folder={}
libraries=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$debian/lib/$libraries:$debian/usr/lib/$libraries"
export CONTAINERS_REGISTRIES_CONF="$folder/registries.conf" BUILDAH_ISOLATION=chroot TMPDIR="$folder"
command=$1
shift
exec "$debian/usr/bin/buildah" --storage-driver vfs --root "$folder/images" --runroot "$folder/run" \
    "$command" --signature-policy "$folder/policy.json" "$@"
"#,
            buildah.trim_end(),
            folder.display()
        );
        let programs = folder.join("programs");
        fs::create_dir_all(&programs).unwrap();
        write_program(&programs.join("docker"), &script);
        programs
    }
}

fn run(command: &mut Command) -> String {
    command::output(command).unwrap_or_else(|error| panic!("{error}"))
}

fn write_program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Drop for ImageRegistry<'_> {
    fn drop(&mut self) {
        for node in self.cluster.node_list() {
            expect_cleanup(node.forget_registry(&self.host));
        }
    }
}
