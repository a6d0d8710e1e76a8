//! Shared code of the end-to-end tests, the demo, the bench and the soak: a real ingest, clips to
//! play, checks of the received stream.

pub mod bin_path;
pub mod broadcast;
pub mod chaos;
pub mod clips;
pub mod command_run;
pub mod disk;
pub mod flvcheck;
pub mod ingest;
pub mod kept;
pub mod machine;
pub mod nginx;
pub mod prometheus;
pub mod stunnel;
pub mod telegram;
pub mod throttle;
pub mod tools;
pub mod viewer;
pub mod web;
pub mod yt_dlp_place;
