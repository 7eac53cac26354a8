//! The observer's program; what it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use observer::audit_socket::AuditSocket;
use observer::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = daemon::logging::init(&options.logging) {
        eprintln!("observer: {error}");
        return ExitCode::FAILURE;
    }
    let node = options.node_name.clone();
    let socket = AuditSocket::open();
    // Before there is another thread: a thread keeps the capabilities that it began with.
    if let Err(error) = observer::audit_socket::give_up_privileges() {
        tracing::error!(%node, %error, "the capabilities cannot be given up");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(observer::run(options, socket)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%node, error = %link::chain(&error), "observer failed");
            ExitCode::FAILURE
        }
    }
}
