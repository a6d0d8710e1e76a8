//! What every tgs tool shares: settings, secrets, exit codes, files and child processes. No Telegram traffic, no media.

pub mod backoff;
pub mod cancel;
pub mod env_file;
pub mod exit;
pub mod files;
pub mod logging;
pub mod process;
pub mod secret;
pub mod settings;
pub mod units;
