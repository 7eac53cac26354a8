//! What the webhook takes, measured with the program as it is released: its memory while registries are hostile and with
//! many images in its cache, and how much longer pods take to be created than with a webhook that does nothing.

mod cached;
mod hostile;
mod latency;
mod nothing;

use super::images::Shop;

/// The resident memory of the replica in MiB: now, and the most so far.
fn resident(shop: &Shop) -> (f64, f64) {
    let id = shop.scene.replicas[0].process.program.id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    (field("VmRSS"), field("VmHWM"))
}
