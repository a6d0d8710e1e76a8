//! The `tgs-testdc` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_testdc::cli::main()
}
