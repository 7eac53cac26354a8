//! Builds the project's own programs and packs each as a container image: one static binary, no
//! shell, no base image.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{self, CommandError};
use crate::files::{self, FileError};
use crate::image::{Image, ImageError, Program};
use crate::progress::Compiler;
use crate::workspace::{cargo, target_directory};

/// The release that the images are tagged with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why the images could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildImagesError {
    /// `cargo build` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An archive could not be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The directory for the archives could not be created.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The programs that have an image, and the user that each runs as.
pub const PROGRAMS: [(&str, u32); 4] =
    [("operator", 65532), ("node-agent", 0), ("admission", 65532), ("observer", 65530)];

/// `CAP_AUDIT_READ` of `linux/capability.h`.
const AUDIT_READ: u8 = 37;

/// Compiles these programs of the workspace in `repository` for release, as static programs. Returns
/// the directory that contains them.
///
/// # Errors
/// When the build fails.
pub fn compile(repository: &Path) -> Result<PathBuf, CommandError> {
    compile_into(repository, &target_directory(repository), &[])
}

/// Like [`compile`], but builds into the cargo target directory `target`, and also builds the packages
/// `extra_packages`.
///
/// # Errors
/// Same as [`compile`].
pub fn compile_into(
    repository: &Path,
    target: &Path,
    extra_packages: &[&str],
) -> Result<PathBuf, CommandError> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    let mut cargo = cargo(repository);
    cargo.env(flags, static_flags(glibc().as_deref())).env("CARGO_TARGET_DIR", target);
    cargo.args(["build", "--locked", "--release", "--target", &triple]);
    // An earlier release may not have all of them.
    let programs = PROGRAMS.iter().map(|(name, _)| name).filter(|name| repository.join(name).is_dir());
    for name in programs.chain(extra_packages) {
        cargo.args(["-p", name]);
    }
    command::run_compiler(&mut cargo, Compiler::Cargo)?;
    Ok(target.join(triple).join("release"))
}

/// The compiler's flags for static programs that are linked with this glibc, such as `glibc 2.36`.
///
/// A third of a megabyte of a program are addresses that it corrects when it starts, and all of it then stays in memory.
/// Their packed form takes some kilobytes. A static program corrects them by glibc's code, which knows that form since
/// 2.36; with an older one the program would not start.
fn static_flags(glibc: Option<&str>) -> &'static str {
    let release = glibc.and_then(|line| line.trim().strip_prefix("glibc 2."));
    let minor = release.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if minor.is_some_and(|minor| minor >= 36) {
        "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
    } else {
        "-C target-feature=+crt-static"
    }
}

/// What `getconf` says of this system's glibc; `None` where it says nothing.
fn glibc() -> Option<String> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").stdin(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// Builds these programs of the workspace in `repository` for release, and writes an archive of each into `directory`. Returns the archives.
///
/// # Errors
/// When the build fails or an archive cannot be written.
pub fn build_images(repository: &Path, directory: &Path) -> Result<Vec<PathBuf>, BuildImagesError> {
    let release = compile(repository)?;
    files::create_dir(directory)?;
    Ok(pack(&release, VERSION, directory, "")?)
}

/// Packs each program in `release` as an image tagged `tag`, into `directory`, as an archive whose file name begins
/// with `prefix`. Returns the archives.
///
/// # Errors
/// When a program cannot be read or an archive cannot be written.
pub fn pack(release: &Path, tag: &str, directory: &Path, prefix: &str) -> Result<Vec<PathBuf>, ImageError> {
    let mut archives = Vec::new();
    for (name, user) in PROGRAMS.into_iter().filter(|(name, _)| release.join(name).exists()) {
        let archive = directory.join(format!("{prefix}{name}.tar"));
        let path = format!("/{name}");
        let image = Image {
            reference: format!("registry.local/seccomp-profile/{name}:{tag}"),
            programs: vec![Program {
                source: release.join(name),
                path: path.clone(),
                links: vec![],
                capabilities: if name == "observer" { vec![AUDIT_READ] } else { vec![] },
            }],
            entrypoint: vec![path],
            user,
            env: vec![],
        };
        image.write(&archive)?;
        archives.push(archive);
    }
    Ok(archives)
}

/// Writes the two images that every node needs in any test: `pause`, which containerd runs in
/// each pod to hold its namespaces, and `busybox`. Returns the archives.
///
/// # Errors
/// When `busybox --list` fails or an archive cannot be written.
pub fn base_images(directory: &Path) -> Result<Vec<PathBuf>, BuildImagesError> {
    let busybox = command::find("busybox").unwrap_or_else(|| "busybox".into());
    let applets = command::output(Command::new(&busybox).arg("--list"))?;
    let links = applets.lines().filter(|applet| *applet != "busybox");
    let images = [
        // containerd ends a sandbox with SIGKILL, so any program that sleeps will do.
        (
            "pause",
            Image {
                reference: PAUSE_IMAGE.into(),
                programs: vec![Program {
                    source: busybox.clone(),
                    path: "/busybox".into(),
                    links: vec![],
                    capabilities: vec![],
                }],
                entrypoint: ["/busybox", "sleep", "infinity"].map(String::from).into(),
                user: 65535,
                env: vec![],
            },
        ),
        (
            "busybox",
            Image {
                reference: "docker.io/library/busybox:latest".into(),
                programs: vec![Program {
                    source: busybox,
                    path: "/bin/busybox".into(),
                    links: links.map(|applet| format!("/bin/{applet}")).collect(),
                    capabilities: vec![],
                }],
                entrypoint: vec!["sh".into()],
                user: 0,
                env: vec!["PATH=/bin:/usr/bin:/sbin".into()],
            },
        ),
    ];
    files::create_dir(directory)?;
    let mut archives = Vec::new();
    for (name, image) in images {
        let archive = directory.join(format!("{name}.tar"));
        image.write(&archive)?;
        archives.push(archive);
    }
    Ok(archives)
}

/// The reference of the pause image, whose container holds a pod's namespaces.
pub const PAUSE_IMAGE: &str = "registry.local/pause:1";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workspace::repository;

    #[test]
    fn addresses_are_packed_only_where_glibc_corrects_them_in_static_programs() {
        let packs = |glibc| static_flags(glibc).contains("pack-relative-relocs");
        for new in ["glibc 2.36", "glibc 2.41\n", "glibc 2.40.9000"] {
            assert!(packs(Some(new)), "{new}");
        }
        for other in
            [None, Some("glibc 2.35"), Some("glibc 2.9"), Some("glibc 2.36x"), Some("musl 2.41"), Some("")]
        {
            assert!(!packs(other), "{other:?}");
        }
    }

    /// `docker build` must send every crate: cargo reads the manifest of each workspace member, even of those that it
    /// does not build.
    #[test]
    fn dockerignore_lets_every_workspace_member_through() {
        let read = |name: &str| files::read(&repository().join(name)).unwrap();
        let manifest = read("Cargo.toml");
        let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
        let folders = members.split('"').skip(1).step_by(2).map(|member| member.split('/').next().unwrap());
        let ignored = read(".dockerignore");
        let sent: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
        for folder in folders {
            assert!(sent.contains(folder), "{folder} is not among {sent:?}");
        }
        for folder in &sent {
            assert!(*folder == ".cargo" || repository().join(folder).exists(), "there is no {folder}");
        }
    }
}
