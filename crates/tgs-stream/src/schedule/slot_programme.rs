//! The items of one occurrence of a slot: what it plays, and what fills the time that is left.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tgs_playout::{
    engine::Control,
    item::{FailureReason, Item, ItemFailure, JumpTarget, NextItem, Programme},
    status::SharedStatus,
};
use tgs_schedule::{Fill, Pick, Slot};

use crate::{
    playlist::{Playlist, PlaylistConfig, PlaylistView},
    queue::PlayQueue,
    resolver::Resolver,
    source::{self, EntryKind, NamedSource, PlaylistEntry},
    url,
};

use super::{
    fill::{FillPlayer, LengthOf},
    pick::picked,
};

/// Turns of filling items have this bit, so that they differ from those of the slot's own items.
const FILLING: u64 = 1 << 62;

/// Items that a late slot passes over at most: each may have to be probed.
const MOST_PASSED: usize = 500;

/// One occurrence of a slot, as it is to be played.
#[derive(Debug, Clone)]
pub(super) struct SlotPlan {
    pub(super) slot: Slot,
    /// The base of relative paths: the timetable's folder.
    pub(super) dir: PathBuf,
    pub(super) starts: SystemTime,
    /// When it takes the air: later than `starts` if it is late or another slot covers its start.
    pub(super) airs_at: SystemTime,
    pub(super) ends: Option<SystemTime>,
    /// How far into the slot's items it begins.
    pub(super) joins_at: Duration,
}

/// The programme of a slot.
pub(super) struct SlotProgramme {
    plan: SlotPlan,
    resolver: Resolver,
    length: Arc<LengthOf>,
    /// Opened when the first item is requested: folders may be slow.
    play: Option<Playlist>,
    fill: Option<FillPlayer>,
    /// Set once the slot's own items are over.
    filling: bool,
    /// What a late slot has yet to pass over.
    to_pass: Duration,
    /// When the item handed out last ends, if nothing intervenes.
    reached: SystemTime,
}

impl SlotProgramme {
    pub(super) fn new(plan: SlotPlan, resolver: Resolver, length: Arc<LengthOf>) -> Self {
        let (to_pass, reached) = (plan.joins_at, plan.airs_at);
        Self { plan, resolver, length, play: None, fill: None, filling: false, to_pass, reached }
    }

    /// Opens the sources; a failure is that of the slot's only item.
    fn open(&mut self) -> Result<(), ItemFailure> {
        let SlotPlan { slot, dir, starts, .. } = &self.plan;
        let seed = starts.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let sources = match slot.pick {
            None => vec![source_text(&slot.play, dir).into()],
            Some(pick) => picked_sources(&slot.play, dir, pick, seed)?,
        };
        let repeats = slot.fill == Fill::Loop && self.plan.ends.is_some();
        self.play = Some(open_list(sources, repeats, &self.resolver)?.0);
        if let Fill::Source(fill) = &slot.fill
            && self.plan.ends.is_some()
        {
            let list = open_list(vec![source_text(fill, dir).into()], true, &self.resolver)
                .map_err(|failure| log::warn!("the fill of “{}” cannot be played: {failure}", slot.name));
            self.fill = list.ok().map(|(list, view)| FillPlayer::new(list, view, self.length.clone()));
        }
        Ok(())
    }

    /// The next item, of the slot or of its fill.
    fn next_of_both(&mut self) -> NextItem {
        if !self.filling {
            let next = self.play.as_mut().map_or(NextItem::End, Programme::next);
            if !matches!(next, NextItem::End) {
                return next;
            }
            self.filling = true;
            self.to_pass = Duration::ZERO;
        }
        let left = self.plan.ends.map(|ends| ends.duration_since(self.reached).unwrap_or_default());
        match (&mut self.fill, left) {
            (Some(fill), Some(left)) if !left.is_zero() => filling(fill.next(left)),
            _ => NextItem::End,
        }
    }

    fn player(&mut self, turn: u64) -> Option<(&mut dyn Programme, u64)> {
        if turn & FILLING == 0 {
            self.play.as_mut().map(|play| (play as &mut dyn Programme, turn))
        } else {
            self.fill.as_mut().map(|fill| (fill.list() as &mut dyn Programme, turn & !FILLING))
        }
    }
}

