//! The `tgs-session` binary; the library holds all logic.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_session::run)
}
