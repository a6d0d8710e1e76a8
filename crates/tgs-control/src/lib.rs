//! The status interface of a running `tgs-stream`, and a client for it.
//!
//! Holds the types of `/status` and `/healthz`, the status line of `systemctl status`, the address
//! file of the metrics port, and an HTTP client. The engine and `tgs-stream` serve the pages, count
//! metrics and decide what is healthy.

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
