//! The `tgs-ytdlp-update` binary: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    tgs_ytdlp_update::main()
}
