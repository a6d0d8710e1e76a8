//! State that the prepare and encode threads share.

use std::{path::PathBuf, sync::Arc};

use tgs_core::cancel::Cancel;

use super::control::Control;
use crate::{cache::Cache, ffmpeg::probe::ProbeOptions, read_ahead::ReadAhead, status::METRICS};

/// State that the prepare and encode threads share.
#[derive(Debug, Clone)]
pub(super) struct EngineContext {
    pub(super) ffprobe: PathBuf,
    /// Options of every probe of this broadcast.
    pub(super) wanted: ProbeOptions,
    pub(super) cache: Arc<Cache>,
    pub(super) read_ahead: Arc<ReadAhead>,
    pub(super) control: Control,
    pub(super) cancel: Cancel,
}

impl EngineContext {
    /// Publishes the encoder's speed; `None` while no encoder runs.
    pub(super) fn show_speed(&self, ratio: Option<f64>) {
        METRICS.encoder_speed.set(ratio.unwrap_or_default());
        self.control.status.show(|status| status.encoder_speed_ratio = ratio);
    }
}
