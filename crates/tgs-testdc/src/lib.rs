//! A Telegram DC on loopback, for tests and the demo: a real MTProto 2.0 server for unmodified
//! clients. It is never installed, holds no real account, and accepts local connections only.
//!
//! ```no_run
//! use tgs_testdc::{Fault, TestDc, When, World};
//!
//! let dc = TestDc::start(World::example())?;
//! let session = dc.new_session(World::ALICE, 2);
//! println!("SESSION_STRING={}", session.telethon_string());
//! dc.fault(Fault::named("AUTH_KEY_UNREGISTERED"), When::method("users.getUsers").times(1));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Two DCs share a [`World`] of accounts and chats. As with the real servers, a key belongs to one
//! DC and an account to one home DC. Messages, photos and documents exist in private chats between
//! a user and a bot only. Only documented or observed behaviour of the real servers is modelled.

mod connection;
mod crypt;
mod error;
mod exchange;
mod fault;
mod files;
mod mailbox;
mod message;
mod numbers;
mod objects;
mod rpc;
mod server;
mod session_string;
mod srp;
mod state;
mod transport;
mod world;

pub mod cli;
pub mod control;

pub use error::RpcError;
pub use fault::{At, Fault, When};
pub use server::{CallInfo, Session, TestDc};
pub use session_string::SessionInfo;
pub use state::{Request, SentCode};
pub use world::{Account, CallKind, Chat, ChatKind, CodeBy, Role, World};
