//! The command of the local cluster: `cargo run -p e2e -- help`.

fn main() -> std::process::ExitCode {
    e2e::cli::main()
}
