//! The application in whose name a client connects.

use tgs_core::{proxy::ProxyList, secret::Secret};

/// The application that the account's owner registered at <https://my.telegram.org>.
#[derive(Debug, Clone)]
pub struct App {
    /// `API_ID`
    pub api_id: i32,
    /// `API_HASH`
    pub api_hash: Secret<String>,
    /// The tool's name, shown in the account's list of devices.
    pub device: &'static str,
    /// `TELEGRAM_PROXY`; empty for direct connections.
    pub proxies: ProxyList,
}
