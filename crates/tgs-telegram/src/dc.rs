//! The addresses of Telegram's data centres (DCs): from the session, else from the server's list,
//! else built in.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::session::string::{Address, Host, SessionString, dc_address};
use grammers_session::types::DcOption;

/// The DC at which a sign-in without any session begins; Telegram redirects to the account's DC.
pub(crate) const FIRST: u8 = 2;

/// The DC addresses known to one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct DcTable {
    /// Addresses of the session and the server's list; they override the built-in ones.
    listed: BTreeMap<u8, SocketAddr>,
    test: bool,
}

impl DcTable {
    /// The production DCs.
    pub(crate) fn production() -> Self {
        Self { listed: override_for_tests(), test: false }
    }

    /// The production or test DCs with the session's address. A host name belongs to a WebSocket
    /// gateway, which needs another transport; the built-in address replaces it.
    pub(crate) fn for_session(session: &SessionString) -> Self {
        let mut table = Self { test: session.test == Some(true), ..Self::production() };
        if let Some(Address { host: Host::Ip(ip), port }) = session.address {
            table.listed.insert(session.dc, SocketAddr::new(ip, port));
        }
        table
    }

    pub(crate) fn address(&self, dc: u8) -> Option<SocketAddr> {
        self.listed(dc).or_else(|| dc_address(dc, self.test))
    }

    /// The address that the session or the server's list gives.
    pub(crate) fn listed(&self, dc: u8) -> Option<SocketAddr> {
        self.listed.get(&dc).copied()
    }

    /// Adds the IPv4 address that the server lists for a DC, unless an address is known.
    pub(crate) fn learn(&mut self, option: &DcOption) {
        if let Ok(id) = u8::try_from(option.id)
            && !option.ipv4.ip().is_unspecified()
        {
            self.listed.entry(id).or_insert(option.ipv4.into());
        }
    }
}

/// Parses `TGS_TEST_DCS=1=127.0.0.1:4001,2=127.0.0.1:4002`; only with the feature `test-dc`.
#[cfg(feature = "test-dc")]
fn override_for_tests() -> BTreeMap<u8, SocketAddr> {
    let named =
        std::env::var_os("TGS_TEST_DCS").and_then(|value| value.into_string().ok()).unwrap_or_default();
    let pair = |pair: &str| {
        let (dc, address) = pair.split_once('=')?;
        Some((dc.parse().ok()?, address.parse().ok()?))
    };
    named.split(',').filter_map(pair).collect()
}

#[cfg(not(feature = "test-dc"))]
fn override_for_tests() -> BTreeMap<u8, SocketAddr> {
    BTreeMap::new()
}
