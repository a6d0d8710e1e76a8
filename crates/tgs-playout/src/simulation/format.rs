//! What is simulated: rates, lengths, and how much media is held.

use std::{sync::Arc, time::Duration};

use super::time::SimulatedTime;
use crate::{item::Item, profile::Profile, read_ahead::ReadAhead, status::SharedStatus};

/// The length of an item; `None` for a live one.
pub type LengthOf = dyn Fn(&Item) -> Option<Duration> + Send + Sync;

/// Pictures a second.
pub(super) const FPS: u64 = 5;

/// Samples a second: five AAC frames.
pub(super) const RATE: u64 = 5 * 1024;

/// The encoded media that list and lanes hold.
pub(super) const READ_AHEAD: Duration = Duration::from_secs(4);

pub(super) const PROFILE: Profile = Profile { fps: FPS as u32, audio_rate: RATE as u32, ..Profile::P720 };

/// A read-ahead whose items are numbered above `above`.
pub(super) fn read_ahead(time: &Arc<SimulatedTime>, status: &SharedStatus, above: u64) -> Arc<ReadAhead> {
    let read_ahead = ReadAhead::new(PROFILE.fps, READ_AHEAD, status.standing()).numbered_above(above);
    Arc::new(read_ahead.timed_by(time.clone()))
}
