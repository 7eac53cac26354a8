//! A metrics registry that starts with `seccomp_profile_build_info`.

use prometheus::{IntGaugeVec, Opts, Registry};

/// A registry for the program `component` at `version`.
///
/// # Errors
/// None in practice: the one metric in it has a fixed, valid name.
pub fn registry(component: &str, version: &str) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let info = IntGaugeVec::new(
        Opts::new("seccomp_profile_build_info", "Always 1; the labels tell what runs."),
        &["component", "version"],
    )?;
    info.with_label_values(&[component, version]).set(1);
    registry.register(Box::new(info))?;
    Ok(registry)
}
