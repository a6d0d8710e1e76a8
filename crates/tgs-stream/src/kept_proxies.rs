//! Writes down which proxy of each list works, in a thread: what connects waits for no disk.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use tgs_core::{cancel::Cancel, proxy::KeptProxies, supervise::keep_running};

/// Interval at which changes are written.
const EVERY: Duration = Duration::from_secs(1);

/// The thread; dropping it writes the last change.
#[derive(Debug)]
pub(crate) struct ProxySaver {
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl ProxySaver {
    /// Starts the thread. Without it, the next start begins with the first proxies.
    pub(crate) fn start(kept: KeptProxies) -> Self {
        let cancel = Cancel::new();
        let stop = cancel.clone();
        let run = move || {
            let mut failed = false;
            keep_running("proxies", |delay| stop.wait(delay), || save_changes(&kept, &stop, &mut failed));
        };
        let thread = thread::Builder::new().name("proxies".to_owned()).spawn(run);
        let thread = thread.inspect_err(|error| log::error!("cannot start the thread proxies: {error}"));
        Self { cancel, thread: thread.ok() }
    }
}

impl Drop for ProxySaver {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

/// Saves until `stop`, and once more then. The first failure is logged.
fn save_changes(kept: &KeptProxies, stop: &Cancel, failed: &mut bool) {
    loop {
        let stopped = stop.wait(EVERY);
        if let Err(error) = kept.save()
            && !std::mem::replace(failed, true)
        {
            let file = kept.file().display();
            log::warn!("cannot keep in {file} which proxy works: {error}; the next start tries them in turn");
        }
        if stopped {
            return;
        }
    }
}
