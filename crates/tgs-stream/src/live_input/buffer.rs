//! The media of the publisher in memory: codec headers and the newest groups of pictures. Readers
//! begin at the newest keyframe and follow; one that is too slow continues at a later keyframe.
//! Waits for nobody, and takes no decision.

use std::{collections::VecDeque, time::Instant};

use tgs_rtmp::flv::{Kind, Tag};

use super::clock::LiveClock;

/// Limit of the held media, in bytes. A longer group of pictures is not kept.
const MAX_BYTES: usize = 16 << 20;

/// Limit of the held media before the newest keyframe, in milliseconds, for readers that are slow.
const MAX_BEHIND_MS: u64 = 8000;

/// Bytes that a held tag counts beside its body.
const TAG_COST: usize = 64;

/// Limit of the bytes that one read returns, beyond the tag that exceeds it.
const READ: usize = 256 << 10;

/// Sound without any picture for so long is a stream of sound.
const SOUND_ONLY_MS: u64 = 3000;

/// Time between two pictures where it is not known.
const PICTURE_MS: u64 = 40;

/// What precedes the media of a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers {
    /// The H.264 sequence header.
    pub(super) video: Option<Tag>,
    /// The AAC sequence header.
    pub(super) audio: Option<Tag>,
    /// Whether there is sound at all: MP3 has no header.
    pub(super) sound: bool,
}

/// Where a reader can begin.
#[derive(Debug, Clone)]
struct JoinPoint {
    /// Number of the keyframe.
    number: u64,
    time: u64,
    headers: Headers,
}

/// The place of a reader.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    run: u64,
    /// Number of the next tag; `None` before the first.
    next: Option<u64>,
    /// What is subtracted from the times: the first keyframe is at 0.
    base: u64,
    /// The time that it has reached.
    reached: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadStep {
    /// The headers to begin with, if it begins or continues elsewhere, and tags.
    Tags(Option<Headers>, Vec<Tag>),
    /// Nothing yet.
    Wait,
    /// The publisher's stream is over.
    Over,
}

/// The media of one publisher after another.
#[derive(Debug, Default)]
pub(super) struct LiveBuffer {
    /// Number of the publisher's stream.
    run: u64,
    is_open: bool,
    clock: LiveClock,
    headers: Headers,
    tags: VecDeque<Tag>,
    /// Number of the first tag.
    first: u64,
    bytes: usize,
    join: Option<JoinPoint>,
}

impl LiveBuffer {
    /// Begins the stream of another publisher, or of the same one over another connection.
    pub(super) fn open(&mut self) {
        *self = Self { run: self.run + 1, is_open: true, ..Self::default() };
    }

    /// Ends the stream. Readers still get what is held.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    /// Number of the present or last stream.
    pub(super) fn run(&self) -> u64 {
        self.run
    }

    /// Whether a reader can begin.
    pub(super) fn is_ready(&self) -> bool {
        self.join.is_some()
    }

    /// The headers of the stream.
    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Adds a tag that arrived at `now`.
    pub(super) fn push(&mut self, tag: &Tag, now: Instant) {
        let time = self.clock.time(tag.kind, tag.timestamp as u32, now);
        let tag = Tag { timestamp: time, ..tag.clone() };
        if tag.is_sequence_header() {
            let header =
                if tag.kind == Kind::Video { &mut self.headers.video } else { &mut self.headers.audio };
            *header = Some(tag.clone());
        }
        self.headers.sound |= tag.kind == Kind::Audio;
        let begins = match &self.headers.video {
            Some(_) => tag.is_keyframe(),
            None => self.join.is_none() && tag.kind == Kind::Audio && time >= SOUND_ONLY_MS,
        };
        if begins {
            let number = self.first + self.tags.len() as u64;
            self.join = Some(JoinPoint { number, time, headers: self.headers.clone() });
        }
        self.bytes += tag.body.len() + TAG_COST;
        self.tags.push_back(tag);
        self.trim(time);
    }

    fn trim(&mut self, newest: u64) {
        while let Some(oldest) = self.tags.front() {
            let needed = self.join.as_ref().is_some_and(|join| join.number <= self.first);
            let sound_only = self.headers.video.is_none();
            let old = newest.saturating_sub(oldest.timestamp) > MAX_BEHIND_MS && (!needed || sound_only);
            if self.bytes <= MAX_BYTES && !old {
                break;
            }
            self.bytes -= oldest.body.len() + TAG_COST;
            self.tags.pop_front();
            self.first += 1;
            if let Some(join) = self.join.as_mut().filter(|join| join.number < self.first) {
                if sound_only {
                    // Any sound is a beginning.
                    join.number = self.first;
                    join.time = self.tags.front().map_or(newest, |tag| tag.timestamp);
                } else {
                    self.join = None;
                }
            }
        }
    }

    /// A reader of the present stream; `None` without one.
    pub(super) fn reader(&self) -> Option<Cursor> {
        self.is_open.then_some(Cursor { run: self.run, next: None, base: 0, reached: 0 })
    }

