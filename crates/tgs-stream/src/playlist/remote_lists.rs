//! The lists on servers that the playlist is in: what they named last, and when they are fetched
//! again. A failed fetch keeps what was there.
//!
//! A list that is due while its entries play is fetched by a thread; one whose turn comes is
//! fetched by the caller.

use std::{sync::mpsc, thread, time::Duration};

use tgs_core::mask;
use tgs_playout::item::ItemFailure;

use crate::{
    resolver::{Resolved, Resolver},
    source::{EntryKind, PlaylistEntry},
};

/// How long a list is used if its server does not say so.
const DEFAULT_AGE: Duration = Duration::from_mins(10);

/// The limits of what a server may say.
const SHORTEST_AGE: Duration = Duration::from_mins(1);
const LONGEST_AGE: Duration = Duration::from_hours(24);

/// Entries that are remembered, of all lists together.
const MAX_REMEMBERED: usize = 40_000;

/// Lists that are remembered.
const MAX_LISTS: usize = 100;

/// The known lists.
#[derive(Debug, Default)]
pub(super) struct RemoteLists {
    known: Vec<KnownList>,
    fetch: Option<Fetch>,
}

#[derive(Debug)]
struct KnownList {
    /// The entry that names it.
    entry: PlaylistEntry,
    /// What it named last.
    found: Vec<PlaylistEntry>,
    due: Duration,
    /// Whether the last fetch failed.
    failing: bool,
}

/// A fetch by a thread.
#[derive(Debug)]
struct Fetch {
    entry: PlaylistEntry,
    answer: mpsc::Receiver<ListAnswer>,
}

/// What a list resolves to, and how long that may be used.
type ListAnswer = (Result<Resolved, ItemFailure>, Option<Duration>);

impl RemoteLists {
    /// Resolves `entry`, which is due. A list that was fetched recently is not fetched again.
    pub(super) fn resolve(
        &mut self,
        entry: &PlaylistEntry,
        resolver: &Resolver,
        now: Duration,
    ) -> Result<Resolved, ItemFailure> {
        if !matches!(entry.kind, EntryKind::List(_)) {
            return resolver.resolve(entry);
        }
        if let Some(known) = self.find(entry).filter(|known| now < known.due) {
            return Ok(Resolved::Entries(known.found_in(entry)));
        }
        let answer = resolver.resolve_aged(entry);
        self.note(entry, answer, now)
    }

    /// Records what `entry` resolves to; after a failure, what it named before.
    fn note(
        &mut self,
        entry: &PlaylistEntry,
        answer: ListAnswer,
        now: Duration,
    ) -> Result<Resolved, ItemFailure> {
        let (found, age) = answer;
        let due = now + age.unwrap_or(DEFAULT_AGE).clamp(SHORTEST_AGE, LONGEST_AGE);
        let shown = entry.title();
        match found {
            Ok(Resolved::Entries(found)) => {
                if self.find(entry).is_some_and(|known| known.failing) {
                    log::info!("the list {shown} can be fetched again");
                }
                self.remember(entry, &found, due);
                Ok(Resolved::Entries(found))
            }
            Err(failure) => {
                let Some(known) = self.find_mut(entry) else { return Err(failure) };
                known.due = due;
                if !std::mem::replace(&mut known.failing, true) {
                    let why = mask::urls(&failure.detail).into_owned();
                    log::warn!("the list {shown} stays as it was, because it cannot be fetched: {why}");
                }
                Ok(Resolved::Entries(known.found_in(entry)))
            }
            // It has become something else.
            other => {
                self.known.retain(|known| !is_same(&known.entry, entry));
                other
            }
        }
    }

    fn remember(&mut self, entry: &PlaylistEntry, found: &[PlaylistEntry], due: Duration) {
        self.known.retain(|known| !is_same(&known.entry, entry));
        let size: usize = self.known.iter().map(|known| known.found.len()).sum();
        if size + found.len() <= MAX_REMEMBERED && self.known.len() < MAX_LISTS {
            self.known.push(KnownList { entry: entry.clone(), found: found.to_vec(), due, failing: false });
        }
    }

