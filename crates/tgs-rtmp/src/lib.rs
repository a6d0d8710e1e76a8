//! RTMP for publishing: FLV tags, codec headers, AMF0, chunk streams, the publishing session, a
//! client connection and a server.
//!
//! It neither encodes, paces nor reconnects: the caller decides what to send and when.
//!
//! Publish a file in real time:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::{Duration, Instant};
//! use tgs_rtmp::{client::RtmpConnection, flv::FlvReader, metadata::Metadata, url::RtmpUrl};
//!
//! # let metadata = Metadata { width: 1280, height: 720, fps: 30, video_kbps: 1800,
//! #     audio_kbps: 128, audio_rate: 44_100, channels: 2 };
//! let url = RtmpUrl::parse("rtmps://host/app/key")?;
//! let mut tags = FlvReader::new(std::fs::File::open("film.flv")?);
//! let mut connection = RtmpConnection::open(&url, &metadata, || false, Duration::from_secs(10))?;
//! let began = Instant::now();
//! while let Some(tag) = tags.next_tag()? {
//!     connection.wait(began + Duration::from_millis(tag.timestamp))?;
//!     connection.send(&tag)?;
//! }
//! connection.goodbye();
//! # Ok(())
//! # }
//! ```
//!
//! Accept one publisher:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tgs_rtmp::{
//!     server::{KeyCheck, ServerConfig, ServerConnection, ServerEvent},
//!     stream_key::StreamKey,
//! };
//!
//! let config = ServerConfig::new(KeyCheck::Exactly(StreamKey::new("s3cr3t")));
//! let (socket, _) = std::net::TcpListener::bind("127.0.0.1:1935")?.accept()?;
//! let mut publisher = ServerConnection::accept(socket, config, || false)?;
//! loop {
//!     match publisher.next_event()? {
//!         ServerEvent::Media(tag) => println!("{:?} at {} ms", tag.kind, tag.timestamp),
//!         ServerEvent::Ended => break,
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod amf0;
pub mod chunk;
pub mod client;
pub mod codec;
pub mod codec_name;
mod fence;
pub mod flv;
#[cfg(fuzzing)]
pub mod fuzz;
mod handshake;
mod limits;
pub mod metadata;
pub mod server;
mod socket;
pub mod stream_key;
mod transport;
pub mod url;