    /// What is new to the reader.
    pub(super) fn read(&self, cursor: &mut Cursor) -> ReadStep {
        if cursor.run != self.run {
            return ReadStep::Over;
        }
        let mut headers = None;
        let next = if let Some(next) = cursor.next.filter(|next| *next >= self.first) {
            next
        } else {
            let Some(join) = &self.join else {
                return if self.is_open { ReadStep::Wait } else { ReadStep::Over };
            };
            // A reader that lost its place gets no gap: ffmpeg would fill it with a still picture.
            let goes_on = cursor.next.map_or(0, |_| cursor.reached + PICTURE_MS);
            cursor.base = join.time.saturating_sub(goes_on);
            headers = Some(join.headers.clone());
            join.number
        };
        let mut tags = Vec::new();
        let mut bytes = 0;
        for tag in self.tags.iter().skip((next - self.first) as usize) {
            if bytes >= READ {
                break;
            }
            bytes += tag.body.len() + TAG_COST;
            let timestamp = tag.timestamp.saturating_sub(cursor.base);
            cursor.reached = timestamp.max(cursor.reached);
            tags.push(Tag { timestamp, ..tag.clone() });
        }
        cursor.next = Some(next + tags.len() as u64);
        match (tags.is_empty() && headers.is_none(), self.is_open) {
            (false, _) => ReadStep::Tags(headers, tags),
            (true, true) => ReadStep::Wait,
            (true, false) => ReadStep::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tag(kind: Kind, timestamp: u64, body: &[u8]) -> Tag {
        Tag { kind, timestamp, body: body.into() }
    }

    fn header() -> Tag {
        tag(Kind::Video, 0, &[0x17, 0, 0, 0, 0, 1])
    }

    fn picture(timestamp: u64, is_key: bool, len: usize) -> Tag {
        let mut body = vec![if is_key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        body.resize(5 + len, 7);
        tag(Kind::Video, timestamp, &body)
    }

    fn sound(timestamp: u64) -> Tag {
        tag(Kind::Audio, timestamp, &[0xaf, 1, 2])
    }

    fn open() -> (LiveBuffer, Instant) {
        let mut buffer = LiveBuffer::default();
        buffer.open();
        (buffer, Instant::now())
    }

    fn tags(step: ReadStep) -> (Option<Headers>, Vec<Tag>) {
        let ReadStep::Tags(headers, tags) = step else { panic!("{step:?}") };
        (headers, tags)
    }

    /// Pushes a group of 25 pictures that begins at `second`.
    fn group(buffer: &mut LiveBuffer, second: u64, now: Instant) {
        for n in 0..25 {
            let time = second * 1000 + n * 40;
            buffer.push(&picture(time, n == 0, 100), now + Duration::from_millis(time));
        }
    }

    #[test]
    fn a_reader_begins_at_the_newest_keyframe_with_the_headers() {
        let (mut buffer, now) = open();
        let mut early = buffer.reader().unwrap();
        buffer.push(&picture(0, true, 9), now);
        // Pictures before the header cannot be decoded.
        assert_eq!(buffer.read(&mut early), ReadStep::Wait);
        buffer.push(&header(), now);
        for second in 0..3 {
            group(&mut buffer, second, now);
        }
        let mut reader = buffer.reader().unwrap();
        let (headers, read) = tags(buffer.read(&mut reader));
        assert_eq!(headers.unwrap().video.unwrap().body, header().body);
        assert_eq!((read.len(), read[0].timestamp, read[24].timestamp), (25, 0, 960));
        assert_eq!(buffer.read(&mut reader), ReadStep::Wait);
        buffer.push(&picture(3000, true, 9), now + Duration::from_secs(3));
        let (headers, read) = tags(buffer.read(&mut reader));
        assert_eq!((headers, read.len(), read[0].timestamp), (None, 1, 1000));
    }

    #[test]
    fn a_slow_reader_continues_at_a_keyframe_in_its_own_time() {
        let (mut buffer, now) = open();
        buffer.push(&header(), now);
        group(&mut buffer, 0, now);
        let mut reader = buffer.reader().unwrap();
        tags(buffer.read(&mut reader));
        for second in 1..20 {
            group(&mut buffer, second, now);
        }
        let (headers, read) = tags(buffer.read(&mut reader));
        assert!(headers.is_some() && read[0].is_keyframe());
        assert_eq!((read[0].timestamp, read[1].timestamp), (1000, 1040));
        assert!(buffer.tags.len() < 250, "{} tags are held", buffer.tags.len());
    }

    #[test]
    fn a_group_without_end_is_not_kept() {
        let (mut buffer, now) = open();
        buffer.push(&header(), now);
        buffer.push(&picture(0, true, 100), now);
        for n in 1..40 {
            buffer.push(&picture(n * 40, false, 1 << 20), now + Duration::from_millis(n * 40));
            assert!(buffer.bytes <= MAX_BYTES, "{}", buffer.bytes);
        }
        let mut reader = buffer.reader().unwrap();
        assert_eq!(buffer.read(&mut reader), ReadStep::Wait);
        buffer.push(&picture(1600, true, 100), now + Duration::from_millis(1600));
        assert_eq!(tags(buffer.read(&mut reader)).1.len(), 1);
    }

    #[test]
    fn sound_alone_is_a_stream_after_three_seconds() {
        let (mut buffer, now) = open();
        let mut reader = buffer.reader().unwrap();
        for time in (0..60_000).step_by(20) {
            buffer.push(&sound(time), now + Duration::from_millis(time));
            let step = buffer.read(&mut reader);
            assert_eq!(step == ReadStep::Wait, time < SOUND_ONLY_MS, "{time}");
        }
        assert!(buffer.tags.len() < 500);
        let (headers, read) = tags(buffer.read(&mut buffer.reader().unwrap()));
        assert!(headers.unwrap().sound && read[0].timestamp == 0);
    }

    #[test]
    fn the_end_comes_behind_the_media() {
        let (mut buffer, now) = open();
        buffer.push(&header(), now);
        group(&mut buffer, 0, now);
        let mut reader = buffer.reader().unwrap();
        buffer.close();
        assert_eq!(tags(buffer.read(&mut reader)).1.len(), 25);
        assert_eq!(buffer.read(&mut reader), ReadStep::Over);
        assert!(buffer.reader().is_none());
        buffer.open();
        assert_eq!(buffer.read(&mut reader), ReadStep::Over);
        assert_eq!(buffer.read(&mut buffer.reader().unwrap()), ReadStep::Wait);
    }
}
