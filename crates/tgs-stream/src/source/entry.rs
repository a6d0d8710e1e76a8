//! A named source and the playlist entries it expands to: data types, without I/O.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tgs_core::mask;
use tgs_playout::item::{FailureReason, ItemFailure, Trust};

use crate::{list, url};

/// No path and hardly a URL is longer, in bytes; one argument of a program could hold 128 KiB.
pub(super) const MAX_TEXT: usize = 8192;

/// One argument or line that names something to play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSource {
    /// A path or a URL.
    pub text: OsString,
    /// What viewers are to see instead of the name.
    pub title: Option<String>,
    /// The directory that a relative path begins at; empty for the current one.
    pub dir: Arc<Path>,
    /// HTTP headers that its server wants.
    pub headers: Vec<(String, String)>,
    /// Where it is written; `None` for the command line.
    pub origin: Option<EntryOrigin>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOrigin {
    /// The file, or the URL of the list.
    pub list: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for EntryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, self.list.display())
    }
}

/// What tells an entry from every other one, also after a restart and an edit of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryKey {
    /// The absolute path or the URL (without name and password).
    pub item: String,
    /// Which one, from 0, where the list names the same thing several times.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nth: u32,
    /// The pages and remote lists that it was found through, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One entry of the programme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaylistEntry {
    /// Its identity.
    pub key: EntryKey,
    /// A title given by a list.
    pub title: Option<String>,
    /// What it is.
    pub kind: EntryKind,
    /// Where it is written.
    pub origin: Option<EntryOrigin>,
    /// Who named it: the operator, or a list or page from the network.
    pub trust: Trust,
    /// HTTP headers that its server wants, beside those that yt-dlp finds.
    pub headers: Vec<(String, String)>,
}

/// What an entry is, as far as can be told without the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, by its absolute path; it need not be there.
    File(PathBuf),
    /// A URL that ffmpeg opens.
    Direct {
        /// The URL.
        url: String,
        /// Whether its protocol is one for live streams.
        live: bool,
    },
    /// The URL of a list (`.m3u`, `.m3u8`, `.pls`, `.xspf`), or of an HLS playlist.
    List(String),
    /// A page for yt-dlp.
    Page {
        /// The URL.
        url: String,
        /// One entry of the list that yt-dlp makes of the page, from 1, where it has no URL of its own.
        index: Option<u32>,
    },
    /// It cannot be played, and this is why.
    Bad(ItemFailure),
}

impl PlaylistEntry {
    /// An entry that is not in any page or remote list.
    #[must_use]
    pub fn new(item: String, what: EntryKind) -> Self {
        let item = if item.contains(char::is_control) { item.replace(char::is_control, " ") } else { item };
        let key = EntryKey { item, nth: 0, within: Vec::new() };
        Self { key, title: None, kind: what, origin: None, trust: Trust::Operator, headers: Vec::new() }
    }

    /// What to call it in messages and for viewers: the given title, or else its name, without what opens a URL.
    #[must_use]
    pub fn title(&self) -> String {
        let title = self.title.clone().unwrap_or_else(|| match &self.kind {
            EntryKind::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            EntryKind::Direct { url, .. } | EntryKind::List(url) => url::name(&mask::urls(url)),
            EntryKind::Page { .. } => {
                let shown = mask::urls(&self.key.item);
                shown.split_once("://").map_or(&*shown, |(_, rest)| rest).to_owned()
            }
            EntryKind::Bad(_) => mask::urls(&self.key.item).into_owned(),
        });
        one_line(&title)
    }

    /// A failure of this entry, with the line that names it.
    #[must_use]
    pub fn failure(&self, failure: ItemFailure) -> ItemFailure {
        match &self.origin {
            Some(origin) => ItemFailure::new(failure.reason, format!("{} ({origin})", failure.detail)),
            None => failure,
        }
    }
}

impl PlaylistEntry {
    /// This, with what the list says of it.
    pub(super) fn given(mut self, named: &NamedSource) -> Self {
        list::headers::add(&mut self.headers, named.headers.clone());
        Self { title: named.title.clone(), origin: named.origin.clone(), ..self }
    }
}

/// Tells entries with the same name apart.
pub fn number(entries: &mut [PlaylistEntry]) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for entry in entries {
        let count = seen.entry(entry.key.item.clone()).or_default();
        entry.key.nth = *count;
        *count += 1;
    }
}

pub(super) fn bad(item: &str, failure: ItemFailure) -> PlaylistEntry {
    let item: String = item.chars().take(200).collect();
    PlaylistEntry::new(one_line(&item), EntryKind::Bad(failure))
}

pub(super) fn at_path(path: PathBuf) -> PlaylistEntry {
    PlaylistEntry::new(path.to_string_lossy().into_owned(), EntryKind::File(path))
}

/// The entry at a URL that is none of a local file.
pub(super) fn at_url(address: &str) -> PlaylistEntry {
    let (address, headers) = url::split_headers(address);
    let url = url::normalized(address);
    let extension = url::extension(&url);
    let scheme = url::scheme(&url).unwrap_or_default();
    let what = match scheme.as_str() {
        "http" | "https" => match extension.as_str() {
            "m3u" | "m3u8" | "pls" | "xspf" => EntryKind::List(url.clone()),
            _ if url::asks_for_list(&url) => EntryKind::List(url.clone()),
            extension if url::is_media(extension) => EntryKind::Direct { url: url.clone(), live: false },
            _ => EntryKind::Page { url: url.clone(), index: None },
        },
        scheme if url::is_live(scheme) => EntryKind::Direct { url: url.clone(), live: true },
        "ftp" | "sftp" => EntryKind::Direct { url: url.clone(), live: false },
        other => EntryKind::Bad(ItemFailure::new(
            FailureReason::Unplayable,
            format!("nothing here can open a {other}:// address"),
        )),
    };
    let mut entry = PlaylistEntry::new(url::without_login(&url), what);
    list::headers::add(&mut entry.headers, headers);
    entry
}

/// `text` without line breaks and other control characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// Why this is neither a path nor a URL.
pub(super) fn unfit(text: &[u8]) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(format!("the line has over {MAX_TEXT} bytes"));
    }
    text.iter().any(u8::is_ascii_control).then(|| "the line holds a control character".to_owned())
}
