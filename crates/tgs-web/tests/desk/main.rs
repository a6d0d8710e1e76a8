//! The real `tgs-web` before a broadcast that is played by this test: signing in, roles, requests
//! of other sites, limits, paths and addresses that are refused, certificates.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod access;
mod broadcast;
mod desk;
mod live;
mod settings;
mod timetable;
