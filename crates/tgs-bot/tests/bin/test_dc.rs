//! `tgs-bot` with the feature `test-dc`, under a name of its own: it must not end up where the
//! released tool does.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_bot::run)
}
