//! What slots play, as far as is known before they are due: for plans. Opens no network without a
//! resolver.

use std::{fs, path::Path};

use tgs_core::mask;
use tgs_playout::item::ItemFailure;
use tgs_schedule::{
    Fill, Order, Slot,
    plan::{Plan, PlanItem, SlotContents, WarningKind},
};

use super::{
    pick::picked,
    slot_programme::source_text,
    store::{ScheduleError, ScheduleFile},
};
use crate::{
    check::still_copied,
    playlist::{Listing, title_of},
    resolver::{Resolved, Resolver},
    source::{self, EntryKind, PlaylistEntry},
};

/// Entries of one slot that are looked at: each is opened.
const MOST_ENTRIES: usize = 2000;

/// The plan of a date by `file`, with the lengths of all that plays, and whether all of it can
/// play.
pub(crate) fn plan_of_day(
    file: &ScheduleFile,
    date: &str,
    resolver: &Resolver,
) -> Result<(Plan, bool), ScheduleError> {
    let (timetable, _) = file.read()?;
    let (from, to) = timetable.day(date)?;
    let plan = timetable.plan(from, to, &|slot| contents(slot, file.dir(), Some(resolver)));
    let mut warnings = plan.rows.iter().flat_map(|row| &row.warnings);
    let all = warnings.all(|warning| warning.kind != WarningKind::Missing);
    Ok((plan, all))
}

/// What `slot` plays. With a resolver all of it is opened, for its length; without, only files are
/// looked at.
pub(super) fn contents(slot: &Slot, dir: &Path, resolver: Option<&Resolver>) -> SlotContents {
    let entries = match entries_of(slot, dir) {
        Ok(entries) => entries,
        Err(problem) => return SlotContents { items: Vec::new(), problem: Some(problem) },
    };
    let mut contents = SlotContents::default();
    // Which ones `random` takes is known once the slot is due.
    let is_random = slot.pick.is_some_and(|pick| pick.order == Order::Random);
    let mut todo: Vec<_> = entries.into_iter().rev().collect();
    while let Some(entry) = todo.pop() {
        if contents.items.len() >= MOST_ENTRIES || resolver.is_some_and(|it| it.cancel.is_cancelled()) {
            break;
        }
        let found = match resolver.filter(|_| !is_random) {
            None => looked_at(&entry),
            Some(resolver) => match opened(&entry, resolver) {
                Ok(OpenedEntry::Entries(found)) => {
                    todo.extend(found.into_iter().take(source::MAX_REMOTE).rev());
                    continue;
                }
                Ok(OpenedEntry::Item(item)) => item,
                Err(failure) => failed(&entry, &failure),
            },
        };
        contents.items.push(found);
    }
    contents.problem = fill_problem(slot, dir);
    contents
}

/// The entries that a slot's source names, after `pick`.
fn entries_of(slot: &Slot, dir: &Path) -> Result<Vec<PlaylistEntry>, String> {
    let entries = named(&slot.play, dir)?;
    Ok(match slot.pick {
        Some(pick) => picked(entries, pick, None),
        None => entries,
    })
}

fn named(text: &str, dir: &Path) -> Result<Vec<PlaylistEntry>, String> {
    let listing = Listing::new(vec![source_text(text, dir).into()], None);
    let named = listing.read().map_err(|error| mask::urls(&format!("{error:#}")).into_owned())?;
    Ok(source::expand(&named))
}

/// An entry by its file alone.
fn looked_at(entry: &PlaylistEntry) -> PlanItem {
    let problem = match &entry.kind {
        EntryKind::Bad(failure) => Some(failure.detail.clone()),
        EntryKind::File(path) => match fs::metadata(path) {
            Ok(meta) if meta.is_file() && meta.len() == 0 => Some("the file is empty".to_owned()),
            Ok(meta) if meta.is_file() => None,
            Ok(_) => Some("it is neither a file nor a directory".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some("there is no such file".to_owned())
            }
            Err(error) => Some(format!("the file cannot be read: {error}")),
        },
        EntryKind::Direct { .. } | EntryKind::List(_) | EntryKind::Page { .. } => None,
    };
    PlanItem { title: entry.title(), length: None, problem }
}

/// What an entry is.
enum OpenedEntry {
    Entries(Vec<PlaylistEntry>),
    Item(PlanItem),
}

fn opened(entry: &PlaylistEntry, resolver: &Resolver) -> Result<OpenedEntry, ItemFailure> {
    match resolver.resolve(entry)? {
        Resolved::Entries(found) => Ok(OpenedEntry::Entries(found)),
        Resolved::Arriving => Err(still_copied()),
        Resolved::Media { media, title } => {
            let probe = resolver.probe(&media)?;
            let title = title_of(entry, title);
            Ok(OpenedEntry::Item(PlanItem { title, length: probe.duration, problem: None }))
        }
    }
}

fn failed(entry: &PlaylistEntry, failure: &ItemFailure) -> PlanItem {
    let problem = mask::urls(&failure.to_string()).into_owned();
    PlanItem { title: entry.title(), length: None, problem: Some(problem) }
}

/// Why the `fill` of a slot cannot play.
fn fill_problem(slot: &Slot, dir: &Path) -> Option<String> {
    let Fill::Source(fill) = &slot.fill else { return None };
    let entries = match named(fill, dir) {
        Ok(entries) => entries,
        Err(problem) => return Some(format!("fill: {problem}")),
    };
    let items: Vec<_> = entries.iter().take(MOST_ENTRIES).map(looked_at).collect();
    if items.iter().any(|item| item.problem.is_none()) {
        return None;
    }
    let first = items.into_iter().find_map(|item| item.problem);
    Some(format!("fill: {}", first.unwrap_or_else(|| "it names nothing".to_owned())))
}
