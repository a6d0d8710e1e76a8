//! tgs-stream in a Telegram chat: it goes live, waits for what must be waited for, and survives its
//! session's death. Against a real MTProto server on loopback, with real ffmpeg.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod calls;
mod harness;
mod sessions;
mod trouble;
mod viewers;
