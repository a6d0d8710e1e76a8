//! The native RTMP sink.

use std::time::{Duration, Instant};

use tgs_core::{cancel::Cancel, permit::Permit, proxy::ProxyList};
use tgs_rtmp::{client::RtmpConnection, flv::Tag, url::RtmpUrl};

use super::{Sink, SinkError};
use crate::{profile::Profile, upstream::UpstreamDialler};

/// Time limit of one connection attempt.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(10);

/// Opens one connection to `target` through the first of `proxies` that works. It sends under
/// `permit`.
pub(crate) fn open(
    target: &RtmpUrl,
    proxies: &ProxyList,
    profile: &Profile,
    cancel: &Cancel,
    permit: &Permit,
) -> Result<RtmpConnection, SinkError> {
    let cancel = cancel.clone();
    let cancelled = move || cancel.is_cancelled();
    let dialler = UpstreamDialler::new(proxies.clone(), permit.clone());
    RtmpConnection::open_by(&dialler, target, &profile.metadata(), cancelled, CONNECT_TIME_OUT)
        .map_err(SinkError::from)
}

impl Sink for RtmpConnection {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        RtmpConnection::queue(self, tag);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        RtmpConnection::flush(self).map_err(SinkError::from)
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        RtmpConnection::wait(self, until).map_err(SinkError::from)
    }

    fn written(&self) -> u64 {
        RtmpConnection::written(self)
    }

    fn acked(&self) -> u64 {
        RtmpConnection::acked(self)
    }

    fn goodbye(self: Box<Self>) {
        RtmpConnection::goodbye(*self);
    }
}
