//! `tgs-stream`: plays a playlist as one unbroken live stream.

/// Runs the tool.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
