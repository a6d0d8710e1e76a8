//! Lists and pages on loopback, with the real yt-dlp and ffprobe.

#[expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]
mod cached_page;
mod lists;
#[expect(clippy::unwrap_used, reason = "it serves tests alone, outside of test functions")]
mod loopback;
mod pages;
mod programme;
mod trust;
