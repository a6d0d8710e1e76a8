//! Why the proxy did not serve a client, as an HTTP status and as an item's failure.

use std::{io, net::IpAddr};

use super::policy::{forbidden, unresolved};
use crate::item::{FailureReason, ItemFailure};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProxyError {
    Forbidden(IpAddr),
    Unresolved,
    Unreachable(io::ErrorKind),
    Busy {
        status: u16,
        seconds: Option<u64>,
    },
    /// The upstream of a bridge or relay failed.
    Upstream(ItemFailure),
}

impl ProxyError {
    /// The HTTP status for the client.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Forbidden(_) => 403,
            Self::Upstream(failure) if failure.reason == FailureReason::Forbidden => 403,
            Self::Busy { .. } => 503,
            _ => 502,
        }
    }

    pub(super) fn failure(&self) -> ItemFailure {
        match self {
            Self::Forbidden(address) => forbidden(*address),
            Self::Unresolved => unresolved(),
            Self::Upstream(failure) => failure.clone(),
            Self::Unreachable(io::ErrorKind::ConnectionRefused) => {
                ItemFailure::new(FailureReason::Network, "the server refuses the connection")
            }
            Self::Unreachable(_) => ItemFailure::new(FailureReason::Network, "the server does not answer"),
            Self::Busy { status, seconds } => {
                let wait = seconds.map_or(String::new(), |s| format!(", and asks to come back in {s} s"));
                ItemFailure::new(FailureReason::Network, format!("the server is busy (HTTP {status}){wait}"))
            }
        }
    }
}
