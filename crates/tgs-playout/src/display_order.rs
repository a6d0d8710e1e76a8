//! Whether the pictures of a segment, in decode order, leave a gap in display order. Pure.
//!
//! Pictures that refer to later ones (B-frames) are sent behind them. Between the two, the segment
//! must not end: the picture in between would be missing, and another segment's first picture would
//! be displayed at its time.

use tgs_rtmp::flv::Tag;

/// The pictures of a segment so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct DisplayOrder {
    pictures: u64,
    /// Composition offset of the first picture, in frames.
    delay: u64,
    /// The latest frame displayed, counted from the first picture's decoding.
    latest: u64,
}

impl DisplayOrder {
    /// Adds a picture that is displayed `later` frames after its decoding.
    pub(crate) fn push(&mut self, later: u64) {
        if self.pictures == 0 {
            self.delay = later;
        }
        self.latest = self.latest.max(self.pictures + later);
        self.pictures += 1;
    }

    /// Whether each picture before the latest one is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.pictures == 0 || self.latest < self.pictures + self.delay
    }

    /// Whether there is no picture.
    pub(crate) fn is_empty(&self) -> bool {
        self.pictures == 0
    }
}

/// Composition offset of a picture in whole frames, in milliseconds on the wire.
pub(crate) fn composition_frames(tag: &Tag, fps: u64) -> u64 {
    (composition_ms(tag) * fps + 500) / 1000
}

/// Composition offset of a picture in milliseconds; a negative one counts as 0.
pub(crate) fn composition_ms(tag: &Tag) -> u64 {
    u64::from(tag.composition_time().max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which pictures a segment may end, by the composition offsets in decode order.
    fn whole(later: &[u64]) -> Vec<bool> {
        let mut order = DisplayOrder::default();
        assert!(order.is_whole());
        let after = |&later: &u64| {
            order.push(later);
            order.is_whole()
        };
        later.iter().map(after).collect()
    }

    #[test]
    fn a_segment_may_end_where_no_picture_waits_for_an_earlier_one() {
        let named = |pattern: &str| pattern.chars().map(|c| c == '|').collect::<Vec<_>>();
        // I P P P
        assert_eq!(whole(&[0, 0, 0, 0]), named("||||"));
        // I P B B P B B, one frame late
        assert_eq!(whole(&[1, 3, 0, 0, 3, 0, 0]), named("|..|..|"));
        // I P B b b, as x264 sends a pyramid, two frames late
        assert_eq!(whole(&[2, 5, 2, 0, 1, 5, 2, 0, 1]), named("|...|...|"));
        // A pyramid of seven between I and P, three levels deep.
        assert_eq!(whole(&[3, 10, 5, 2, 0, 1, 3, 1, 2]), named("|.......|"));
    }
}
