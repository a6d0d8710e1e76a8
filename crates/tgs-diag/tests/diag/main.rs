//! The real `tgs-diag` against the test DC, real ffmpeg, yt-dlp and tgs-stream, and what goes wrong
//! with each.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod files;
mod harness;
mod network;
mod secrets;
mod telegram;
mod tools;
