//! Decides when an encoder must be abandoned: too slow an input, or too much damage. Pure.

use std::time::Duration;

/// An encoder without output for this long is abandoned.
pub const STALL: Duration = Duration::from_secs(10);

/// The speed is measured over this much time spent waiting.
const PACE_OVER: Duration = Duration::from_mins(1);

/// Damage of the picture is measured over this much media time.
const DAMAGE_OVER_MS: u64 = 2000;

/// Bad measurements in a row until the encoder is abandoned: a short fault of the line or the
/// medium is tolerated.
const BAD_IN_ROW: u32 = 4;

/// What is known about an encoder's input.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StallLimits {
    /// Whether the encoder is left if it is slower than half of real time for long: its input comes
    /// from a server, or it draws what the item plays without as well.
    pub paced: bool,
    /// ffmpeg's index of the picture stream, and its pictures per second (0: unknown).
    pub picture: Option<(usize, f64)>,
}

/// Why an encoder was abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// No output for [`STALL`].
    Stalled,
    /// A signal stopped the process.
    Stopped,
    /// A minute of waiting brought only this much.
    Trickles(Duration),
    /// Damaged or undecodable pictures, and all pictures of that stretch.
    Broken(u64, u64),
}

#[derive(Debug, Default)]
pub(super) struct StallDetector {
    watch: StallLimits,
    /// The time that the furthest track has reached, in milliseconds.
    newest: u64,
    waited: Duration,
    pace_from: u64,
    damage_from: u64,
    damaged: u64,
    /// Of the current bad stretch: damaged pictures, all pictures, and the number of measurements.
    lost: u64,
    of: u64,
    bad: u32,
}

impl StallDetector {
    pub(super) fn set(&mut self, watch: StallLimits) {
        self.watch = watch;
    }

    /// Notes a tag of this `time`, read after a wait of `waited`, and the number of `damaged`
    /// pictures so far.
    pub(super) fn note(&mut self, time: u64, waited: Duration, damaged: u64) -> Option<Abandoned> {
        self.newest = self.newest.max(time);
        self.waited += waited;
        self.trickles().or_else(|| self.breaks(damaged))
    }

    fn trickles(&mut self) -> Option<Abandoned> {
        if self.waited < PACE_OVER {
            return None;
        }
        let came = Duration::from_millis(self.newest.saturating_sub(self.pace_from));
        let slow = self.watch.paced && came < self.waited / 2;
        (self.waited, self.pace_from) = (Duration::ZERO, self.newest);
        slow.then_some(Abandoned::Trickles(came))
    }

    /// Whether at least a quarter of the pictures is damaged for long. Pictures that are missing
    /// from the input altogether do not count.
    fn breaks(&mut self, damaged: u64) -> Option<Abandoned> {
        let (_, fps) = self.watch.picture?;
        let length = self.newest.saturating_sub(self.damage_from);
        if length < DAMAGE_OVER_MS {
            return None;
        }
        let fps = if fps > 0.0 { fps.min(240.0) } else { 25.0 };
        let pictures = (length as f64 / 1000.0 * fps) as u64;
        let lost = damaged.saturating_sub(self.damaged);
        (self.damage_from, self.damaged) = (self.newest, damaged);
        let bad = lost > 0 && lost.saturating_mul(4) >= pictures;
        (self.lost, self.of, self.bad) = if bad {
            (self.lost.saturating_add(lost), self.of.saturating_add(pictures), self.bad + 1)
        } else {
            (0, 0, 0)
        };
        (self.bad >= BAD_IN_ROW).then_some(Abandoned::Broken(self.lost.min(self.of), self.of))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Watches tags that come `step` apart, of which each takes `wait` and loses `lost` pictures.
    fn watched(watch: StallLimits, step: u64, wait: u64, lost: u64) -> Option<Abandoned> {
        let mut watcher = StallDetector::default();
        watcher.set(watch);
        (0..1000).find_map(|n| watcher.note(n * step, Duration::from_millis(wait), n * lost))
    }

    #[test]
    fn a_server_that_trickles_is_left() {
        let watch = StallLimits { paced: true, picture: None };
        assert!(matches!(watched(watch, 400, 1000, 0), Some(Abandoned::Trickles(_))));
        assert_eq!(watched(watch, 600, 1000, 0), None);
        // A disk, or a machine, that is slow cannot be left.
        assert_eq!(watched(StallLimits { paced: false, picture: None }, 400, 1000, 0), None);
    }

    #[test]
    fn a_slow_picture_beside_sound_is_waited_for() {
        let mut watcher = StallDetector::default();
        watcher.set(StallLimits { paced: true, picture: Some((0, 0.1)) });
        for second in 0..600 {
            // The picture is a slide of five minutes, the sound goes on.
            let picture = second / 300 * 300_000;
            assert_eq!(watcher.note(picture, Duration::from_millis(500), 0), None);
            assert_eq!(watcher.note(second * 1000, Duration::from_millis(500), 0), None);
        }
    }

    #[test]
    fn a_picture_that_stays_broken_is_left() {
        let watch = StallLimits { paced: false, picture: Some((0, 25.0)) };
        // 25 tags a second.
        assert_eq!(watched(watch, 40, 0, 1), Some(Abandoned::Broken(200, 200)));
        assert_eq!(watched(watch, 80, 0, 1), Some(Abandoned::Broken(100, 200)));
        assert_eq!(watched(watch, 200, 0, 1), None);
        assert_eq!(watched(StallLimits { picture: None, ..watch }, 40, 0, 1), None);
        // Four seconds of it, ten times a minute apart, are no reason.
        let mut watcher = StallDetector::default();
        watcher.set(watch);
        let mut damaged = 0;
        for time in (0..600_000).step_by(40) {
            damaged += u64::from(time % 60_000 < 4000);
            assert_eq!(watcher.note(time, Duration::ZERO, damaged), None, "after {time} ms");
        }
    }

    proptest! {
        #[test]
        fn any_times_are_watched(tags in prop::collection::vec((any::<u64>(), 0_u64..1 << 40, any::<u64>()), 0..50), fps in any::<f64>()) {
            let mut watcher = StallDetector::default();
            watcher.set(StallLimits { paced: true, picture: Some((0, fps)) });
            for (time, waited, damaged) in tags {
                let _ = watcher.note(time, Duration::from_millis(waited), damaged);
            }
        }
    }
}
