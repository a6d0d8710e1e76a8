//! The stream that another process hands over in an upgrade, and the ingest for the next one.

use tgs_core::cancel::Cancel;
use tgs_telegram::Ingest;

use super::{Driver, POLL_EVERY};
use crate::{telegram::state_machine::StateEvent, upgrade::HandedIngest};

/// The stream of a process whose place this one takes.
pub(crate) struct HandedStream {
    /// Its ingest, if it publishes.
    pub(crate) ingest: Option<Ingest>,
    /// Set once the process has ended, and its session is free.
    pub(crate) gone: Cancel,
}

impl Driver<'_, '_> {
    /// Publishes to the ingest of another process, and waits until its session is free.
    pub(super) fn take_over(&mut self, handed: HandedStream) -> StateEvent {
        let begin = match handed.ingest {
            Some(ingest) => {
                self.publish_to(ingest);
                StateEvent::TakenOver
            }
            None => StateEvent::Begin,
        };
        while !handed.gone.is_cancelled() {
            self.heartbeat.beat();
            if let Ok(code) = self.ends.try_recv() {
                return StateEvent::Ended(code);
            }
            if self.cancel.wait(POLL_EVERY) {
                return StateEvent::Stop;
            }
        }
        begin
    }

    pub(super) fn set_ingest(&mut self, ingest: Option<Ingest>) {
        let handed = ingest.as_ref();
        self.upgrade.set_ingest(
            handed.map(|ingest| HandedIngest { url: ingest.url.clone(), key: ingest.key.expose().clone() }),
        );
        self.ingest = ingest;
    }
}
