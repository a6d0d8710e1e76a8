//! What the operator names on the command line, in a playlist file or in a list, and the entries it stands for.
//!
//! Opens folders and local lists, which is quick; what has to be asked over the network stays one entry until its turn
//! comes ([`crate::resolver`]). Plays and probes nothing.

pub mod url;

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tgs_playout::item::{Failure, Reason, Trust};

use crate::m3u;

/// More entries than this are left out: a list that names folders that hold lists is somebody's mistake.
const MAX_ENTRIES: usize = 100_000;

/// The largest lists of stations have some ten thousand lines of 200 bytes.
pub(crate) const MAX_LIST: u64 = 16 << 20;

/// What is found beside media in a folder. Everything else is tried, since ffmpeg knows more names than any table.
const NOT_MEDIA: [&str; 58] = [
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
    "zip",
];

/// One argument or line that names something to play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// A path or a URL.
    pub text: OsString,
    /// What viewers are to see instead of the name.
    pub title: Option<String>,
    /// The directory that a relative path begins at; empty for the current one.
    pub dir: PathBuf,
    /// Where it is written; `None` for the command line.
    pub origin: Option<Origin>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, or the URL of the list.
    pub list: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, self.list.display())
    }
}

/// What tells an entry from every other one, also after a restart and an edit of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
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
pub struct Entry {
    /// Its identity.
    pub key: Key,
    /// A title given by a list.
    pub title: Option<String>,
    /// What it is.
    pub what: What,
    /// Where it is written.
    pub origin: Option<Origin>,
    /// Who named it: the operator, or a list or page from the network.
    pub trust: Trust,
}

/// What an entry is, as far as can be told without the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A file, by its absolute path; it need not be there.
    File(PathBuf),
    /// A URL that ffmpeg opens.
    Direct {
        /// The URL.
        url: String,
        /// Whether its protocol is one for live streams.
        live: bool,
    },
    /// The URL of an `.m3u` or `.m3u8` list, or of an HLS playlist.
    List(String),
    /// A page for yt-dlp.
    Page {
        /// The URL.
        url: String,
        /// One entry of the list that yt-dlp makes of the page, from 1, where it has no URL of its own.
        index: Option<u32>,
    },
    /// It cannot be played, and this is why.
    Bad(Failure),
}

impl Entry {
    /// An entry that is not in any page or remote list.
    #[must_use]
    pub fn new(item: String, what: What) -> Self {
        let key = Key { item, nth: 0, within: Vec::new() };
        Self { key, title: None, what, origin: None, trust: Trust::Operator }
    }

    /// What to call it in messages and for viewers: the given title, or else its name.
    #[must_use]
    pub fn title(&self) -> String {
        let title = self.title.clone().unwrap_or_else(|| match &self.what {
            What::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            What::Direct { url, .. } | What::List(url) => url::name(url),
            What::Page { .. } => {
                self.key.item.split_once("://").map_or(&*self.key.item, |(_, rest)| rest).to_owned()
            }
            What::Bad(_) => self.key.item.clone(),
        });
        one_line(&title)
    }

