//! The `tgs-stream` binary.

fn main() -> std::process::ExitCode {
    tgs_core::cli::main(tgs_stream::run)
}
