//! The `tgs-check-active` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_check_active::main()
}
