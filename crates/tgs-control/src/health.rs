//! The answer of `/healthz` and the prefixes of its reasons. The engine decides what is healthy.

/// An answer of `/healthz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// 200: media flows.
    Healthy,
    /// 200: an operator has stopped the broadcast.
    Stopped,
    /// 200: another host publishes, and this one could take over.
    Standby,
    /// 503, with its reason.
    Unhealthy(String),
}

/// The body of `/healthz`, and the beginning of the status line, of a stopped broadcast.
pub const STOPPED: &str = "stopped";
/// The same of a host that is a hot standby.
pub const STANDBY: &str = "standby";
/// The reason before the first connection.
pub const NOT_CONNECTED: &str = "not yet connected to the server";
/// Begins the reason while the publisher reconnects.
pub const CONNECTION_LOST: &str = "connection lost";
/// Begins the reason while no media is sent.
pub const NOTHING_SENT: &str = "nothing was sent";
/// Begins the reason after minutes of filler.
pub const ONLY_FILLER: &str = "only the filler is shown";
