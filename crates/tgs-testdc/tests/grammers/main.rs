//! The unmodified grammers client against the test DC.

mod client;
mod session;
