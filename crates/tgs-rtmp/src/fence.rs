//! What limits when a connection may send. Knows no leases and no clock.

use std::{any::Any, time::Duration};

/// The most bytes of one write under a fence: 40 ms of media at 3 Mbit/s.
pub(crate) const FENCED_WRITE: usize = 16 << 10;

/// Limits when a connection may send. It is asked before each write, and a write has at most
/// 16 KiB.
pub trait Fence: Send + Sync {
    /// Whether a write may begin now.
    fn may_send(&self) -> bool;

    /// Registers an open connection, until the result is dropped. `abort` resets it and discards
    /// what the kernel has not sent; the fence calls it when sending must end.
    fn register(&self, abort: Box<dyn Fn() + Send>) -> Box<dyn Any + Send>;

    /// How long sent data may stay unacknowledged before the kernel drops the connection.
    fn user_timeout(&self) -> Duration;
}
