//! `tgs-stream`: plays a playlist as one unbroken live stream.

pub mod http;

/// Runs the tool.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
