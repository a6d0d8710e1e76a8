//! The `tgs-bot` binary; the library holds all logic.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_bot::run)
}
