//! What the operator names on the command line, in a playlist file or in a list, and the entries it stands for.
//!
//! Opens folders and local lists, which is quick; what has to be asked over the network stays one entry until its turn
//! comes ([`crate::resolver`]). Plays and probes nothing.

pub mod url;

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tgs_core::{files, mask};
use tgs_playout::item::{FailureReason, ItemFailure, Trust};

use crate::list::{self, NotAList};

/// More entries than this are left out: a list that names folders that hold lists is somebody's mistake.
const MAX_ENTRIES: usize = 100_000;

/// So many entries of one list from the network are kept: the largest lists of stations have some ten thousand.
pub(crate) const MAX_REMOTE: usize = 20_000;

/// So many entries of one list from the network are kept that cannot be played, to say why.
const MAX_BAD: usize = 20;

/// Local lists in local lists: deeper ones name each other in a circle.
const MAX_DEPTH: usize = 8;

/// Local lists that one look at the playlist opens in all.
const MAX_LISTS: usize = 1000;

/// Their bytes in all.
const MAX_LIST_BYTES: usize = 64 << 20;

/// No path and hardly a URL is longer, in bytes; one argument of a program could hold 128 KiB.
const MAX_TEXT: usize = 8192;

/// The largest lists of stations have some ten thousand lines of 200 bytes.
pub(crate) const MAX_LIST: u64 = 16 << 20;

/// How long whoever writes a list into a pipe may take.
const PIPE_TIME_OUT: Duration = Duration::from_secs(10);

/// What is found beside media in a folder. Everything else is tried, since ffmpeg knows more names than any table.
const NOT_MEDIA: [&str; 59] = [
    "7z",
    "ass",
    "avif",
    "bak",
    "bmp",
    "bz2",
    "conf",
    "crdownload",
    "css",
    "csv",
    "cue",
    "db",
    "doc",
    "docx",
    "exe",
    "gz",
    "heic",
    "htm",
    "html",
    "idx",
    "ico",
    "ini",
    "jpeg",
    "jpg",
    "js",
    "json",
    "log",
    "lrc",
    "lnk",
    "m3u",
    "m3u8",
    "md",
    "md5",
    "nfo",
    "odt",
    "par2",
    "part",
    "pdf",
    "pls",
    "png",
    "py",
    "rar",
    "rtf",
    "sfv",
    "sh",
    "smi",
    "srt",
    "ssa",
    "sub",
    "sup",
    "svg",
    "tif",
    "tmp",
    "torrent",
    "txt",
    "vtt",
    "xml",
    "xspf",
    "zip",
];

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

/// `text` without line breaks and other control characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// The entries written in the list `bytes` at `list`.
pub fn named_in(list: &Path, bytes: &[u8]) -> Result<Vec<NamedSource>, NotAList> {
    let (named, more) = named_up_to(MAX_ENTRIES, list, bytes)?;
    if more {
        log::warn!("{} names more than {MAX_ENTRIES} entries: the rest is left out", list.display());
    }
    Ok(named)
}

/// The first `max` entries, and whether there are more.
fn named_up_to(max: usize, list: &Path, bytes: &[u8]) -> Result<(Vec<NamedSource>, bool), NotAList> {
    let found = list::read(bytes, max)?;
    let dir: Arc<Path> = list.parent().unwrap_or(Path::new("")).into();
    let list: Arc<Path> = list.into();
    let named = |one: list::ListLine| NamedSource {
        text: OsString::from_vec(one.text),
        title: one.title,
        dir: Arc::clone(&dir),
        headers: one.headers,
        origin: Some(EntryOrigin { list: Arc::clone(&list), line: one.number }),
    };
    Ok((found.written.into_iter().map(named).collect(), found.more))
}

/// The entries that `named` stands for, in order. Each yields one at least, if only to say that it can't be played.
#[must_use]
pub fn expand(named: &[NamedSource]) -> Vec<PlaylistEntry> {
    let mut expansion = Expansion::default();
    for one in named {
        expansion.open(one);
    }
    let mut entries = expansion.entries;
    if entries.len() >= MAX_ENTRIES {
        log::warn!("there are {MAX_ENTRIES} entries or more: the rest is left out");
        entries.truncate(MAX_ENTRIES);
    }
    number(&mut entries);
    entries
}

/// The entries of a list read from `list`, a URL: those that can be played, and some of the others, to say why not. Nothing on
/// this machine can be named there. `None` for an HLS playlist.
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
        let entry = found_at(list, &named);
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
        log::warn!("the list {shown} names more than {MAX_REMOTE} entries: the rest is left out");
    }
    number(&mut entries);
    Ok(Some(entries))
}

