//! RTMP for publishing: FLV tags, codec headers, AMF0, chunk streams, the publishing session, and a
//! client connection.
//!
//! It encodes nothing, paces nothing and does not reconnect: the caller decides what to send and
//! when.

pub mod amf0;
pub mod chunk;
pub mod client;
pub mod codec;
pub mod flv;
#[cfg(fuzzing)]
pub mod fuzz;
mod handshake;
mod limits;
pub mod metadata;
pub mod url;
