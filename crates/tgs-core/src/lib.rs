//! What every tgs tool shares: settings, secrets, exit codes, files and child processes. No Telegram traffic, no media.

pub mod cancel;
pub mod process;
