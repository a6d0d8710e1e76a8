//! The unmodified grammers client, and the connection that `tgs-telegram` builds on it, against the
//! test DC.

mod chats;
mod client;
mod connection;
mod exchange;
mod faults;
mod patched;
mod qr;
mod session;
mod sign_in;
