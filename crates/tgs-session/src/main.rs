//! The `tgs-session` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_session::run)
}