    /// Starts a fetch of a list of `order` that is due, unless one is running.
    pub(super) fn start_due(&mut self, order: &[PlaylistEntry], resolver: &Resolver, now: Duration) {
        if self.fetch.is_some() || self.known.iter().all(|known| now < known.due) {
            return;
        }
        let Some(due) = self.known.iter().find(|known| now >= known.due && is_open(order, &known.entry))
        else {
            // They are fetched when their turn comes, if it does.
            return;
        };
        let (entry, resolver) = (due.entry.clone(), resolver.clone());
        let (tell, answer) = mpsc::channel();
        let fetched = entry.clone();
        let run = move || {
            // The receiver is gone if the playlist is.
            let _ = tell.send(resolver.resolve_aged(&fetched));
        };
        match thread::Builder::new().name("list-fetch".into()).spawn(run) {
            Ok(_) => self.fetch = Some(Fetch { entry, answer }),
            Err(error) => log::warn!("cannot start a thread to fetch a list again: {error}"),
        }
    }

    /// The entries of a list that a thread has fetched, if they are others than before, with the
    /// entry that names it.
    pub(super) fn take_changed(&mut self, now: Duration) -> Option<(PlaylistEntry, Vec<PlaylistEntry>)> {
        let answer = match self.fetch.as_ref()?.answer.try_recv() {
            Ok(answer) => answer,
            Err(mpsc::TryRecvError::Empty) => return None,
            Err(mpsc::TryRecvError::Disconnected) => {
                self.fetch = None;
                return None;
            }
        };
        let entry = self.fetch.take()?.entry;
        let before = self.find(&entry)?.found.clone();
        match self.note(&entry, answer, now) {
            Ok(Resolved::Entries(found)) if found != before => Some((entry, found)),
            _ => None,
        }
    }

    /// Waits for the answer of the fetch that is running.
    #[cfg(test)]
    pub(super) fn settle(&mut self) {
        if let Some(fetch) = &mut self.fetch
            && let Ok(answer) = fetch.answer.recv()
        {
            let (tell, again) = mpsc::channel();
            let _ = tell.send(answer);
            fetch.answer = again;
        }
    }

    fn find(&self, entry: &PlaylistEntry) -> Option<&KnownList> {
        self.known.iter().find(|known| is_same(&known.entry, entry))
    }

    fn find_mut(&mut self, entry: &PlaylistEntry) -> Option<&mut KnownList> {
        self.known.iter_mut().find(|known| is_same(&known.entry, entry))
    }
}

impl KnownList {
    /// What it named last, as the content of `entry`, which names it now.
    fn found_in(&self, entry: &PlaylistEntry) -> Vec<PlaylistEntry> {
        let mut found = self.found.clone();
        let outer = self.entry.key.within.len();
        for one in &mut found {
            one.key.within.splice(..outer.min(one.key.within.len()), entry.key.within.iter().cloned());
        }
        found
    }
}

/// Whether both lead to the same entries: what a list says about an entry counts for its content.
fn is_same(one: &PlaylistEntry, other: &PlaylistEntry) -> bool {
    one.key.item == other.key.item
        && (&one.kind, &one.headers, one.trust) == (&other.kind, &other.headers, other.trust)
        && (&one.options, &one.sound) == (&other.options, &other.sound)
}

/// Whether `order` has the entries of the list `entry`, and of no list in it.
fn is_open(order: &[PlaylistEntry], entry: &PlaylistEntry) -> bool {
    let mut within = order.iter().filter(|one| is_within(one, entry)).peekable();
    entry.key.within.is_empty() && within.peek().is_some() && within.all(|one| one.key.within.len() == 1)
}

fn is_within(one: &PlaylistEntry, list: &PlaylistEntry) -> bool {
    one.key.within.first() == Some(&list.key.item)
}

/// `order` with `found` instead of the entries of `list`.
pub(super) fn replaced(
    order: &[PlaylistEntry],
    list: &PlaylistEntry,
    found: &[PlaylistEntry],
    max: usize,
) -> Vec<PlaylistEntry> {
    let mut new: Vec<PlaylistEntry> = Vec::with_capacity(order.len());
    let mut inside = false;
    for one in order {
        if !is_within(one, list) {
            inside = false;
            new.push(one.clone());
        } else if !std::mem::replace(&mut inside, true) {
            new.extend(found.iter().take(max.saturating_sub(new.len())).cloned());
        }
    }
    new
}
