//! Determines an item's length, from its container or from its packets.

use std::{fs, path::Path, time::Duration};

use tgs_core::cancel::Cancel;

use super::{
    found::Probe,
    scan::{self, GAP},
};
use crate::item::Media;

/// [`GAP`] for sound only: no other stream waits for it.
const GAP_OF_SOUND: Duration = Duration::from_secs(10);

/// [`GAP`] for a picture without sound.
const GAP_OF_PICTURE: Duration = Duration::from_mins(1);

/// Picture and sound normally end this close to each other; otherwise the file is examined further.
pub(super) const SAME_END: Duration = Duration::from_secs(1);

/// Picture and sound take more bits per second than this; otherwise parts of the claimed length may
/// be missing.
const SPARSE: f64 = 300_000.0;

/// A picture without sound that is shorter than this is shown as a still.
pub(super) const BRIEF: Duration = Duration::from_millis(300);

/// If the pictures of a remote source are further apart than this many seconds, picture and sound
/// are read separately.
const SPARSE_PICTURES: f64 = 2.0;

impl Probe {
    /// Determines the length: from the container, or by scanning the file if the container is not
    /// reliable. `stated` says that the container states each stream's end. Returns the number of
    /// pictures, if counted.
    pub(super) fn measure(
        &mut self,
        ffprobe: &Path,
        media: &Media,
        stated: bool,
        cancel: &Cancel,
    ) -> Option<u64> {
        let ends = [self.video.and_then(|v| v.duration), self.audio.and_then(|a| a.duration)];
        let [video, audio] = ends;
        self.duration = if media.live { None } else { video.max(audio) };
        let remote = media.sources.iter().any(|source| !source.is_file());
        let sparse = self.video.is_some_and(|v| v.fps > 0.0 && 1.0 / v.fps > SPARSE_PICTURES);
        self.times.split = remote && !media.live && self.audio.is_some() && sparse;
        self.times.longest_gap = Some(match (self.video, self.audio) {
            (Some(_), None) => GAP_OF_PICTURE,
            (None, _) => GAP_OF_SOUND,
            (Some(v), Some(a)) => {
                // The other stream fills the gap before a late stream.
                let within = |late: Duration, other: Option<Duration>| other.is_none_or(|end| late <= end);
                let late =
                    [(v.late, audio), (a.late, video)].into_iter().filter(|&(late, end)| within(late, end));
                late.map(|(late, _)| late.saturating_add(SAME_END)).fold(GAP, Duration::max)
            }
        });
        let source = match &media.sources[..] {
            [source] if !media.live => source,
            _ => return None,
        };
        let size = source.url.strip_prefix("file:").and_then(|path| fs::metadata(path).ok())?.len();
        let size = size.saturating_sub(self.skip_bytes);
        if size > scan::MAX_FILE || stated && !self.is_doubtful(size, ends) {
            return None;
        }
        let streams = (self.video.map(|v| v.index), self.audio.map(|a| a.index));
        let found = scan::scan(ffprobe, source, self.skip_bytes, streams, cancel)?;
        self.times.measured = true;
        self.times.longest_gap = Some(found.longest_gap);
        // A stated end is more exact than whole packets, if both nearly agree.
        let better = |said: Option<Duration>, found: Option<Duration>| match (said, found) {
            (Some(said), Some(found)) if stated && said.abs_diff(found) < SAME_END / 2 => Some(said),
            (_, found) => found,
        };
        if let Some(v) = &mut self.video {
            v.duration = better(v.duration, found.video);
        }
        if let Some(a) = &mut self.audio {
            a.duration = better(a.duration, found.audio);
        }
        let measured = self.video.and_then(|v| v.duration).max(self.audio.and_then(|a| a.duration));
        // Otherwise the stated length stays, so that a truncated file is seen to end early.
        if found.jumps || self.times.estimated || self.duration.is_none() {
            self.duration = measured;
            self.times.estimated = false;
        }
        Some(found.pictures)
    }

    /// Whether the stream ends that the container states require a scan, in a file of `size` bytes.
    fn is_doubtful(&self, size: u64, [video, audio]: [Option<Duration>; 2]) -> bool {
        match (self.video, self.audio, video, audio) {
            (Some(_), Some(_), Some(v), Some(a)) => {
                v.abs_diff(a) > SAME_END
                    || self.times.estimated
                    || size as f64 * 8.0 / v.max(a).as_secs_f64() < SPARSE
            }
            (Some(_), None, Some(v), _) => v < BRIEF,
            _ => self.times.estimated,
        }
    }
}