/// What `named` in the list at `list`, a URL, stands for.
fn found_at(list: &str, named: &NamedSource) -> PlaylistEntry {
    let text = list::text(named.text.as_bytes());
    let target = url::join(list, &text.replace('\\', "/"));
    let entry = match unfit(named.text.as_bytes()).or_else(|| url::refused(&target)) {
        None => at_url(&target),
        Some(why) => bad(&text, ItemFailure::new(FailureReason::Forbidden, why)),
    };
    entry.given(named)
}

/// Why this is neither a path nor a URL.
fn unfit(text: &[u8]) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(format!("the line has over {MAX_TEXT} bytes"));
    }
    text.iter().any(u8::is_ascii_control).then(|| "the line holds a control character".to_owned())
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

/// What is found while local lists and folders are opened.
#[derive(Default)]
struct Expansion {
    entries: Vec<PlaylistEntry>,
    /// The lists that are being opened, outermost first, to find one that names itself.
    within: Vec<PathBuf>,
    /// Lists opened so far, and their bytes.
    lists: usize,
    bytes: usize,
}

impl Expansion {
    /// Adds what `named` stands for.
    fn open(&mut self, named: &NamedSource) {
        if self.entries.len() >= MAX_ENTRIES {
            return;
        }
        let text = list::text(named.text.as_bytes());
        let unplayable = |detail: &str| bad(&text, ItemFailure::new(FailureReason::Unplayable, detail));
        let found = match local_path(named) {
            _ if unfit(named.text.as_bytes()).is_some() && named.origin.is_some() => {
                vec![unplayable(&unfit(named.text.as_bytes()).unwrap_or_default())]
            }
            None => vec![at_url(&text)],
            Some(Err(error)) => {
                vec![bad(&text, ItemFailure::new(FailureReason::Missing, format!("it is no path: {error}")))]
            }
            Some(Ok(path)) if path.is_dir() => folder(&path),
            Some(Ok(path)) if is_list(&path) => match self.entries_of(&path) {
                Ok(None) => vec![at_path(path)],
                Ok(Some(within)) => {
                    self.within.push(same(&path));
                    for one in &within {
                        self.open(one);
                    }
                    self.within.pop();
                    return;
                }
                Err(None) => return,
                Err(Some(failure)) => vec![bad(&path.to_string_lossy(), failure)],
            },
            Some(Ok(path)) => vec![at_path(path)],
        };
        // The title of a folder is not that of all its files.
        let titled = NamedSource { title: named.title.clone().filter(|_| found.len() == 1), ..named.clone() };
        self.entries.extend(found.into_iter().map(|entry| entry.given(&titled)));
    }

