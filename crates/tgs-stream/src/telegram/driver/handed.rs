//! The stream that another process or host hands over, and the ingest for the next process.

use tgs_core::cancel::Cancel;
use tgs_telegram::Ingest;

use super::{Driver, POLL_EVERY};
use crate::{telegram::state_machine::StateEvent, upgrade::HandedIngest};

/// The stream that this process continues.
pub(crate) struct HandedStream {
    /// The ingest, if there is one.
    pub(crate) ingest: Option<Ingest>,
    /// Set once the process has ended whose place this one takes, and its session is free. `None`
    /// on another host, which has a session of its own.
    pub(crate) gone: Option<Cancel>,
}

impl Driver<'_, '_> {
    /// Publishes to the ingest, and waits until the session is free.
    pub(super) fn take_over(&mut self, handed: HandedStream) -> StateEvent {
        let begin = match handed.ingest {
            Some(ingest) => {
                self.publish_to(ingest);
                StateEvent::TakenOver
            }
            None => StateEvent::Begin,
        };
        while handed.gone.as_ref().is_some_and(|gone| !gone.is_cancelled()) {
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
