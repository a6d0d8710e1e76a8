//! Where the DCs are: as the session names its own, as the server lists them, else as Telegram's known table has them.

use std::{collections::BTreeMap, net::SocketAddr};

use grammers_tl_types as tl;
use tgs_core::session_string::{Address, Host, SessionString, dc_address};

/// Where a sign-in from nothing begins; Telegram says where to move.
pub(crate) const FIRST: u8 = 2;

/// The addresses known to one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// Come before the known ones.
    own: BTreeMap<u8, SocketAddr>,
    test: bool,
}

impl Table {
    /// Telegram's own DCs.
    pub(crate) fn production() -> Self {
        Self { own: override_for_tests(), test: false }
    }

    /// Telegram's, or the test DCs, with what the session names. A host name is one of a web gateway that speaks
    /// another transport; the table's address of the same DC is used for it.
    pub(crate) fn for_session(session: &SessionString) -> Self {
        let mut table = Self { test: session.test == Some(true), ..Self::production() };
        if let Some(Address { host: Host::Ip(ip), port }) = session.address {
            table.own.insert(session.dc, SocketAddr::new(ip, port));
        }
        table
    }

    pub(crate) fn address(&self, dc: u8) -> Option<SocketAddr> {
        self.own.get(&dc).copied().or_else(|| dc_address(dc, self.test))
    }

    /// Takes what `help.getConfig` lists for DCs that are not known better: ordinary IPv4 ones.
    pub(crate) fn learn(&mut self, config: &tl::types::Config) {
        for tl::enums::DcOption::Option(option) in &config.dc_options {
            let ordinary = !(option.ipv6 || option.media_only || option.tcpo_only || option.cdn);
            let address = option.ip_address.parse().map(|ip| SocketAddr::new(ip, option.port as u16));
            if let (true, Ok(id), Ok(address)) = (ordinary, u8::try_from(option.id), address) {
                self.own.entry(id).or_insert(address);
            }
        }
    }
}

/// `TGS_TEST_DCS=1=127.0.0.1:4001,2=127.0.0.1:4002`: only in builds with the feature `test-dc`.
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