    /// What the list at `path` names; `None` for an HLS playlist, which is an entry itself. An error without a failure is one
    /// that was told before.
    fn entries_of(&mut self, path: &Path) -> Result<Option<Vec<NamedSource>>, Option<ItemFailure>> {
        let refused = |detail: String| Err(Some(ItemFailure::new(FailureReason::Unplayable, detail)));
        if self.within.contains(&same(path)) {
            return refused("the list names itself".to_owned());
        }
        if self.within.len() >= MAX_DEPTH {
            return refused(format!("it is a list, {MAX_DEPTH} lists deep: name it itself"));
        }
        self.lists += 1;
        if self.lists > MAX_LISTS || self.bytes > MAX_LIST_BYTES {
            let first = self.lists <= MAX_LISTS + 1 && self.bytes <= MAX_LIST_BYTES * 2;
            self.bytes = usize::MAX;
            return if first {
                let limit = MAX_LIST_BYTES >> 20;
                refused(format!(
                    "the lists name over {MAX_LISTS} lists, or {limit} MiB: this one and the rest are left out"
                ))
            } else {
                Err(None)
            };
        }
        let bytes = read_list(path).map_err(|error| {
            Some(ItemFailure::new(of_io(&error), format!("the list cannot be read: {error}")))
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

impl PlaylistEntry {
    /// This, with what the list says of it.
    fn given(mut self, named: &NamedSource) -> Self {
        list::add_headers(&mut self.headers, named.headers.clone());
        Self { title: named.title.clone(), origin: named.origin.clone(), ..self }
    }
}

/// The path by which a file is known whatever leads to it.
fn same(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The absolute path that is named; `None` for a URL.
fn local_path(named: &NamedSource) -> Option<io::Result<PathBuf>> {
    let text = named.text.to_string_lossy();
    let path = match url::scheme(&text) {
        None => existing(named),
        Some(_) => PathBuf::from(OsString::from_vec(url::file_path(&text)?)),
    };
    Some(path::absolute(named.dir.join(path)))
}

/// The path that is named: as it is written; or, where there is no such file, as other players write it.
fn existing(named: &NamedSource) -> PathBuf {
    let raw = named.text.as_bytes();
    let is_there = |path: &[u8]| named.dir.join(OsString::from_vec(path.to_vec())).symlink_metadata().is_ok();
    let odd = raw.iter().any(|b| b"%\\".contains(b)) || raw.starts_with(b"file:") || !raw.is_ascii();
    if named.origin.is_none() || !odd || is_there(raw) {
        return named.text.clone().into();
    }
    let text = list::text(raw);
    let text = text.strip_prefix("file:").unwrap_or(&text);
    let decoded = url::percent_decode(text);
    let slashes = |path: &[u8]| path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect::<Vec<u8>>();
    let readings = [text.as_bytes().to_vec(), decoded.clone(), slashes(text.as_bytes()), slashes(&decoded)];
    let found = readings.into_iter().find(|path| is_there(path));
    found.map_or_else(|| named.text.clone().into(), |path| OsString::from_vec(path).into())
}

fn bad(item: &str, failure: ItemFailure) -> PlaylistEntry {
    let item: String = item.chars().take(200).collect();
    PlaylistEntry::new(one_line(&item), EntryKind::Bad(failure))
}

fn at_path(path: PathBuf) -> PlaylistEntry {
    PlaylistEntry::new(path.to_string_lossy().into_owned(), EntryKind::File(path))
}

/// The entry at a URL that is none of a local file.
fn at_url(address: &str) -> PlaylistEntry {
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
    list::add_headers(&mut entry.headers, headers);
    entry
}

pub(crate) fn is_list(path: &Path) -> bool {
    let known =
        |e: &std::ffi::OsStr| ["m3u", "m3u8", "pls", "xspf"].iter().any(|list| e.eq_ignore_ascii_case(list));
    path.extension().is_some_and(known)
}

/// The bytes of a list on this machine.
pub(crate) fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    files::read_regular(path, MAX_LIST)
}

/// The bytes of the playlist file. Unlike a list that another one names it may be a pipe (`--playlist <(find …)`).
pub(crate) fn read_playlist(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileTypeExt;
    if fs::metadata(path)?.file_type().is_fifo() {
        return files::read_pipe(path, MAX_LIST, PIPE_TIME_OUT);
    }
    read_list(path)
}

/// The class of a file system error.
pub(crate) fn of_io(error: &io::Error) -> FailureReason {
    match error.kind() {
        io::ErrorKind::NotFound => FailureReason::Missing,
        io::ErrorKind::PermissionDenied => FailureReason::Forbidden,
        _ => FailureReason::Unplayable,
    }
}

/// The files of a folder that may be media, in the order a person would number them ("2" before "10").
fn folder(dir: &Path) -> Vec<PlaylistEntry> {
    let failure = match media_files(dir) {
        Ok(files) if !files.is_empty() => return files.into_iter().map(at_path).collect(),
        Ok(_) => ItemFailure::new(FailureReason::Unplayable, "the folder holds no media"),
        Err(error) => ItemFailure::new(of_io(&error), format!("the folder cannot be read: {error}")),
    };
    vec![bad(&dir.to_string_lossy(), failure)]
}

fn media_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        // A directory mostly tells what its entries are; links must be followed.
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file()) || path.is_file();
        if may_be_media(&path) && is_file() {
            if files.len() >= MAX_ENTRIES {
                log::warn!("{} holds more than {MAX_ENTRIES} files: the rest is left out", dir.display());
                break;
            }
            files.push(path);
        }
    }
    files.sort_by_cached_key(|path| NaturalOrder(path.clone()));
    Ok(files)
}

fn may_be_media(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !name.starts_with(b".") && !NOT_MEDIA.iter().any(|known| extension == *known)
}

/// A path in natural order, letters compared without their case. Equal names keep one order.
#[derive(PartialEq, Eq)]
struct NaturalOrder(PathBuf);

impl Ord for NaturalOrder {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        natord::compare_ignore_case(&self.0.to_string_lossy(), &other.0.to_string_lossy())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for NaturalOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests;
