//! What a running `tgs-stream` shows, and the client that asks for it.
//!
//! The types of `/status` and `/healthz`, the line in `systemctl status`, the file that holds the
//! address of the metrics port, and one HTTP client. Serving the pages, counting metrics and
//! deciding what is healthy stay with `tgs-stream` and the engine.

mod address_file;
mod client;
pub mod health;
pub mod http_get;
mod null;
mod status;
mod summary;
mod telegram;

pub use address_file::{AddressError, AddressFile};
pub use client::{ClientError, StatusClient};
pub use health::Health;
pub use status::{EngineStatus, OnAir, PlayingItem, PublisherState, Status};
pub use telegram::{TelegramState, TelegramStatus};
