//! The real `tgs-session` against the test DC: every way to sign in, every task, and what must not
//! happen.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod by_code;
mod by_qr;
mod harness;
mod messages;
mod non_interactive;
mod standby;
mod tasks;
mod telethon;
mod terminal;
