//! Go modules: where the published ones are, and how a module of ours requires one that has replace directives.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ProgramsError;
use crate::command;

/// A module in Go's cache.
pub struct Module {
    pub(super) go_mod: PathBuf,
    /// Its files.
    pub directory: PathBuf,
}

impl Module {
    /// Downloads it into the user's module cache, or into one of its own that can be deleted. `scratch` is a directory
    /// that belongs to no module.
    ///
    /// # Errors
    /// `go` cannot download it.
    pub fn download(
        module: &str,
        version: &str,
        scratch: &Path,
        cache: Option<&Path>,
    ) -> Result<Self, ProgramsError> {
        let mut go = Command::new("go");
        go.args(["mod", "download", "-modcacherw", "-json", &format!("{module}@v{version}")]);
        go.current_dir(scratch).env("GOWORK", "off");
        if let Some(cache) = cache {
            go.env("GOMODCACHE", cache);
        }
        let downloaded: serde_json::Value =
            serde_json::from_str(&command::output(&mut go)?).unwrap_or_default();
        let path = |field: &str| PathBuf::from(downloaded[field].as_str().unwrap_or_default());
        Ok(Module { go_mod: path("GoMod"), directory: path("Dir") })
    }
}

/// The replace directives of `go_mod` that name a published version and not a folder of its repository.
pub(super) fn published_replacements(go_mod: &str) -> String {
    let lines = go_mod.lines().map(|line| line.trim().trim_start_matches("replace "));
    let published = lines.filter(|line| line.split_once(" => ").is_some_and(|(_, to)| !to.starts_with('.')));
    published.map(|line| format!("\nreplace {line}\n")).collect()
}

/// Kubernetes replaces its staging modules by folders of its repository, which its module does not
/// hold: `=> ./staging/src/k8s.io/api` becomes `=> k8s.io/api v0.37.2`.
///
/// The replace directives that name the published versions of the staging modules in `go_mod`, with
/// the godebug line that Kubernetes is built and tested with.
pub(super) fn staging_replacements(go_mod: &str, version: &str) -> String {
    let patch = version.strip_prefix("1.").unwrap_or(version);
    let mut text = String::new();
    for line in go_mod.lines().map(str::trim) {
        if line.starts_with("godebug default=") {
            text.push_str(&format!("\n{line}\n"));
        }
        if let Some((name, _)) = line.split_once(" => ./staging/") {
            let name = name.trim_start_matches("replace ");
            text.push_str(&format!("\nreplace {name} => {name} v0.{patch}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_replacements_those_by_published_modules_are_taken_over() {
        let go_mod = "module m\n\nreplace example.org/a v1.0.0 => example.org/b v1.2.0\n\nreplace (\n\
                      \texample.org/c => ../c\n\texample.org/d => example.org/e v3.0.0\n)\n";
        assert_eq!(
            published_replacements(go_mod),
            "\nreplace example.org/a v1.0.0 => example.org/b v1.2.0\n\
             \nreplace example.org/d => example.org/e v3.0.0\n"
        );
    }

    #[test]
    fn staging_modules_are_replaced_by_their_published_versions() {
        let go_mod = "module k8s.io/kubernetes\n\ngodebug default=go1.26\n\nreplace (\n\
                      \tk8s.io/api => ./staging/src/k8s.io/api\n)\nreplace k8s.io/x => ./staging/src/k8s.io/x\n";
        assert_eq!(
            staging_replacements(go_mod, "1.37.2"),
            "\ngodebug default=go1.26\n\nreplace k8s.io/api => k8s.io/api v0.37.2\n\
             \nreplace k8s.io/x => k8s.io/x v0.37.2\n"
        );
    }
}
