//! This workspace: where it is, and cargo in it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A cargo that builds in `repository`, independent of the environment of this program.
pub fn cargo(repository: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // They would take precedence over flags that a caller sets.
    cargo.current_dir(repository).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // The variables that `cargo run` sets for this program would look like a change to build scripts.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"]
            .iter()
            .any(|of_package| name.starts_with(of_package))
        {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Where cargo puts what it builds in `repository`.
pub fn target_directory(repository: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    repository.join(target)
}

/// The root of this workspace, as it was when this crate was built.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
