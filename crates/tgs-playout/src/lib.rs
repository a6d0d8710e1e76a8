//! Items in, one continuous FLV timeline out, published. Knows no Telegram.
//!
//! ```text
//! item → encoder (one ffmpeg) → read-ahead → timeline (one clock) → publisher (one connection)
//! ```
//!
//! [`engine::run`] wires them together and describes the threads.

pub mod cache;
mod clock;
pub mod command;
mod continuous;
mod display_order;
pub mod engine;
pub mod events;
#[cfg(test)]
mod faults;
pub mod ffmpeg;
pub mod filler;
pub mod handover;
pub mod item;
mod item_notes;
pub mod lane;
mod lane_slate;
pub mod loudness;
mod main_output;
pub mod monitor;
pub mod network;
mod on_air;
pub mod output;
pub mod outputs;
mod pacing;
pub mod profile;
pub mod proxy;
mod publisher;
mod quiet_log;
pub mod read_ahead;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod sink;
mod source_failure;
pub mod status;
mod threads;
pub mod timeline;
pub mod upstream;
