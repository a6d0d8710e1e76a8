//! Code that all tgs tools share: settings, secrets, exit codes, files and child processes. No
//! Telegram traffic, no media.

pub mod backoff;
pub mod cancel;
pub mod cli;
pub mod digest;
pub mod env_file;
pub mod error;
pub mod exit;
pub mod files;
pub mod language;
pub mod logging;
pub mod mask;
pub mod owner;
pub mod permit;
pub mod process;
pub mod proxy;
pub mod remedy;
pub mod secret;
pub mod settings;
pub mod signals;
pub mod supervise;
pub mod systemd;
pub mod time;
pub mod tls;
pub mod tries;
pub mod units;
pub mod ytdlp_dir;
