//! Deploying over real ssh to a host with a real systemd: a release that is good, one that is not,
//! and everything that may come between. The release is a stand-in whose `tgs-stream` is a script;
//! its `tgs-check-active` is the real one.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod host;
mod interrupted;
mod releases;
mod settings;
