//! Where another engine can continue what is buffered here; see [`crate::handover`].

use std::time::Duration;

use tgs_rtmp::flv::Tag;

use super::{
    ReadAhead, StartedItem,
    event::{Event, is_picture},
};
use crate::handover::{Keyframe, LeavePoint};

/// How far ahead keyframes are expected.
const FURTHEST: Duration = Duration::from_secs(15);

/// How long a live source may take to fill the read-ahead of a held start.
const LIVE_PATIENCE: Duration = Duration::from_secs(8);

impl ReadAhead {
    /// The buffered keyframes at which another engine can continue, nearest first. An item's last
    /// second is left out: a start there goes on with the next item.
    pub(crate) fn leave_points(&self) -> Vec<LeavePoint> {
        let state = self.lock();
        if !state.rest.is_empty() || state.jumping {
            // A command has discarded what is being sent.
            return Vec::new();
        }
        let (mut item, mut pictures) = (state.taken.clone(), 0);
        let mut points = Vec::new();
        for piece in &state.pieces {
            match piece {
                Event::Begin(next) => item = Some(next.clone()),
                Event::End => self.drop_last_second(&mut points, pictures),
                Event::Tag(tag) => {
                    if let Some(item) = item.as_ref().filter(|_| tag.is_keyframe()) {
                        points.push((pictures, self.leave_point(item, tag, pictures)));
                    }
                    pictures += u64::from(is_picture(tag));
                }
            }
        }
        let ended = state.pieces.back().is_none_or(|last| matches!(last, Event::End));
        let mut points: Vec<_> = points.into_iter().map(|(_, point)| point).collect();
        if let Some(item) = item.filter(|_| !ended) {
            expect_more(&item, &mut points);
        }
        points
    }

    /// Drops the points in the last second of the newest item, of which `pictures` are the end.
    fn drop_last_second(&self, points: &mut Vec<(u64, LeavePoint)>, pictures: u64) {
        let Some(seq) = points.last().map(|(_, point)| point.key.seq) else { return };
        points.retain(|(at, point)| {
            point.key.seq != seq || point.offset.is_zero() || pictures - at >= self.fps
        });
    }

    /// The keyframe `tag` of `item`, before which `pictures` are buffered.
    fn leave_point(&self, item: &StartedItem, tag: &Tag, pictures: u64) -> LeavePoint {
        LeavePoint {
            turn: item.item.turn,
            offset: item.item.start + self.exact(tag.timestamp),
            live: item.item.media.live,
            after: Duration::from_millis(pictures * 1000 / self.fps),
            key: Keyframe::of(item, tag),
        }
    }

    /// Whether a held start, which has lasted for `held`, can begin: the first group of pictures is
    /// there, and of a live source as much as possible, because more comes in real time only.
    pub(crate) fn is_ready_to_begin(&self, held: Duration) -> bool {
        let state = self.lock();
        let live = state.pieces.iter().any(|p| matches!(p, Event::Begin(item) if item.item.media.live));
        let begun = state.groups > 0 || state.over;
        drop(state);
        begun && (!live || held >= LIVE_PATIENCE || self.is_startable(true))
    }

    /// The time of the picture at `ms`, not rounded up: a seek to a later time would miss the
    /// picture.
    fn exact(&self, ms: u64) -> Duration {
        let number = (ms * self.fps + 500) / 1000;
        Duration::from_millis((number * 1000 / self.fps).min(ms))
    }
}

/// Adds the keyframes of `item` that are not encoded yet, if its groups have the usual length;
/// drops those in its last second, as far as its length is known.
fn expect_more(item: &StartedItem, points: &mut Vec<LeavePoint>) {
    let group = Duration::from_secs(2);
    if let [.., before, last] = &points[..]
        && before.key.seq == last.key.seq
        && last.key.seq == item.seq
        && last.key.offset_ms - before.key.offset_ms == group.as_millis() as u64
    {
        let mut next = last.clone();
        while next.after < FURTHEST {
            next.offset += group;
            next.after += group;
            next.key.offset_ms += group.as_millis() as u64;
            points.push(next.clone());
        }
    }
    let length = item.expected.map_or(Duration::MAX, |rest| item.item.start.saturating_add(rest));
    points.retain(|point| {
        point.key.seq != item.seq || point.offset.is_zero() || point.offset + Duration::from_secs(1) <= length
    });
}
