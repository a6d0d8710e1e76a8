//! What the command router needs of lanes: to open one, and to send it commands.

use std::{
    fmt,
    sync::{Arc, mpsc},
};

use super::requests::PlaylistRequest;
use crate::lane::{Lane, LaneRefused, Lanes, OpenLane};

/// Opens lanes beside the list of a running engine.
pub(crate) trait OpenLanes: fmt::Debug + Send {
    /// Starts the threads of `lane` and hands it to the playout thread.
    fn open(&self, lane: Lane) -> Result<OpenedLane, LaneRefused>;

    /// The open lanes.
    fn lanes(&self) -> &Lanes;
}

/// An open lane, and where its programme takes requests.
#[derive(Debug)]
pub(crate) struct OpenedLane {
    pub(crate) lane: Arc<OpenLane>,
    pub(crate) requests: mpsc::Sender<PlaylistRequest>,
}
