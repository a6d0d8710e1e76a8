//! Broadcasts into the test DC, and what can be seen of them.

use std::{path::PathBuf, time::Duration};

use tgs_e2e::{broadcast::Broadcast, clips::noisy, telegram::Scene};
use tgs_testdc::{CallKind, World};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) const DEGRADED: &str = "Degraded mode; SESSION_STRING invalid; run: ";

pub(crate) fn film() -> PathBuf {
    noisy("film", 4000).path().unwrap()
}

pub(crate) fn start(scene: &Scene) -> Broadcast {
    scene.launch().unwrap().play([film()]).start().unwrap()
}

/// Waits until media flows at the ingest over the newest of `count` connections.
pub(crate) fn live(scene: &Scene, count: usize) {
    scene
        .ingest
        .wait("media", LIMIT, |records| {
            records.len() >= count && records.last().is_some_and(|r| r.media().count() > 100)
        })
        .unwrap();
}

pub(crate) fn health(broadcast: &Broadcast, code: u16, reason: &str) {
    let fits = || broadcast.get("/healthz").ok().filter(|(c, text)| *c == code && text.starts_with(reason));
    broadcast.until(&format!("/healthz {code} {reason}"), LIMIT, fits).unwrap();
}

/// Looks for secrets in all that can be seen, then ends it in order.
pub(crate) fn end(scene: &Scene, broadcast: &mut Broadcast) {
    scene.no_secret_in(broadcast).unwrap();
    broadcast.stop().unwrap();
    scene.no_secret_in(broadcast).unwrap();
}

pub(crate) fn calls(scene: &Scene) -> Vec<(CallKind, bool)> {
    scene.dc.calls(World::CHANNEL).iter().map(|call| (call.kind, call.live)).collect()
}

/// A gauge or counter, as a whole number.
pub(crate) fn metric(broadcast: &Broadcast, name: &str) -> i64 {
    broadcast.metric(name).unwrap() as i64
}

pub(crate) fn count(broadcast: &Broadcast, words: &str) -> usize {
    broadcast.lines().iter().filter(|line| line.text.contains(words)).count()
}
