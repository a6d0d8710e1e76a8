//! The status server over real sockets: scrapers, operators and hostile clients.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod clients;
mod harness;
mod pages;
mod places;