    /// A failure of this entry, with the line that names it.
    #[must_use]
    pub fn failure(&self, failure: Failure) -> Failure {
        match &self.origin {
            Some(origin) => Failure::new(failure.reason, format!("{} ({origin})", failure.detail)),
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
#[must_use]
pub fn named_in(list: &Path, bytes: &[u8]) -> Vec<Named> {
    let dir = list.parent().unwrap_or(Path::new("")).to_owned();
    let list: Arc<Path> = list.into();
    m3u::lines(bytes)
        .into_iter()
        .map(|line| Named {
            text: OsStr::from_bytes(line.text).to_owned(),
            title: line.title.map(|title| String::from_utf8_lossy(title).into_owned()),
            dir: dir.clone(),
            origin: Some(Origin { list: Arc::clone(&list), line: line.number }),
        })
        .collect()
}

/// The entries that `named` stands for, in order. Each yields one at least, if only to say that it can't be played.
#[must_use]
pub fn expand(named: &[Named]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for one in named {
        open(one, &mut Vec::new(), &mut entries);
    }
    if entries.len() >= MAX_ENTRIES {
        log::warn!("there are {MAX_ENTRIES} entries or more: the rest is left out");
        entries.truncate(MAX_ENTRIES);
    }
    number(&mut entries);
    entries
}

/// The entries of a list read from `list`, a URL. Nothing on this machine can be named there.
#[must_use]
pub fn expand_remote(list: &str, bytes: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = named_in(Path::new(list), bytes)
        .into_iter()
        .take(MAX_ENTRIES)
        .map(|named| {
            let target = named.text.to_string_lossy();
            let entry = at_url(&url::join(list, &target)).unwrap_or_else(|| {
                let failure =
                    Failure::new(Reason::Forbidden, "a list from the network may not name local files");
                Entry::new(target.clone().into_owned(), What::Bad(failure))
            });
            Entry { title: named.title, origin: named.origin, ..entry }
        })
        .collect();
    number(&mut entries);
    entries
}

/// Tells entries with the same name apart.
pub fn number(entries: &mut [Entry]) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for entry in entries {
        let count = seen.entry(entry.key.item.clone()).or_default();
        entry.key.nth = *count;
        *count += 1;
    }
}

/// Adds what `named` stands for. `lists` are the lists it is written in, to find one that names itself.
fn open(named: &Named, lists: &mut Vec<PathBuf>, entries: &mut Vec<Entry>) {
    if entries.len() >= MAX_ENTRIES {
        return;
    }
    let text = named.text.to_string_lossy();
    let found = match local_path(named) {
        None => vec![named.text.to_str().and_then(at_url).unwrap_or_else(|| {
            bad(&text, Failure::new(Reason::Unplayable, "it is a URL that is not valid UTF-8"))
        })],
        Some(Err(error)) => {
            vec![bad(&text, Failure::new(Reason::Missing, format!("it is no path: {error}")))]
        }
        Some(Ok(path)) if path.is_dir() => folder(&path),
        Some(Ok(path)) if is_list(&path) => match entries_of(&path, lists) {
            Ok(None) => vec![at_path(path)],
            Ok(Some(within)) => {
                lists.push(path);
                for one in &within {
                    open(one, lists, entries);
                }
                lists.pop();
                return;
            }
            Err(failure) => vec![bad(&path.to_string_lossy(), failure)],
        },
        Some(Ok(path)) => vec![at_path(path)],
    };
    // The title of a folder is not that of all its files.
    let title = named.title.as_ref().filter(|_| found.len() == 1);
    let given = |entry| Entry { title: title.cloned(), origin: named.origin.clone(), ..entry };
    entries.extend(found.into_iter().map(given));
}

/// The absolute path that is named; `None` for a URL.
fn local_path(named: &Named) -> Option<io::Result<PathBuf>> {
    let text = named.text.to_string_lossy();
    let path = match url::scheme(&text) {
        None => PathBuf::from(&named.text),
        Some(_) => PathBuf::from(OsString::from_vec(url::file_path(&text)?)),
    };
    Some(path::absolute(named.dir.join(path)))
}

/// What the list at `path` names; `None` for an HLS playlist, which is an entry itself.
fn entries_of(path: &Path, lists: &[PathBuf]) -> Result<Option<Vec<Named>>, Failure> {
    if lists.iter().any(|list| list == path) {
        return Err(Failure::new(Reason::Unplayable, "the list names itself"));
    }
    let bytes = read_list(path)
        .map_err(|error| Failure::new(of_io(&error), format!("the list cannot be read: {error}")))?;
    if m3u::is_hls(&bytes) {
        return Ok(None);
    }
    let within = named_in(path, &bytes);
    if within.is_empty() {
        return Err(Failure::new(Reason::Unplayable, "the list names nothing"));
    }
    Ok(Some(within))
}

fn bad(item: &str, failure: Failure) -> Entry {
    Entry::new(item.to_owned(), What::Bad(failure))
}

fn at_path(path: PathBuf) -> Entry {
    Entry::new(path.to_string_lossy().into_owned(), What::File(path))
}

/// The entry at a URL; `None` for one of a local file.
fn at_url(address: &str) -> Option<Entry> {
    let url = address.replace(' ', "%20");
    let scheme = url::scheme(&url)?;
    let extension = url::extension(&url);
    let what = match scheme.as_str() {
        "file" => return None,
        "http" | "https" => match extension.as_str() {
            "m3u" | "m3u8" => What::List(url.clone()),
            extension if url::is_media(extension) => What::Direct { url: url.clone(), live: false },
            _ => What::Page { url: url.clone(), index: None },
        },
        scheme if url::is_live(scheme) => What::Direct { url: url.clone(), live: true },
        "ftp" | "sftp" => What::Direct { url: url.clone(), live: false },
        other => {
            What::Bad(Failure::new(Reason::Unplayable, format!("nothing here can open a {other}:// address")))
        }
    };
    Some(Entry::new(url::without_login(&url), what))
}

pub(crate) fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("m3u") || e.eq_ignore_ascii_case("m3u8"))
}

/// The bytes of a list on this machine.
pub(crate) fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_LIST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LIST {
        return Err(io::Error::other(format!("it is over {} MiB, which no list is", MAX_LIST >> 20)));
    }
    // File names and URLs hold no zero bytes; media files hold them from the beginning on.
    if bytes.contains(&0) {
        return Err(io::Error::other(
            "it is no list but a media file, it seems: put its name into a list, or give it on the command line",
        ));
    }
    Ok(bytes)
}

/// The class of a file system error.
pub(crate) fn of_io(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::NotFound => Reason::Missing,
        io::ErrorKind::PermissionDenied => Reason::Forbidden,
        _ => Reason::Unplayable,
    }
}

/// The files of a folder that may be media, in the order a person would number them ("2" before "10").
fn folder(dir: &Path) -> Vec<Entry> {
    let failure = match media_files(dir) {
        Ok(files) if !files.is_empty() => return files.into_iter().map(at_path).collect(),
        Ok(_) => Failure::new(Reason::Unplayable, "the folder holds no media"),
        Err(error) => Failure::new(of_io(&error), format!("the folder cannot be read: {error}")),
    };
    vec![bad(&dir.to_string_lossy(), failure)]
}

fn media_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if may_be_media(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort_by_cached_key(|path| Natural(path.clone()));
    Ok(files)
}

fn may_be_media(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    !name.starts_with(b".") && !NOT_MEDIA.iter().any(|known| extension == *known)
}

/// A path in natural order, letters compared without their case. Equal names keep one order.
#[derive(PartialEq, Eq)]
struct Natural(PathBuf);

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        natord::compare_ignore_case(&self.0.to_string_lossy(), &other.0.to_string_lossy())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests;
