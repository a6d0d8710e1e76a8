//! Tries one way to Telegram, for a diagnosis. Needs no session.

use std::time::{Duration, Instant};

use tgs_core::{cancel::Cancel, proxy::UpstreamProxy};
use tokio::time;

use super::{
    open::{DcTarget, open},
    problem::ProxyProblem,
};
use crate::{dc, session::string::SessionString};

/// Interval at which the stop flag is checked.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// Connects to the DC of `session` (without one, to DC 2) through `proxy`, or directly, and waits
/// for an answer of Telegram. Returns how long that took.
pub fn check_route(
    proxy: Option<&UpstreamProxy>,
    session: Option<&SessionString>,
    cancel: &Cancel,
    limit: Duration,
) -> Result<Duration, ProxyProblem> {
    let table = session.map_or_else(dc::DcTable::production, dc::DcTable::for_session);
    let number = session.map_or(dc::FIRST, |session| session.dc);
    let target = DcTarget { dc: table.proxy_id(number), addresses: table.addresses(number) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ProxyProblem::Local(error.kind()))?;
    let began = Instant::now();
    runtime.block_on(async {
        let stopped = async {
            while !cancel.is_cancelled() {
                time::sleep(STOP_CHECK).await;
            }
        };
        tokio::select! {
            () = stopped => Err(ProxyProblem::Stopped),
            opened = open(proxy, &target, time::Instant::now() + limit) => opened.map(|_| began.elapsed()),
        }
    })
}
