//! The `tgs-ctl` binary; the library holds all logic.

fn main() -> std::process::ExitCode {
    tgs_ctl::complete();
    tgs_core::cli::main(tgs_ctl::run)
}
