//! Errors of the hot standby.

use std::{io, path::PathBuf};

/// Why the hot standby cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HaError {
    /// A certificate or key cannot be read.
    #[error("{name} {}: {source}", .path.display())]
    File {
        /// The setting.
        name: &'static str,
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the thread of the hot standby: {0}")]
    Thread(#[source] io::Error),
}

/// Why the air is not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    /// This host is not on air.
    #[error("this host is a standby and has nothing to hand over")]
    NotActive,
    /// No host is ready to take over.
    #[error("no standby is ready to take over; `tgs-ctl status` shows the hosts")]
    NoStandby,
    /// etcd does not answer, or refuses.
    #[error("etcd does not take the change: {0}")]
    Etcd(String),
}

/// Why a request to etcd has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EtcdError {
    /// The lease does not exist any more.
    #[error("the lease has run out")]
    LeaseGone,
    /// No endpoint has answered in time.
    #[error("no answer of etcd within {0} ms")]
    Silent(u128),
    /// All endpoints have failed; the last failure.
    #[error("etcd at {endpoint}: {why}")]
    Failed { endpoint: String, why: String },
}
