//! Telegram and the ingest through proxies of others, in a network that reaches nothing else.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod harness;
mod on_air;
mod routes;
