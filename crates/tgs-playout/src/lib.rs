//! Items in, one continuous FLV timeline out, published. Knows no Telegram.
//!
//! ```text
//! item → encoder (one ffmpeg) → feed (read-ahead) → timeline (one clock) → publisher (one connection)
//! ```
//!
//! [`engine::run`] wires them together and describes the threads.

mod ahead;
pub mod cache;
mod clock;
pub mod codec;
pub mod command;
mod copy;
pub mod encoder;
pub mod engine;
#[cfg(test)]
mod faults;
pub mod feed;
pub mod filler;
pub mod flv;
pub mod item;
mod playout;
pub mod probe;
pub mod profile;
pub mod proxy;
pub mod publisher;
pub mod rtmp;
mod runs;
pub mod status;
mod threads;
pub mod timeline;
pub mod trial;
