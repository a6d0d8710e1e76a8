//! Expands a list from the network. Its entries cannot name anything on this machine.

use std::{os::unix::ffi::OsStrExt, path::Path};

use tgs_playout::item::{FailureReason, ItemFailure};

use super::{
    entry::{
        EntryKind, NamedSource, PlaylistEntry, add_repeated, failed_entry, invalid_text, number, sound_at,
        url_entry,
    },
    read::{named_up_to, report_fault},
};
use crate::{
    list::{self, EntryOptions, NotAList},
    url,
};

/// The most entries of a remote list: the largest station lists have some ten thousand.
pub(crate) const MAX_REMOTE: usize = 20_000;

/// The most unplayable entries that are reported.
pub(super) const MAX_BAD: usize = 20;

/// Expands the list `bytes` at the URL `list`: all playable entries and some failures. `None` for
/// an HLS playlist.
pub fn expand_remote(list: &str, bytes: &[u8]) -> Result<Option<Vec<PlaylistEntry>>, ItemFailure> {
    let unplayable = |detail: String| ItemFailure::new(FailureReason::Unplayable, detail);
    let (named, more) = match named_up_to(MAX_REMOTE, Path::new(&url::without_login(list)), bytes) {
        Ok(named) => named,
        Err(NotAList::Hls) => return Ok(None),
        Err(NotAList::Other(what)) => return Err(unplayable(format!("it is {what}"))),
    };
    let mut entries = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for mut named in named {
        if named.options.every.is_some()
            && let Some(origin) = &named.origin
        {
            let what = "#TGS:every counts in lists on this machine only; the entry plays in its place";
            report_fault(&origin.list, origin.line, what);
            named.options = EntryOptions { every: None, ..(*named.options).clone() }.into();
        }
        let entry = remote_entry(list, &named);
        let is_bad = matches!(entry.kind, EntryKind::Bad(_));
        *(if is_bad { &mut bad } else { &mut good }) += 1;
        if !is_bad || bad <= MAX_BAD {
            add_repeated(&mut entries, &[entry], named.options.repeats, MAX_REMOTE);
        }
    }
    if good == 0 {
        return Err(match entries.first() {
            Some(PlaylistEntry { kind: EntryKind::Bad(why), origin: Some(origin), .. }) => {
                unplayable(format!(
                    "none of the {bad} entries of the list can be played; the first, line {}: {why}",
                    origin.line
                ))
            }
            _ => unplayable("the list names nothing".to_owned()),
        });
    }
    let shown = url::name(list);
    if bad > MAX_BAD {
        log::warn!("{} more entries of the list {shown} cannot be played either", bad - MAX_BAD);
    }
    if more {
        log::warn!("the list {shown} names more than {MAX_REMOTE} entries; ignoring the rest");
    }
    number(&mut entries);
    Ok(Some(entries))
}

/// The entry of `named` in the list at `list`.
fn remote_entry(list: &str, named: &NamedSource) -> PlaylistEntry {
    let text = list::text(named.text.as_bytes());
    let target = url::join(list, &text.replace('\\', "/"));
    let entry = match invalid_text(named.text.as_bytes()).or_else(|| url::refused(&target)) {
        None => url_entry(&target),
        Some(why) => failed_entry(&text, ItemFailure::new(FailureReason::Forbidden, why)),
    };
    let sound = named.options.sound.as_deref().map(|sound| {
        let target = url::join(list, sound);
        match invalid_text(sound.as_bytes()).or_else(|| url::refused(&target)) {
            None => sound_at(&target),
            Some(why) => EntryKind::Bad(ItemFailure::new(FailureReason::Forbidden, why)),
        }
    });
    entry.with_listing(named).with_sound(sound)
}
