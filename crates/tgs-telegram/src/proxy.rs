//! Proxies between grammers and Telegram.
//!
//! grammers connects to a plain address and speaks the transport Full. So a [`Forwarder`] listens
//! on loopback while a pool exists, and forwards each connection through the first proxy that leads
//! to a DC: over SOCKS5 or HTTP CONNECT as Full, over MTProxy as padded Intermediate in an
//! obfuscated stream, for a secret with `ee` inside records that look like TLS. Before the first
//! message passes, the DC must have answered a `req_pq_multi`: a proxy that merely accepts
//! connections is passed over.

mod check;
mod codec;
mod fake_tls;
mod forwarder;
mod framing;
mod obfuscation;
mod open;
mod ping;
mod problem;

pub use self::{
    check::check_route,
    problem::{ProxyFailure, ProxyProblem},
};
pub(crate) use self::{forwarder::Forwarder, open::DcTarget};
