//! The `tgs-testdc` binary; the library contains the code.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_testdc::cli::run)
}
