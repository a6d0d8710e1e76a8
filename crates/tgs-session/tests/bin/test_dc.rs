//! `tgs-session` with the feature `test-dc`, under a name of its own: it must not end up where the
//! real one is looked for.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_session::run)
}
