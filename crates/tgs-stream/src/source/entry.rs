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
use tgs_playout::item::{FailureReason, ItemFailure, ListedNames, MediaPart, Trust};

use crate::{
    list::{self, SharedOptions},
    url,
};

/// In bytes; longer than any path and almost any URL.
pub(super) const MAX_TEXT: usize = 8192;

/// One argument or line that names a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSource {
    /// A path or a URL.
    pub text: OsString,
    /// The title to show instead of the name.
    pub title: Option<String>,
    /// The base of a relative path; empty for the working directory.
    pub dir: Arc<Path>,
    /// HTTP headers for its server.
    pub headers: Vec<(String, String)>,
    /// What else its list says about it.
    pub options: SharedOptions,
    /// The line that names it; `None` for the command line.
    pub origin: Option<EntryOrigin>,
}

impl From<OsString> for NamedSource {
    /// A source that no list names: its path begins in the working directory.
    fn from(text: OsString) -> Self {
        Self {
            text,
            title: None,
            dir: Path::new("").into(),
            headers: Vec::new(),
            options: SharedOptions::default(),
            origin: None,
        }
    }
}

/// A line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOrigin {
    /// The file or the URL of the list.
    pub list: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for EntryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, self.list.display())
    }
}

/// An entry's identity, stable across restarts and edits of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryKey {
    /// The absolute path, or the URL without login.
    pub item: String,
    /// Its number among equal names, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nth: u32,
    /// The pages and remote lists it was found in, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One entry of the playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaylistEntry {
    /// The identity.
    pub key: EntryKey,
    /// The title given by a list.
    pub title: Option<String>,
    /// How it is opened.
    pub kind: EntryKind,
    /// The line that names it.
    pub origin: Option<EntryOrigin>,
    /// Who named it: the operator, or a list or page from the network.
    pub trust: Trust,
    /// HTTP headers for its server, in addition to those of yt-dlp.
    pub headers: Vec<(String, String)>,
    /// The directories below which a file must lie, links resolved; `None` for any file.
    pub below: Option<Arc<[PathBuf]>>,
    /// What its list says about it.
    pub options: SharedOptions,
    /// The sound that replaces its own.
    pub sound: Option<Box<EntryKind>>,
    /// Whether it is a file of a named folder, into which files are copied at any time.
    pub in_folder: bool,
}

/// How an entry is opened, as far as its name shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, by its absolute path; it need not exist.
    File(PathBuf),
    /// A URL that ffmpeg opens.
    Direct {
        /// The URL.
        url: String,
        /// Whether its protocol carries live streams.
        live: bool,
    },
    /// The URL of a list (`.m3u`, `.m3u8`, `.pls`, `.xspf`, `.json`) or of an HLS playlist.
    List(String),
    /// A page for yt-dlp.
    Page {
        /// The URL.
        url: String,
        /// The number, from 1, of an entry of the page without a URL of its own.
        index: Option<u32>,
    },
    /// It cannot be played.
    Bad(ItemFailure),
}

impl PlaylistEntry {
    /// An entry that is in no page or remote list.
    #[must_use]
    pub fn new(item: String, kind: EntryKind) -> Self {
        let item = if item.contains(char::is_control) { item.replace(char::is_control, " ") } else { item };
        let key = EntryKey { item, nth: 0, within: Vec::new() };
        let (headers, options) = (Vec::new(), SharedOptions::default());
        Self {
            key,
            title: None,
            kind,
            origin: None,
            trust: Trust::Operator,
            headers,
            below: None,
            options,
            sound: None,
            in_folder: false,
        }
    }

    /// The title for messages and viewers: the given one, else the name without credentials.
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

    /// Adds the line that names this entry to `failure`.
    #[must_use]
    pub fn failure(&self, failure: ItemFailure) -> ItemFailure {
        match &self.origin {
            Some(origin) => ItemFailure::new(failure.reason, format!("{} ({origin})", failure.detail)),
            None => failure,
        }
    }
}

impl PlaylistEntry {
    /// Adds what the list says about this entry.
    pub(super) fn with_listing(mut self, named: &NamedSource) -> Self {
        list::headers::add(&mut self.headers, named.headers.clone());
        Self {
            title: named.title.clone(),
            origin: named.origin.clone(),
            options: named.options.clone(),
            ..self
        }
    }

    /// Adds the sound at `address`: a path in the folder of the list, or a URL.
    pub(super) fn with_sound(self, sound: Option<EntryKind>) -> Self {
        Self { sound: sound.map(Box::new), ..self }
    }

    /// The part of its media that the item plays.
    #[must_use]
    pub fn part(&self) -> MediaPart {
        let options = &self.options;
        MediaPart {
            in_point: options.in_point,
            out_point: options.out_point,
            still: options.length,
            languages: options.audio_languages.clone(),
            no_audio: options.no_audio,
            no_logo: options.no_logo,
            subtitles: options.subtitle_languages.clone(),
            listed: Box::new(ListedNames { title: self.title.clone(), artist: options.artist.clone() }),
        }
    }
}

/// Numbers entries of the same name.
pub fn number(entries: &mut [PlaylistEntry]) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for entry in entries {
        let count = seen.entry(entry.key.item.clone()).or_default();
        entry.key.nth = *count;
        *count += 1;
    }
}

pub(super) fn failed_entry(item: &str, failure: ItemFailure) -> PlaylistEntry {
    let item: String = item.chars().take(200).collect();
    PlaylistEntry::new(one_line(&item), EntryKind::Bad(failure))
}

pub(super) fn file_entry(path: PathBuf) -> PlaylistEntry {
    PlaylistEntry::new(path.to_string_lossy().into_owned(), EntryKind::File(path))
}

/// The entry of a URL other than `file:`.
pub(super) fn url_entry(address: &str) -> PlaylistEntry {
    let (address, headers) = url::split_headers(address);
    let url = url::normalized(address);
    let extension = url::extension(&url);
    let scheme = url::scheme(&url).unwrap_or_default();
    let kind = match scheme.as_str() {
        "http" | "https" => match extension.as_str() {
            "m3u" | "m3u8" | "pls" | "xspf" | "json" => EntryKind::List(url.clone()),
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
    let mut entry = PlaylistEntry::new(url::without_login(&url), kind);
    list::headers::add(&mut entry.headers, headers);
    entry
}

/// The media at a URL that names a sound: a page or list there cannot be one.
pub(super) fn sound_at(address: &str) -> EntryKind {
    match url_entry(address).kind {
        EntryKind::Page { url, .. } | EntryKind::List(url) => EntryKind::Direct { url, live: false },
        other => other,
    }
}

/// Adds `found` to `entries` as often as its list asks for, up to `max` in all.
pub(super) fn add_repeated(
    entries: &mut Vec<PlaylistEntry>,
    found: &[PlaylistEntry],
    repeats: u32,
    max: usize,
) {
    for _ in 0..=repeats {
        let room = max.saturating_sub(entries.len()).min(found.len());
        entries.extend_from_slice(&found[..room]);
        if room < found.len() {
            return;
        }
    }
}

/// Replaces control characters, line breaks included.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// Why this is neither a path nor a URL.
pub(super) fn invalid_text(text: &[u8]) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(format!("the line has over {MAX_TEXT} bytes"));
    }
    text.iter().any(u8::is_ascii_control).then(|| "the line holds a control character".to_owned())
}
