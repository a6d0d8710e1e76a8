//! Judges whether an encoder did what its job asked for.

use std::time::Duration;

use tgs_core::process::describe;
use tgs_rtmp::flv::FlvError;

use super::{
    process::EncoderExit,
    stall::{Abandoned, STALL},
};
use crate::{
    item::{FailureReason, ItemFailure, MediaSource},
    source_failure::{explain, last_message},
};

/// An item that ends this much before its probed end has failed.
pub(crate) const TOLERATED_SHORTFALL: Duration = Duration::from_secs(1);

/// Judges whether an encoder did what its job asked for.
pub(crate) fn judge(
    read: &Result<(), FlvError>,
    ended: &EncoderExit,
    expected: Option<Duration>,
    played: Duration,
    source: Option<&MediaSource>,
) -> Result<(), ItemFailure> {
    let missing = expected.map_or(Duration::ZERO, |expected| expected.saturating_sub(played));
    let failed = |reason, detail: String| Err(ItemFailure::new(reason, detail));
    let all = expected.is_some() && missing <= TOLERATED_SHORTFALL && !played.is_zero();
    match ended.abandoned {
        // ffmpeg waits for more segments of a playlist without an end tag.
        Some(Abandoned::Stalled) if all => return Ok(()),
        Some(cause) => return Err(abandoned(cause, played, source.is_some_and(MediaSource::is_file))),
        None => {}
    }
    let after = seconds(played);
    let killed = ended.status.code().is_none() && !ended.killed_here;
    // Without a known length only the exit status shows whether the item is complete.
    let whole = missing <= TOLERATED_SHORTFALL && !played.is_zero() && !(killed && expected.is_none());
    if whole && read.is_ok() {
        return Ok(());
    }
    if killed {
        return failed(
            FailureReason::Encoder,
            format!("its encoder was {} after {after}", describe(ended.status)),
        );
    }
    if let Err(error) = read {
        return failed(
            FailureReason::Encoder,
            format!("what its encoder makes cannot be read ({error}), {after} into it"),
        );
    }
    if played.is_zero() {
        return Err(match source {
            Some(source) => explain(&ended.messages, source),
            None => ItemFailure::new(FailureReason::Unplayable, "it names no source"),
        });
    }
    let remote = source.is_some_and(|source| !source.is_file());
    let said = match last_message(&ended.messages) {
        message if ended.messages.trim().is_empty() || message.is_empty() => String::new(),
        message => format!(" (ffmpeg says: {message})"),
    };
    let reason = if remote { FailureReason::Network } else { FailureReason::Truncated };
    failed(reason, format!("it ended {} before its end{said}", seconds(missing)))
}

/// The failure of an item whose encoder was abandoned.
fn abandoned(cause: Abandoned, played: Duration, is_file: bool) -> ItemFailure {
    let after = seconds(played);
    let (reason, detail) = match cause {
        Abandoned::Stalled => {
            let stall = STALL.as_secs();
            (FailureReason::Stalled, format!("no frame came for {stall} s, {after} into it"))
        }
        Abandoned::Stopped => {
            (FailureReason::Encoder, format!("its encoder was stopped by a signal after {after}"))
        }
        Abandoned::Trickles(came) if is_file => {
            let came = seconds(came);
            (FailureReason::Stalled, format!("its encoder is too slow: {came} of it came in a minute"))
        }
        Abandoned::Trickles(came) => {
            let came = seconds(came);
            (FailureReason::Network, format!("its server is too slow: {came} of it came in a minute"))
        }
        Abandoned::Broken(lost, of) => (
            FailureReason::Unplayable,
            format!("{lost} of {of} pictures cannot be decoded, {after} into it: it is broken or encrypted"),
        ),
    };
    ItemFailure::new(reason, detail)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
