//! The networks in which a source may lie, by its [`Trust`]. Connects to nothing.

use std::net::{IpAddr, ToSocketAddrs};

use super::protocols;
use crate::{
    item::{FailureReason, ItemFailure, MediaSource, Trust},
    network::Network,
};

/// Whether a source of this `trust` may lie in `network`.
pub(super) fn permits(trust: Trust, network: Network) -> bool {
    match trust {
        Trust::Operator => true,
        Trust::Found(list) => network == Network::Public || (network == list && network != Network::Reserved),
    }
}

pub(super) fn forbidden(address: IpAddr) -> ItemFailure {
    let whose = match Network::of(address) {
        Network::Loopback => "this machine",
        Network::Reserved => "no server of media",
        _ => "a private network",
    };
    let why = "lists, pages and redirects from elsewhere may not lead there";
    ItemFailure::new(FailureReason::Forbidden, format!("it leads to {address}, an address of {whose}: {why}"))
}

pub(super) fn unresolved() -> ItemFailure {
    ItemFailure::new(FailureReason::Network, "the server's name cannot be resolved")
}

/// A permitted address of the server of `source`, for ffmpeg to use instead of the name. `None` if
/// the operator named the source, or if the proxy or a relay judges its address.
pub fn checked_address(source: &MediaSource) -> Result<Option<IpAddr>, ItemFailure> {
    if source.is_file() || source.trust == Trust::Operator || protocols::is_tunnelled(source) {
        return Ok(None);
    }
    let server = protocols::server_of(&source.url).ok_or_else(unresolved)?;
    if protocols::is_relayed(source) {
        return Ok(None);
    }
    let found = (&*server.host, server.port).to_socket_addrs().map_err(|_| unresolved())?;
    let mut refused = None;
    for address in found.map(|address| address.ip()) {
        if permits(source.trust, Network::of(address)) {
            return Ok(Some(address));
        }
        refused.get_or_insert(address);
    }
    Err(refused.map_or_else(unresolved, forbidden))
}