impl Programme for SlotProgramme {
    fn next(&mut self) -> NextItem {
        if self.play.is_none()
            && let Err(failure) = self.open()
        {
            // The list is empty from now on.
            self.play = open_list(Vec::new(), false, &self.resolver).ok().map(|(list, _)| list);
            self.filling = true;
            let title = self.plan.slot.name.clone();
            return NextItem::Skip { id: String::new(), title, failure };
        }
        let (mut passed, began) = (0, self.to_pass);
        for _ in 0..MOST_PASSED {
            let next = self.next_of_both();
            let NextItem::Play(mut item) = next else { return next };
            // A file opens in milliseconds; of a page, the resolver knows no length before.
            let length =
                (self.plan.ends.is_some() || !self.to_pass.is_zero()).then(|| (self.length)(&item)).flatten();
            match length {
                Some(length) if self.to_pass >= length => {
                    self.to_pass -= length;
                    passed += 1;
                    // A loop: the further rounds are passed over at once.
                    if passed == self.round_len() && !self.filling {
                        let round = began.saturating_sub(self.to_pass).as_millis().max(1);
                        let rest = self.to_pass.as_millis() % round;
                        self.to_pass = Duration::from_millis(u64::try_from(rest).unwrap_or_default());
                    }
                    continue;
                }
                _ => item.start = item.start.max(std::mem::take(&mut self.to_pass)),
            }
            self.reached = match length {
                Some(length) => self.reached + length.saturating_sub(item.start),
                None => self.reached.max(SystemTime::now()),
            };
            return NextItem::Play(item);
        }
        NextItem::End
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        let (turn, start) = (item.turn, item.start);
        let Some((player, own)) = self.player(turn) else { return NextItem::Play(item) };
        // The list would begin at its own offset.
        match player.confirm(Item { turn: own, ..item }) {
            NextItem::Play(item) if item.turn == own => NextItem::Play(Item { turn, start, ..item }),
            // An interstitial, or what an edit has put there.
            NextItem::Play(item) => NextItem::Play(Item { turn: item.turn | (turn & FILLING), ..item }),
            other => other,
        }
    }

    fn round_len(&self) -> usize {
        self.play.as_ref().map_or(1, Programme::round_len)
    }

    fn jump(&mut self, place: Option<u64>, to: JumpTarget) {
        let turn = place.unwrap_or(if self.filling { FILLING } else { 0 });
        self.filling = turn & FILLING != 0;
        self.to_pass = Duration::ZERO;
        self.reached = SystemTime::now();
        if let Some((player, own)) = self.player(turn) {
            player.jump(place.map(|_| own), to);
        }
    }

    fn reload(&mut self) {}
}

fn filling(next: NextItem) -> NextItem {
    match next {
        NextItem::Play(item) => NextItem::Play(Item { turn: item.turn | FILLING, ..item }),
        NextItem::Kept { item, failure } => {
            NextItem::Kept { item: Item { turn: item.turn | FILLING, ..item }, failure }
        }
        other => other,
    }
}

/// A path relative to the timetable, or a URL.
pub(super) fn source_text(text: &str, dir: &Path) -> OsString {
    if url::scheme(text).is_some() { text.into() } else { dir.join(text).into() }
}

fn open_list(
    sources: Vec<NamedSource>,
    repeat: bool,
    resolver: &Resolver,
) -> Result<(Playlist, PlaylistView), ItemFailure> {
    let queue = PlayQueue::open(None, None, Control::default());
    let view = PlaylistView::new(queue.clone(), SharedStatus::default());
    let config = PlaylistConfig {
        file: None,
        repeat,
        shuffle: false,
        separate: Vec::new(),
        wait: sources.is_empty(),
        sources,
        resume: None,
        queue,
        view: view.clone(),
        resolver: resolver.clone(),
    };
    let opened = Playlist::open(config).map(|list| (list, view));
    opened.map_err(|error| ItemFailure::new(FailureReason::Missing, format!("{error:#}")))
}

/// The entries of `text` that `pick` chooses.
fn picked_sources(text: &str, dir: &Path, pick: Pick, seed: u64) -> Result<Vec<NamedSource>, ItemFailure> {
    let missing = |why: String| ItemFailure::new(FailureReason::Missing, why);
    let (named, _) = source::named_by_line(text, dir).map_err(missing)?;
    let entries = picked(source::expand(&[named]), pick, Some(seed));
    if entries.is_empty() {
        return Err(missing("it holds nothing that can be played".to_owned()));
    }
    Ok(entries.into_iter().map(named_by).collect())
}

/// The source that leads to `entry` once, with what its list says about it.
fn named_by(entry: PlaylistEntry) -> NamedSource {
    let text: OsString = match entry.kind {
        EntryKind::File(path) => path.into(),
        EntryKind::Direct { url, .. } | EntryKind::List(url) | EntryKind::Page { url, .. } => url.into(),
        EntryKind::Bad(_) => entry.key.item.into(),
    };
    NamedSource {
        title: entry.title,
        headers: entry.headers,
        options: entry.options.of_content(),
        origin: entry.origin,
        ..text.into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tgs_schedule::Order;

    use super::*;

    #[test]
    fn a_picked_entry_keeps_what_its_list_says() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.mp4"), "x").unwrap();
        let list = "#EXTINF:-1,Part\n#EXTVLCOPT:start-time=10\n#EXTVLCOPT:stop-time=20\na.mp4\n";
        fs::write(dir.path().join("list.m3u"), list).unwrap();
        let pick = Pick { order: Order::Newest, count: 3 };
        let picked = picked_sources("list.m3u", dir.path(), pick, 1).unwrap();
        let entries = source::expand(&picked);
        assert_eq!(entries.len(), 1);
        let part = entries[0].part();
        assert_eq!((part.in_point, part.out_point), (Duration::from_secs(10), Some(Duration::from_secs(20))));
        assert_eq!(entries[0].title(), "Part");
    }
}
