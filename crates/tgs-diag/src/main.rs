//! The `tgs-diag` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_diag::main()
}
