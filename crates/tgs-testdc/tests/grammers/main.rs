//! The unmodified grammers client against the test DC.

mod chats;
mod client;
mod exchange;
mod faults;
mod patched;
mod qr;
mod session;
mod sign_in;
