//! The settings of the recording: the type, and parsers of their values.

use std::{path::PathBuf, time::Duration};

use crate::units;

/// The recording of what is aired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSettings {
    /// `RECORD_DIR`; need not exist yet.
    pub dir: PathBuf,
    /// `RECORD_SEGMENT`, 1 min to 24 h.
    pub segment: Duration,
    /// `RECORD_KEEP`, 1 h to 10 years.
    pub keep: Duration,
    /// `RECORD_MAX_GB`, in bytes; 0: without a limit.
    pub most_bytes: u64,
}

pub(super) fn segment(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_mins(1)..=Duration::from_hours(24);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 1m to 24h".into()) }
}

pub(super) fn keep(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_hours(1)..=Duration::from_hours(3650 * 24);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 1h to 3650d".into()) }
}
