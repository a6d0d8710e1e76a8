//! The part of an item that is still to be encoded, and whether another encoder continues after a
//! failed one. Pure.

use std::time::Duration;

use crate::{
    ffmpeg::{EncodeJob, EncodeSetup, Probe},
    item::{FailureReason, Item, ItemFailure, Media},
};

/// Encoders of one item that may fail in sequence, each before it reaches [`STEADY`].
const MOST_TRIES: u32 = 5;

/// An encoder that produced this much resets the count of [`MOST_TRIES`].
const STEADY: Duration = Duration::from_mins(1);

/// An encoder that extends the item by less than this has made no progress.
const PROGRESS: Duration = Duration::from_millis(100);

/// The part of an item that is still to be encoded.
#[derive(Debug)]
pub(super) struct UnplayedItem {
    /// The item; `start` is where it continues.
    pub(super) item: Item,
    pub(super) found: Probe,
    /// Position in the item of time 0 of the probed streams.
    base: Duration,
    tries: u32,
    /// Furthest position that an encoder has reached. The next encoder begins earlier, at the start
    /// of a group of pictures.
    reached: Duration,
}

impl UnplayedItem {
    pub(super) fn new(item: Item, found: Probe) -> Self {
        let reached = item.start;
        Self { item, found, base: Duration::ZERO, tries: 0, reached }
    }

    pub(super) fn job(&self, setup: &EncodeSetup) -> EncodeJob {
        let mut item = self.item.clone();
        item.start = item.start.saturating_sub(self.base);
        // The item's own end, counted as its start.
        if let Some(out) = &mut item.media.part.out_point {
            *out = out.saturating_sub(self.base);
        }
        EncodeJob::item(&item, &self.found, setup)
    }

    /// Whether another encoder continues after one that failed `came` into its part.
    pub(super) fn may_retry(&mut self, failure: &ItemFailure, came: Duration) -> bool {
        if came >= STEADY {
            self.tries = 0;
        }
        let end = self.item.start.saturating_add(came);
        let progress = end >= self.reached.saturating_add(PROGRESS);
        self.reached = self.reached.max(end);
        // Without progress a retry fails the same way, unless another process killed the first
        // encoder at its start.
        let first = self.tries == 0 && failure.reason == FailureReason::Encoder;
        self.tries += 1;
        matches!(failure.reason, FailureReason::Stalled | FailureReason::Encoder | FailureReason::Network)
            && (progress || first)
            && self.tries <= MOST_TRIES
    }

    /// Moves the start by `came`.
    pub(super) fn advance(&mut self, came: Duration) {
        self.item.start = self.item.start.saturating_add(came);
    }

    /// Whether picture and sound may be split while an encoder reads both.
    pub(super) fn may_split(&self) -> bool {
        self.is_together() && !self.item.media.live
    }

    /// Whether picture and sound exist and one reader reads both.
    fn is_together(&self) -> bool {
        let Probe { video, audio, times, .. } = &self.found;
        video.is_some() && audio.is_some() && !times.split
    }

    /// The split to continue with after an encoder that produced `came`.
    pub(super) fn needs_split(&self, came: EncodedExtent) -> Option<SplitInputs> {
        let Media { sources, live, .. } = &self.item.media;
        // A source without a duration was taken for live; if it ends, it was a file.
        let file = !live || came.whole && sources.iter().all(|s| s.url.starts_with("http") && !s.is_hls());
        if self.is_together() {
            let blind = came.sound && !came.picture;
            if file {
                (blind || came.sound_ahead).then_some(SplitInputs::Each)
            } else {
                blind.then_some(SplitInputs::SoundAlone)
            }
        } else {
            let alone = !came.picture && self.found.times.split && self.found.video.is_some();
            alone.then_some(SplitInputs::SoundAlone)
        }
    }

    /// Applies `how` to the remaining part.
    pub(super) fn split(&mut self, how: SplitInputs) {
        match how {
            SplitInputs::Each => (self.found.times.split, self.item.media.live) = (true, false),
            SplitInputs::SoundAlone => self.found.video = None,
        }
    }

    /// Continues with these streams, from their own beginning.
    pub(super) fn continue_with(&mut self, found: Probe) {
        self.found = found;
        self.base = self.item.start;
    }
}

/// What an encoder produced.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub(super) struct EncodedExtent {
    pub(super) picture: bool,
    pub(super) sound: bool,
    /// Whether the sound came far ahead of the picture.
    pub(super) sound_ahead: bool,
    /// Whether the encoder reached the end of its source.
    pub(super) whole: bool,
}

