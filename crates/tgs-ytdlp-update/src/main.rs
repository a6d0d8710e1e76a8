//! The `tgs-ytdlp-update` binary; the library holds all logic.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_ytdlp_update::run)
}
