//! Further outputs: RTMP servers that receive the same broadcast beside the main output.
//!
//! # Theory of operation
//!
//! The playout thread appends each tag that it has sent to one `queue::TagQueue`, and waits for
//! nothing. Each output has a thread and a connection of its own (`publish`), and reads the queue
//! at its own place. So a server that is dead, slow or refuses the key affects neither the main
//! output nor another one: it loses its place in the queue, which is bounded for all together.
//!
//! The outputs outlive engine runs. The timeline goes on while any output is connected, also
//! without the main one; see `main_output.rs`.

mod metrics;
mod publish;
mod queue;
mod recorder;
mod state;

use std::{
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::Duration,
};

use tgs_control::OutputStatus;
use tgs_core::{cancel::Cancel, permit::Permit, supervise::keep_running};

pub(crate) use self::queue::{MAX_BEHIND, MAX_QUEUED, OutputFeed, TAG_COST};
use self::{publish::OutputThread, queue::TagQueue, recorder::RecorderView, state::FurtherOutput};
pub use self::{
    recorder::{RecorderConfig, RunningRecorder},
    state::OutputConfig,
};
use crate::{clock::SystemClock, events::EventSubscription, profile::Profile, threads::await_end};

/// How long the end of the process waits for the outputs to end their streams.
const GOODBYE: Duration = Duration::from_millis(1500);

/// No output has the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no output is named {name:?}; {}", shown(.known))]
pub struct UnknownOutput {
    name: String,
    known: Vec<String>,
}

fn shown(known: &[String]) -> String {
    if known.is_empty() {
        "ALSO_OUTPUT_URLS in the .env of this broadcast names none".to_owned()
    } else {
        format!("ALSO_OUTPUT_URLS names {}", known.join(", "))
    }
}

/// The further outputs of a broadcast, across engine runs. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outputs {
    queue: TagQueue,
    all: Arc<OnceLock<Vec<Arc<FurtherOutput>>>>,
    pub(crate) recorder: RecorderView,
}

/// The threads of the outputs. Dropping it ends their streams, within 1.5 s.
#[derive(Debug)]
pub struct RunningOutputs {
    cancel: Cancel,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for RunningOutputs {
    fn drop(&mut self) {
        self.cancel.cancel();
        await_end(&self.threads, GOODBYE);
    }
}

impl Outputs {
    /// Starts the outputs, once in a process. They connect when media flows, and end with `cancel`.
    pub(crate) fn start(
        &self,
        configs: Vec<OutputConfig>,
        profile: &Profile,
        cancel: Cancel,
        permit: &Permit,
    ) -> RunningOutputs {
        let all =
            self.all.get_or_init(|| configs.into_iter().map(FurtherOutput::new).map(Arc::new).collect());
        let start = |output: &Arc<FurtherOutput>| {
            let mut publisher =
                OutputThread::new(output.clone(), self.queue.clone(), profile.metadata(), cancel.clone())
                    .under(permit.clone());
            let (name, stop) = (format!("output-{}", output.name), cancel.clone());
            let run = {
                let name = name.clone();
                move || keep_running(&name, |delay| stop.wait(delay), || publisher.run())
            };
            let started = thread::Builder::new().name(name).spawn(run);
            started
                .inspect_err(|error| log::error!("output {}: cannot start its thread: {error}", output.name))
                .ok()
        };
        RunningOutputs { threads: all.iter().filter_map(start).collect(), cancel }
    }

    /// Starts to record, once in a process. Titles come from `events`.
    pub(crate) fn start_recorder(
        &self,
        config: RecorderConfig,
        events: Option<EventSubscription>,
        cancel: Cancel,
    ) -> RunningRecorder {
        recorder::start(config, self.queue.clone(), events, Arc::new(SystemClock), &self.recorder, cancel)
    }

    /// The side of the playout thread, for one engine run.
    pub(crate) fn begin_run(&self) -> OutputFeed {
        self.queue.begin_run(self.exist() || self.recorder.is_wanted())
    }

    /// Whether there are further outputs.
    pub(crate) fn exist(&self) -> bool {
        !self.all().is_empty()
    }

    /// Whether one of them is connected.
    pub(crate) fn any_connected(&self) -> bool {
        self.all().iter().any(|output| output.is_connected())
    }

    /// The state of all outputs.
    pub(crate) fn list(&self) -> Vec<OutputStatus> {
        self.all().iter().map(|output| output.status()).collect()
    }

    /// The output `name`.
    pub(crate) fn find(&self, name: &str) -> Result<&FurtherOutput, UnknownOutput> {
        let output = self.all().iter().find(|output| output.name == name);
        output.map(|output| &**output).ok_or_else(|| {
            let known = self.all().iter().map(|output| output.name.clone()).collect();
            UnknownOutput { name: name.chars().take(32).collect(), known }
        })
    }

    fn all(&self) -> &[Arc<FurtherOutput>] {
        self.all.get().map_or(&[], Vec::as_slice)
    }
}
