//! Shared code of the end-to-end tests, the demo, the bench and the soak: a real ingest, clips to
//! play, checks of the received stream.

pub mod as_run_log;
pub mod bin_path;
pub mod broadcast;
pub mod cached_items;
pub mod chaos;
pub mod clips;
pub mod cluster;
pub mod colours;
pub mod command_run;
pub mod container;
pub mod disk;
pub mod etcd;
pub mod everything_run;
pub mod flvcheck;
pub mod ingest;
pub mod machine;
mod netns;
pub mod nginx;
pub mod numbered;
pub mod programme_run;
pub mod prometheus;
pub mod proxies;
pub mod slot_starts;
pub mod stunnel;
pub mod telegram;
pub mod telethon;
pub mod throttle;
pub mod tools;
pub mod upgrades;
pub mod viewer;
pub mod web;
pub mod yt_dlp_place;

use std::env;

/// How much of a long test runs: `part` in the suite, `whole` by `cargo xtask soak --full-length`.
#[must_use]
pub fn full_length<T>(part: T, whole: T) -> T {
    if env::var_os("TGS_FULL_LENGTH").is_some() { whole } else { part }
}
