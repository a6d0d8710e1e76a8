//! The `tgs-check-active` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_check_active::run)
}
