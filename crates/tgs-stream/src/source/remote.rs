//! Expands a list from the network. Its entries cannot name anything on this machine.

use std::{os::unix::ffi::OsStrExt, path::Path};

use tgs_playout::item::{FailureReason, ItemFailure};

use super::{
    entry::{EntryKind, NamedSource, PlaylistEntry, failed_entry, invalid_text, number, url_entry},
    read::named_up_to,
};
use crate::{
    list::{self, NotAList},
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
    for named in named {
        let entry = remote_entry(list, &named);
        let is_bad = matches!(entry.kind, EntryKind::Bad(_));
        *(if is_bad { &mut bad } else { &mut good }) += 1;
        if !is_bad || bad <= MAX_BAD {
            entries.push(entry);
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
    entry.with_listing(named)
}
