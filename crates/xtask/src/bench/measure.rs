//! The measurements, each on its own.

pub(super) mod cached;
pub(super) mod channels;
pub(super) mod commands;
pub(super) mod cpu;
pub(super) mod encoding;
mod extra;
pub(super) mod joins;
pub(super) mod look;
pub(super) mod loudness;
pub(super) mod memory;
pub(super) mod monitors;
pub(super) mod outage;
pub(super) mod outputs;
pub(super) mod picture;
pub(super) mod recording;
pub(super) mod schedule;
pub(super) mod start;
pub(super) mod sync;
pub(super) mod upgrade;

use std::time::{Duration, Instant};

use tgs_e2e::ingest::Record;
use tgs_rtmp::flv::Tag;

/// Limit of a run beyond the length of its media.
const SPARE: Duration = Duration::from_mins(1);

/// The frames of picture and sound that a connection brought, with the moment each arrived.
fn frames(record: &Record) -> Vec<(Instant, Tag)> {
    let arrived = record.media().map(|message| message.arrived);
    arrived.zip(record.tags()).filter(|(_, tag)| tag.is_frame()).collect()
}
