//! The `tgs-ctl` binary; the library holds all logic.

fn main() -> std::process::ExitCode {
    // The shell asks for completions by a variable that no shim of a child gets.
    tgs_ctl::complete();
    tgs_core::cli::main(tgs_ctl::run)
}
