//! The metrics of the recording.

use std::sync::LazyLock;

use prometheus::{Counter, IntCounter, IntGauge, register_counter, register_int_counter, register_int_gauge};

/// The metrics of the recording; registered with the first recorder.
#[derive(Debug)]
pub(super) struct RecordingMetrics {
    pub(super) active: IntGauge,
    pub(super) written_bytes: IntCounter,
    pub(super) lost_seconds: Counter,
    pub(super) kept_bytes: IntGauge,
}

pub(super) static METRICS: LazyLock<RecordingMetrics> =
    LazyLock::new(|| RecordingMetrics::register().expect("metric names are constants and registered once"));

impl RecordingMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            active: register_int_gauge!(
                "tgs_recording_active",
                "1 while what is aired is written into RECORD_DIR, else 0; absent without RECORD_DIR. Keeps its value \
                 while the disk hangs."
            )?,
            written_bytes: register_int_counter!(
                "tgs_recording_written_bytes_total",
                "Bytes of recordings written; absent without RECORD_DIR."
            )?,
            lost_seconds: register_counter!(
                "tgs_recording_lost_seconds_total",
                "Seconds that were aired and not recorded, because the disk failed or was too slow; absent without \
                 RECORD_DIR."
            )?,
            kept_bytes: register_int_gauge!(
                "tgs_recording_kept_bytes",
                "Size of all recordings in RECORD_DIR; absent without RECORD_DIR."
            )?,
        })
    }
}
