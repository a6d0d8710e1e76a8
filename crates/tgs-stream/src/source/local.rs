//! Expands the sources that the operator names: paths, folders, local lists in lists, URLs.
//!
//! Opens folders and local lists only; remote lists stay one entry ([`super::expand_remote`]).

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
};

use tgs_playout::item::{FailureReason, ItemFailure};

use super::{
    entry::{
        EntryKind, NamedSource, PlaylistEntry, add_repeated, failed_entry, file_entry, invalid_text, number,
        sound_at, url_entry,
    },
    folder::folder,
    places::Places,
    read::{MAX_ENTRIES, io_reason, is_list, named_in, read_list},
};
use crate::{
    list::{self, NotAList},
    url,
};

/// Deeper nesting is a cycle.
const MAX_DEPTH: usize = 8;

/// Local lists opened in one expansion.
pub(super) const MAX_LISTS: usize = 1000;

/// Bytes of those lists.
const MAX_LIST_BYTES: usize = 64 << 20;

/// Expands `named`, in order. Each yields at least one entry, if only a failure.
#[must_use]
pub fn expand(named: &[NamedSource]) -> Vec<PlaylistEntry> {
    expand_followed(named).0
}

/// Expands `named` and returns the folders and lists that were read, to notice their changes.
#[must_use]
pub fn expand_followed(named: &[NamedSource]) -> (Vec<PlaylistEntry>, Places) {
    let mut expansion = Expansion::default();
    for one in named {
        expansion.open(one);
    }
    let mut entries = expansion.entries;
    if entries.len() >= MAX_ENTRIES {
        log::warn!("there are {MAX_ENTRIES} entries or more; ignoring the rest");
        entries.truncate(MAX_ENTRIES);
    }
    number(&mut entries);
    let places = expansion.places.with_entries(&entries);
    (entries, places)
}

/// Reads `line`, one line of a playlist in the folder `dir`: the source that it names, and its
/// title as far as the name shows it. Fails with words if nothing can open it. Touches no disk.
pub(crate) fn named_by_line(line: &str, dir: &Path) -> Result<(NamedSource, String), String> {
    if let Some(why) = invalid_text(line.as_bytes()) {
        return Err(why);
    }
    let named = named_in(&dir.join("queue"), line.as_bytes()).map_err(|why| match why {
        NotAList::Hls => "it is a tag of an HLS playlist".to_owned(),
        NotAList::Other(what) => format!("it is {what}"),
    })?;
    let [named] = named.try_into().map_err(|_| "it names nothing to play".to_owned())?;
    // The line is not in a file that messages could name.
    let named = NamedSource { origin: None, ..named };
    let entry = entry_of(&named);
    if let EntryKind::Bad(failure) = &entry.kind {
        return Err(failure.detail.clone());
    }
    Ok((named, entry.title()))
}

/// The entry that `named` is as far as its name shows: a folder or a list is not opened.
pub(crate) fn entry_of(named: &NamedSource) -> PlaylistEntry {
    let text = named.text.to_string_lossy();
    let entry = match url::scheme(&text) {
        None => file_entry(named.dir.join(&named.text)),
        Some(_) => match url::file_path(&text) {
            Some(path) => file_entry(OsString::from_vec(path).into()),
            None => url_entry(&text),
        },
    };
    entry.with_listing(named)
}

/// The state of one expansion.
#[derive(Default)]
struct Expansion {
    entries: Vec<PlaylistEntry>,
    /// The open lists, outermost first, to detect a list that names itself.
    within: Vec<PathBuf>,
    /// The folders and lists that were read.
    places: Places,
    /// Lists opened so far, and their bytes.
    lists: usize,
    bytes: usize,
}

impl Expansion {
    /// Adds the entries of `named`.
    fn open(&mut self, named: &NamedSource) {
        if self.entries.len() >= MAX_ENTRIES {
            return;
        }
        let text = list::text(named.text.as_bytes());
        let unplayable =
            |detail: &str| failed_entry(&text, ItemFailure::new(FailureReason::Unplayable, detail));
        let found = match local_path(named) {
            _ if invalid_text(named.text.as_bytes()).is_some() && named.origin.is_some() => {
                vec![unplayable(&invalid_text(named.text.as_bytes()).unwrap_or_default())]
            }
            None => vec![url_entry(&text)],
            Some(Err(error)) => {
                vec![failed_entry(
                    &text,
                    ItemFailure::new(FailureReason::Missing, format!("it is not a path: {error}")),
                )]
            }
            Some(Ok(path)) if path.is_dir() => {
                self.places.add(&path);
                folder(&path)
            }
            Some(Ok(path)) if is_list(&path) => match self.entries_of(&path) {
                Ok(None) => vec![file_entry(path)],
                Ok(Some(within)) => {
                    self.within.push(canonical(&path));
                    for one in within {
                        let options = one.options.or(&named.options);
                        self.open(&NamedSource { options, ..one });
                    }
                    self.within.pop();
                    return;
                }
                Err(None) => return,
                Err(Some(failure)) => vec![failed_entry(&path.to_string_lossy(), failure)],
            },
            Some(Ok(path)) => vec![file_entry(path)],
        };
        // A folder's title is not that of each file.
        let titled = NamedSource { title: named.title.clone().filter(|_| found.len() == 1), ..named.clone() };
        let sound = sound_of(named);
        let listed = |entry: PlaylistEntry| entry.with_listing(&titled).with_sound(sound.clone());
        let found: Vec<PlaylistEntry> = found.into_iter().map(listed).collect();
        add_repeated(&mut self.entries, &found, named.options.repeats, MAX_ENTRIES);
    }

