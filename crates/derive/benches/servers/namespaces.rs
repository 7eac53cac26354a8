//! Namespaces in which only loopback exists, and whose processes end with the first one.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, ExitCode};

use crate::machine::run;

/// Runs this program there, with `--inside` before these arguments.
pub(crate) fn enter(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ExitCode {
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    inside.arg(env::current_exe().unwrap()).arg("--inside").args(arguments);
    let status = inside.status().expect("unshare is installed");
    ExitCode::from(u8::from(!status.success()))
}

/// Brings loopback up, which nobody else does there.
pub(crate) fn bring_loopback_up() {
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
}