/// How to continue an item whose sound runs ahead of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SplitInputs {
    /// Separate inputs for picture and sound; the last picture is held.
    Each,
    /// No picture came: the sound plays over a slate.
    SoundAlone,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest() -> UnplayedItem {
        let media = Media::at("file:/a".into(), false);
        let item = Item { id: String::new(), turn: 0, title: String::new(), start: Duration::ZERO, media };
        UnplayedItem::new(item, Probe::default())
    }

    #[test]
    fn an_encoder_is_replaced_as_long_as_there_is_progress() {
        let killed = ItemFailure::new(FailureReason::Encoder, "");
        let cut = ItemFailure::new(FailureReason::Truncated, "");
        let (none, some, much) = (Duration::ZERO, Duration::from_secs(1), STEADY);
        let of = |tries: &[(&ItemFailure, Duration)]| {
            let mut rest = rest();
            let goes_on = |(failure, came): &&(&ItemFailure, Duration)| {
                let goes_on = rest.may_retry(failure, *came);
                rest.advance(*came);
                goes_on
            };
            tries.iter().take_while(goes_on).count()
        };
        assert_eq!(of(&[(&killed, some); 9]), MOST_TRIES as usize);
        assert_eq!(of(&[(&killed, much); 9]), 9);
        assert_eq!(of(&[(&killed, none); 9]), 1);
        assert_eq!(of(&[(&ItemFailure::new(FailureReason::Stalled, ""), none)]), 0);
        assert_eq!(of(&[(&killed, some), (&killed, none)]), 1);
        // A server that has only the first second gives that one again, from the group's beginning
        // on.
        let stalled = ItemFailure::new(FailureReason::Stalled, "");
        let mut rest = rest();
        assert!(rest.may_retry(&stalled, some) && !rest.may_retry(&stalled, some));
        // What ends early on a disk ends there each time.
        assert_eq!(of(&[(&cut, some)]), 0);
    }

    #[test]
    fn sound_without_its_picture_is_read_apart_once_and_then_alone() {
        let sound = crate::ffmpeg::probe::AudioStream {
            source: 0,
            index: 1,
            late: Duration::ZERO,
            duration: None,
            channels: 2,
            unplaced: 0,
        };
        let video = Some(crate::ffmpeg::probe::VideoStream::default());
        let both = Probe { video, audio: Some(sound), ..Probe::default() };
        let came = EncodedExtent { picture: true, sound: true, ..EncodedExtent::default() };
        let (ahead, blind) =
            (EncodedExtent { sound_ahead: true, ..came }, EncodedExtent { picture: false, ..came });
        let mut rest = rest();
        assert_eq!(rest.needs_split(ahead), None, "there is one stream only");
        rest.found = both;
        assert_eq!(rest.needs_split(came), None);
        assert_eq!(rest.needs_split(EncodedExtent::default()), None, "the source is not there");
        assert_eq!(
            (rest.needs_split(ahead), rest.needs_split(blind)),
            (Some(SplitInputs::Each), Some(SplitInputs::Each))
        );
        rest.split(SplitInputs::Each);
        assert_eq!((rest.needs_split(ahead), rest.needs_split(blind)), (None, Some(SplitInputs::SoundAlone)));
        rest.split(SplitInputs::SoundAlone);
        assert_eq!((rest.needs_split(ahead), rest.needs_split(blind)), (None, None));
    }

    #[test]
    fn what_is_live_is_opened_once() {
        let sound = crate::ffmpeg::probe::AudioStream {
            source: 0,
            index: 1,
            late: Duration::ZERO,
            duration: None,
            channels: 2,
            unplaced: 0,
        };
        let video = Some(crate::ffmpeg::probe::VideoStream::default());
        let came = EncodedExtent { picture: true, sound: true, sound_ahead: true, whole: false };
        let of = |url: &str, whole, picture| {
            let mut rest = rest();
            rest.item.media = Media::at(url.into(), true);
            rest.found = Probe { video, audio: Some(sound), ..Probe::default() };
            assert!(!rest.may_split());
            rest.needs_split(EncodedExtent { picture, whole, ..came })
        };
        assert_eq!((of("rtmp://h/a", true, true), of("http://h/a.m3u8", true, true)), (None, None));
        // A recording without a length, as browsers write it, ends.
        assert_eq!(of("http://h/a.webm", false, true), None);
        assert_eq!(of("http://h/a.webm", true, true), Some(SplitInputs::Each));
        assert_eq!(of("rtmp://h/a", true, false), Some(SplitInputs::SoundAlone));
    }

    #[test]
    fn each_part_begins_behind_the_last() {
        let mut rest = rest();
        rest.advance(Duration::from_secs(4));
        rest.continue_with(Probe::default());
        rest.advance(Duration::from_secs(3));
        assert_eq!((rest.item.start, rest.base), (Duration::from_secs(7), Duration::from_secs(4)));
    }
}