    /// The sources in the list at `path`; `None` for an HLS playlist, which is one entry. An error
    /// without a failure has been reported before.
    fn entries_of(&mut self, path: &Path) -> Result<Option<Vec<NamedSource>>, Option<ItemFailure>> {
        let refused = |detail: String| Err(Some(ItemFailure::new(FailureReason::Unplayable, detail)));
        if self.within.contains(&canonical(path)) {
            return refused("the list names itself".to_owned());
        }
        if self.within.len() >= MAX_DEPTH {
            return refused(format!("it is a list, {MAX_DEPTH} lists deep: name it directly"));
        }
        self.lists += 1;
        if self.lists > MAX_LISTS || self.bytes > MAX_LIST_BYTES {
            let first = self.lists <= MAX_LISTS + 1 && self.bytes <= MAX_LIST_BYTES * 2;
            self.bytes = usize::MAX;
            return if first {
                let limit = MAX_LIST_BYTES >> 20;
                refused(format!(
                    "the lists name over {MAX_LISTS} lists, or {limit} MiB: ignoring this one and the rest"
                ))
            } else {
                Err(None)
            };
        }
        self.places.add(path);
        let bytes = read_list(path).map_err(|error| {
            Some(ItemFailure::new(io_reason(&error), format!("the list cannot be read: {error}")))
        })?;
        self.bytes = self.bytes.saturating_add(bytes.len());
        match named_in(path, &bytes) {
            Ok(within) if within.is_empty() => refused("the list names nothing".to_owned()),
            Ok(within) => Ok(Some(within)),
            Err(NotAList::Hls) => Ok(None),
            Err(NotAList::Other(what)) => refused(format!("the list cannot be read: it is {what}")),
        }
    }
}

/// The sound that a list names for an entry.
fn sound_of(named: &NamedSource) -> Option<EntryKind> {
    let text = named.options.sound.as_deref()?;
    if let Some(why) = invalid_text(text.as_bytes()) {
        return Some(EntryKind::Bad(ItemFailure::new(FailureReason::Unplayable, why)));
    }
    let path = match url::scheme(text) {
        None => PathBuf::from(text),
        Some(_) => match url::file_path(text) {
            Some(path) => PathBuf::from(OsString::from_vec(path)),
            None => return Some(sound_at(text)),
        },
    };
    let path = named.dir.join(path);
    Some(EntryKind::File(path::absolute(&path).unwrap_or(path)))
}

/// The canonical path, to compare files.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The absolute path; `None` for a URL.
fn local_path(named: &NamedSource) -> Option<io::Result<PathBuf>> {
    let text = named.text.to_string_lossy();
    let path = match url::scheme(&text) {
        None => existing(named),
        Some(_) => PathBuf::from(OsString::from_vec(url::file_path(&text)?)),
    };
    Some(path::absolute(named.dir.join(path)))
}

/// The path as written or, if there is no such file, as other players would read it.
fn existing(named: &NamedSource) -> PathBuf {
    let raw = named.text.as_bytes();
    let is_there = |path: &[u8]| named.dir.join(OsString::from_vec(path.to_vec())).symlink_metadata().is_ok();
    let odd = raw.iter().any(|b| b"%\\".contains(b)) || raw.starts_with(b"file:") || !raw.is_ascii();
    if named.origin.is_none() || !odd || is_there(raw) {
        return named.text.clone().into();
    }
    let slashes = |path: &[u8]| path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect::<Vec<u8>>();
    let readings = |text: String| {
        let text = text.strip_prefix("file:").unwrap_or(&text);
        let decoded = url::percent_decode(text);
        [text.as_bytes().to_vec(), decoded.clone(), slashes(text.as_bytes()), slashes(&decoded)]
    };
    let found = list::readings(raw).into_iter().flat_map(readings).find(|path| is_there(path));
    found.map_or_else(|| named.text.clone().into(), |path| OsString::from_vec(path).into())
}
