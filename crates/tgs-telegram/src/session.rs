//! A session outside of a connection: its text form, its lock on this machine, and the waits and
//! limits that protect its account. Sends nothing to Telegram.

pub mod flood_wait;
pub mod limits;
pub mod lock;
pub mod string;
