//! Starts the threads of lanes; see [`crate::lane`].

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tgs_core::supervise::contain;

use super::{
    config::EngineConfig,
    context::EngineContext,
    encode::EncodeThread,
    opened_lane::{OpenLanes, OpenedLane},
    prepare::PrepareHandle,
};
use crate::{
    ffmpeg::EncodeSetup,
    filler,
    lane::{Lane, LaneRefused, Lanes, OpenLane},
    read_ahead::ReadAhead,
};

/// Numbers of lanes, never used twice in a process: events name items by them.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Opens lanes beside the list of a running engine.
#[derive(Debug)]
pub(super) struct LaneOpener {
    pub(super) lanes: Lanes,
    pub(super) setup: EncodeSetup,
    /// The list's.
    pub(super) context: EngineContext,
    pub(super) passthrough: bool,
    /// The list's read-ahead.
    pub(super) read_ahead: std::time::Duration,
    /// `None` if FILLER replaces every slate.
    pub(super) slates: Option<SlateMaker>,
}

impl LaneOpener {
    pub(super) fn new(
        lanes: &Lanes,
        setup: &EncodeSetup,
        context: &EngineContext,
        config: &EngineConfig,
        ffmpeg_version: &str,
    ) -> Self {
        let slates = SlateMaker { ffmpeg_version: ffmpeg_version.to_owned(), dir: config.cache_dir.clone() };
        Self {
            lanes: lanes.clone(),
            setup: setup.clone(),
            context: context.clone(),
            passthrough: config.passthrough,
            read_ahead: config.read_ahead,
            slates: config.filler.is_none().then_some(slates),
        }
    }

    /// Encodes the slate with `text` in a thread. Without it the usual slate is shown.
    fn start_slate(&self, lane: Arc<OpenLane>, text: String) {
        let Some(slates) = self.slates.clone() else { return };
        let setup = self.setup.clone();
        let make = move || contain(|| slates.make(&setup, &text, &lane)).unwrap_or_default();
        if let Ok(thread) = thread::Builder::new().name("lane-slate".into()).spawn(make) {
            self.lanes.keep_thread(thread);
        }
    }
}

impl LaneOpener {
    /// The setup of a lane that holds this much. A lane that holds less than the engine's list is
    /// to be on air soon: loudnorm, which looks ahead, would delay it.
    fn setup_of(&self, lane: &Lane, held: Duration) -> EncodeSetup {
        let mut setup = EncodeSetup { short_groups: lane.short_groups, ..self.setup.clone() };
        let loudness = &mut setup.processing.sound.loudness;
        if lane.read_ahead.is_some() && held < LOUDNORM_FROM && loudness.take().is_some() {
            log::info!(
                "“{}” is heard as loud as it is sent: loudnorm looks 3 s ahead, and {} s are held",
                lane.name,
                held.as_secs_f32()
            );
        }
        setup
    }
}

/// What a live lane must hold for its loudness to be evened out: the three seconds that loudnorm
/// looks ahead, and two.
const LOUDNORM_FROM: Duration = Duration::from_secs(5);

impl OpenLanes for LaneOpener {
    fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    fn open(&self, lane: Lane) -> Result<OpenedLane, LaneRefused> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let cancel = self.context.cancel.child();
        let held = lane.read_ahead.unwrap_or(self.read_ahead);
        let setup = self.setup_of(&lane, held);
        let read_ahead = ReadAhead::new(setup.profile.fps, held, self.context.control.status.standing());
        let read_ahead = Arc::new(read_ahead.numbered_above(OpenLane::first_seq(id)));
        // A live item that waits for its turn stays at its live edge.
        read_ahead.set_at_live_edge(true);
        let open = Arc::new(OpenLane::new(id, &lane, read_ahead.clone(), cancel.clone()));
        let context = EngineContext { read_ahead, cancel, lane: Some(open.clone()), ..self.context.clone() };
        self.lanes.add(open.clone())?;
        let started = PrepareHandle::start(lane.programme, context.clone(), None).and_then(|preparer| {
            let requests = preparer.ask.clone();
            let encode = EncodeThread::new(setup, context.clone(), self.passthrough);
            let run = move || {
                context.guard("encode", || encode.run(&preparer));
            };
            let thread = thread::Builder::new().name("lane-encode".into()).spawn(run)?;
            self.lanes.keep_thread(thread);
            Ok(requests)
        });
        if let Some(text) = lane.slate_text {
            self.start_slate(open.clone(), text);
        }
        match started {
            Ok(requests) => Ok(OpenedLane { lane: open, requests }),
            Err(error) => {
                log::error!("“{}” is not prepared: failed to start a thread: {error}", open.name);
                self.lanes.remove(id);
                Err(LaneRefused::Thread)
            }
        }
    }
}

/// Encodes the slates of lanes.
#[derive(Debug, Clone)]
pub(super) struct SlateMaker {
    ffmpeg_version: String,
    dir: PathBuf,
}

impl SlateMaker {
    fn make(&self, setup: &EncodeSetup, text: &str, lane: &OpenLane) {
        match filler::slate_with(setup, &self.ffmpeg_version, text, &self.dir, &lane.cancel) {
            Ok(path) => lane.slate.set(path),
            Err(_) if lane.cancel.is_cancelled() => {}
            Err(error) => {
                log::warn!("“{text}” is not shown after “{}”, the usual slate is: {error}", lane.name);
            }
        }
    }
}
