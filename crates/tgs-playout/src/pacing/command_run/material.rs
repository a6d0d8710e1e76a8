//! The items: pictures and sounds that are numbers.

use std::collections::VecDeque;

use tgs_rtmp::flv::{Kind, Tag};

pub(super) const FPS: u64 = 30;
const RATE: u64 = 44_100;

/// Pictures from one keyframe to the next.
pub(super) const GROUP: u64 = 2 * FPS;

/// Places in display order of the pictures that follow one another in decode order.
pub(super) const PATTERNS: [&[u64]; 4] = [&[1], &[3, 1, 2], &[4, 2, 1, 3], &[8, 4, 2, 1, 3, 6, 5, 7]];

/// The pictures and sounds of an item. Its groups are alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Material {
    pub(super) pattern: &'static [u64],
    pub(super) pictures: u64,
    /// Sounds come behind the pictures by so many ms on the wire.
    pub(super) sound_later: u64,
    pub(super) silent: bool,
    /// Time from the command to the first tag in ms, and pictures per second; a cache entry has
    /// no limit.
    pub(super) startup: u64,
    pub(super) speed: u64,
}

impl Material {
    /// Place of picture `n` in the display order of its group.
    pub(super) fn display(self, n: u64) -> u64 {
        let size = self.pattern.len() as u64;
        let (began, n) = (n - n % GROUP, n % GROUP);
        let Some(before) = n.checked_sub(1).map(|n| n / size * size) else { return 0 };
        // What no whole pattern is left for is not reordered.
        if before + size >= GROUP.min(self.pictures - began) {
            return n;
        }
        before + self.pattern[((n - 1) % size) as usize]
    }

    /// Composition offset of picture `n`, in frames.
    pub(super) fn later(self, n: u64) -> u64 {
        let of_group = 0..GROUP.min(self.pictures);
        let delay = of_group.map(|n| n.saturating_sub(self.display(n))).max().unwrap_or(0);
        delay + self.display(n) - n % GROUP
    }

    pub(super) fn picture(self, seq: u64, n: u64) -> Tag {
        let (decoded, shown) = (n * 1000 / FPS, (n + self.later(n)) * 1000 / FPS);
        let mut body = vec![if n.is_multiple_of(GROUP) { 0x17 } else { 0x27 }, 1];
        body.extend(&((shown - decoded) as u32).to_be_bytes()[1..]);
        let display = n - n % GROUP + self.display(n);
        body.extend([seq, n, display].map(u64::to_be_bytes).concat());
        Tag { kind: Kind::Video, timestamp: decoded, body: body.into() }
    }

    pub(super) fn sound(self, seq: u64, n: u64) -> Tag {
        let timestamp = n * 1024 * 1000 / RATE + self.later(0) * 1000 / FPS;
        let body = [vec![0xaf, 1], [seq, n].map(u64::to_be_bytes).concat()].concat();
        Tag { kind: Kind::Audio, timestamp, body: body.into() }
    }

    /// The item's tags in the order of an encoder.
    pub(super) fn tags(self, seq: u64) -> VecDeque<Tag> {
        let sounds = if self.silent { 0 } else { self.pictures * RATE / FPS / 1024 };
        let mut tags: Vec<(u64, Tag)> = (0..self.pictures)
            .map(|n| self.picture(seq, n))
            .map(|tag| (tag.timestamp, tag))
            .chain((0..sounds).map(|n| self.sound(seq, n)).map(|tag| (tag.timestamp + self.sound_later, tag)))
            .collect();
        tags.sort_by_key(|(at, _)| *at);
        headers().into_iter().chain(tags.into_iter().map(|(_, tag)| tag)).collect()
    }
}

pub(super) fn headers() -> [Tag; 2] {
    [
        Tag { kind: Kind::Video, timestamp: 0, body: vec![0x17, 0, 0, 0, 0, 1].into() },
        Tag { kind: Kind::Audio, timestamp: 0, body: vec![0xaf, 0, 0x12, 0x10].into() },
    ]
}
