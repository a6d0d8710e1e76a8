//! The `tgs-ytdlp-update` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_ytdlp_update::run)
}
