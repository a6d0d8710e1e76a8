//! Lists and pages on loopback, by the real yt-dlp and ffprobe.

mod kept;
#[expect(clippy::unwrap_used, reason = "it serves tests alone, outside of test functions")]
mod loopback;
mod pages;
mod programme;
