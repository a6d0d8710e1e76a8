//! The addresses of Telegram's data centres (DCs): from the session, else from the server's list,
//! else built in.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::session::string::{Address, Host, SessionString, dc_address, dc_address_v6};
use grammers_session::types::DcOption;

/// The DC at which a sign-in without any session begins; Telegram redirects to the account's DC.
pub(crate) const FIRST: u8 = 2;

/// Added to the number of a test DC at an MTProxy.
const TEST_SHIFT: i16 = 10_000;

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

    /// All addresses of a DC in the order to try: the session's, then, for a DC on the internet,
    /// the IPv6 address, which may answer where IPv4 does not.
    pub(crate) fn addresses(&self, dc: u8) -> Vec<SocketAddr> {
        let first = self.address(dc);
        let on_internet =
            matches!(first, Some(SocketAddr::V4(v4)) if !v4.ip().is_loopback() && !v4.ip().is_private());
        let second = dc_address_v6(dc, self.test).filter(|_| on_internet);
        first.into_iter().chain(second).collect()
    }

    /// The DC's number in the header of an MTProxy's stream.
    pub(crate) fn proxy_id(&self, dc: u8) -> i16 {
        let shift = if self.test { TEST_SHIFT } else { 0 };
        i16::from(dc) + shift
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
