//! An upgrade without a gap: this process starts the program that is installed now beside itself,
//! hands the broadcast over to it at a picture, and ends.
//!
//! # Theory of operation
//!
//! ```text
//! this process                                     its successor
//! starts it ────────────────────────────────────>  reads the settings
//! <──────────────────────────────────────── hello
//! start: position, ingest, locks, listeners ─────> reads its first item ahead, held
//! <──────────────────────────────────────── ready
//! leaves the air at the position, closes its connection
//! go ────────────────────────────────────────────> publishes
//! <───────────────────────────────────────── live
//! MAINPID= to systemd; the live publisher ───────> keeps its connection
//! leaves Telegram; ends ─────────────────────────> opens the session, the sockets and the log
//! ```
//!
//! Until `go` the successor touches nothing that is shared; if it fails, it is killed and the
//! broadcast goes on. If it fails between `go` and `live`, this process publishes again, from the
//! same picture. Commands are refused meanwhile: the successor has read the files that they change.

mod attempt;
mod channel;
mod messages;
mod state;
pub(crate) mod successor;

pub(crate) use self::{
    messages::{HandedDescriptor, HandedIngest},
    state::Upgrade,
};
