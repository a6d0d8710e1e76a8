//! One continuous time for a publisher's tags: unwraps the 32 bits, and bridges jumps by the time
//! that has passed. Pure.

use std::time::{Duration, Instant};

use tgs_rtmp::flv::Kind;

/// A step back of more than this is a jump; less is the interleaving of picture and sound.
const BACK_MS: i64 = 1000;

/// A step forward beyond the time that has passed and this is a jump.
const AHEAD_MS: i64 = 5000;

/// Times of one publisher. Each track's times never decrease.
#[derive(Debug, Default)]
pub(super) struct LiveClock {
    last: Option<LastTag>,
    /// Times that the tracks have reached: sound, picture.
    reached: [u64; 2],
}

#[derive(Debug)]
struct LastTag {
    timestamp: u32,
    /// Negative if the track began before the other one.
    time: i64,
    arrived: Instant,
}

impl LiveClock {
    /// The time in milliseconds of a tag with this timestamp that arrived at `now`.
    pub(super) fn time(&mut self, kind: Kind, timestamp: u32, now: Instant) -> u64 {
        let time = match &self.last {
            None => 0,
            Some(last) => {
                let step = i64::from(timestamp.wrapping_sub(last.timestamp).cast_signed());
                let passed = millis(now.saturating_duration_since(last.arrived));
                if (-BACK_MS..=passed.saturating_add(AHEAD_MS)).contains(&step) {
                    last.time.saturating_add(step)
                } else {
                    last.time.saturating_add(passed.max(1))
                }
            }
        };
        self.last = Some(LastTag { timestamp, time, arrived: now });
        let reached = &mut self.reached[usize::from(kind == Kind::Video)];
        *reached = u64::try_from(time).unwrap_or_default().max(*reached);
        *reached
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The times of video tags with these timestamps, each 40 ms after the one before.
    fn times(timestamps: &[u32]) -> Vec<u64> {
        let (mut clock, start) = (LiveClock::default(), Instant::now());
        let at = |index: usize| start + Duration::from_millis(40 * index as u64);
        timestamps.iter().enumerate().map(|(i, t)| clock.time(Kind::Video, *t, at(i))).collect()
    }

    #[test]
    fn times_begin_at_zero_and_follow_the_timestamps() {
        assert_eq!(times(&[7000, 7040, 7080, 7120]), [0, 40, 80, 120]);
        assert_eq!(times(&[u32::MAX - 39, 0, 40]), [0, 40, 80]);
        // Five seconds without a picture are no jump.
        assert_eq!(times(&[0, 4000, 4040]), [0, 4000, 4040]);
    }

    #[test]
    fn a_jump_is_bridged_by_the_time_that_has_passed() {
        assert_eq!(times(&[0, 40, 3_600_000, 3_600_040]), [0, 40, 80, 120]);
        assert_eq!(times(&[3_600_000, 3_600_040, 0, 40]), [0, 40, 80, 120]);
    }

    #[test]
    fn interleaving_is_no_jump() {
        let (mut clock, now) = (LiveClock::default(), Instant::now());
        assert_eq!(clock.time(Kind::Video, 1000, now), 0);
        assert_eq!(clock.time(Kind::Audio, 900, now), 0);
        assert_eq!(clock.time(Kind::Video, 1040, now), 40);
        assert_eq!(clock.time(Kind::Audio, 1023, now), 23);
    }

    proptest! {
        #[test]
        fn no_track_goes_back(tags in prop::collection::vec((any::<u32>(), any::<bool>(), 0_u64..10_000), 0..100)) {
            let (mut clock, mut now, mut last) = (LiveClock::default(), Instant::now(), [0, 0]);
            for (timestamp, video, passed) in tags {
                now += Duration::from_millis(passed);
                let kind = if video { Kind::Video } else { Kind::Audio };
                let time = clock.time(kind, timestamp, now);
                prop_assert!(time >= last[usize::from(video)]);
                last[usize::from(video)] = time;
            }
        }
    }
}
