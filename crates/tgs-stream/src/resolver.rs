//! Resolves an entry to the media that ffmpeg opens, or to the entries of a list or page. All
//! requests to network and disk for an entry are made here, when it is due. Caches nothing.

mod arriving;
mod streams;

use std::{
    collections::VecDeque,
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tgs_core::{cancel::Cancel, supervise::contain};
use tgs_playout::{
    ffmpeg::probe::{self, Probe, ProbeOptions},
    item::{FailureReason, ItemFailure, Media, MediaSource, Trust},
    proxy::{self, ProxyClient, ReadPurpose},
};

use crate::{
    fetch::{self, Fetched},
    list::{self, NotAList},
    source::{self, EntryKind, MAX_REMOTE, PlaylistEntry, one_line},
    url,
    ytdlp::{Listed, PageItem, YtDlp},
};

/// Nested lists opened at once, to find the first entry of another kind.
const MAX_LISTS: usize = 32;

/// The time limit for that.
const EXPANSION_TIME_OUT: Duration = Duration::from_mins(1);

/// Deeper nesting is a site's own navigation.
const MAX_DEPTH: usize = 4;

/// How long a list of nothing but useless lists is blocked.
const USELESS_FOR: Duration = Duration::from_mins(5);

/// The tools and settings of a resolution.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The ffmpeg executable.
    pub ffmpeg: PathBuf,
    /// The ffprobe executable.
    pub ffprobe: PathBuf,
    /// yt-dlp, for pages.
    pub ytdlp: YtDlp,
    /// The broadcast's options for probing.
    pub wanted: ProbeOptions,
    /// Cancels the current request.
    pub cancel: Cancel,
}

/// What an entry resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Media.
    Media {
        /// The sources that ffmpeg opens.
        media: Media,
        /// The title that yt-dlp reports.
        title: Option<String>,
    },
    /// Entries that replace it; not empty.
    Entries(Vec<PlaylistEntry>),
    /// A file that is still being copied.
    Arriving,
}

impl Resolver {
    /// Resolves `entry`. Blocks as long as yt-dlp does. A panic becomes the entry's failure.
    pub fn resolve(&self, entry: &PlaylistEntry) -> Result<Resolved, ItemFailure> {
        self.resolve_aged(entry).0
    }

    /// Resolves `entry`. Also returns how long the server of a list lets it be used.
    pub(crate) fn resolve_aged(
        &self,
        entry: &PlaylistEntry,
    ) -> (Result<Resolved, ItemFailure>, Option<Duration>) {
        let mut age = None;
        let mut resolve = || self.resolve_kind(entry, &mut age).and_then(|found| with_options(entry, found));
        let found = contain(&mut resolve).unwrap_or_else(|panic| Err(ItemFailure::of_panic(&panic)));
        (found.map_err(|failure| entry.failure(failure)), age)
    }

    fn resolve_kind(
        &self,
        entry: &PlaylistEntry,
        age: &mut Option<Duration>,
    ) -> Result<Resolved, ItemFailure> {
        #[cfg(test)]
        assert!(!entry.key.item.ends_with("/panic.mp4"), "as asked");
        match &entry.kind {
            EntryKind::Bad(failure) => Err(failure.clone()),
            EntryKind::File(path) => file(self, entry, path),
            EntryKind::Direct { url, live } => media(source_of(entry, url), *live),
            EntryKind::List(url) => self.list(entry, url, age),
            EntryKind::Page { url, index } => self.page(entry, url, *index),
        }
    }

    fn page(&self, entry: &PlaylistEntry, url: &str, index: Option<u32>) -> Result<Resolved, ItemFailure> {
        let client = client(url, entry.trust);
        match self.ytdlp.ask_as(&client, url, index, &entry.headers, &self.cancel)? {
            PageItem::M3u { mut media, title } => {
                if let Ok(found @ Resolved::Entries(_)) = self.list(entry, url, &mut None) {
                    return Ok(found);
                }
                set_trust(&mut media, client.trust_in_answer())?;
                Ok(Resolved::Media { media, title })
            }
            PageItem::Video { mut media, title } => {
                set_trust(&mut media, client.trust_in_answer())?;
                Ok(Resolved::Media { media, title })
            }
            PageItem::List(listed) => {
                let mut entries: Vec<PlaylistEntry> = listed.into_iter().map(page_entry).collect();
                source::number(&mut entries);
                entries_within(entry, entries, client.trust_in_answer())
            }
        }
    }

    /// Probes `media` with ffprobe.
    pub fn probe(&self, media: &Media) -> Result<Probe, ItemFailure> {
        let found = contain(|| probe::probe_briefly(&self.ffprobe, media, self.wanted, &self.cancel));
        found.unwrap_or_else(|panic| Err(ItemFailure::of_panic(&panic)))
    }

    /// Resolves the list at `url`. Leading nested lists are expanded, within limits, until another
    /// kind of entry comes first: a list of useless lists is one failure.
    fn list(
        &self,
        entry: &PlaylistEntry,
        url: &str,
        age: &mut Option<Duration>,
    ) -> Result<Resolved, ItemFailure> {
        if let Some(left) = fetch::blocked_for(url) {
            let detail = format!("it had no playable entry; the next attempt is in {} s", left.as_secs() + 1);
            return Err(ItemFailure::new(FailureReason::Unplayable, detail));
        }
        let begun = Instant::now();
        let mut found = match self.open_list(entry, url, age)? {
            Resolved::Entries(found) => VecDeque::from(found),
            other => return Ok(other),
        };
        let mut useless: Option<ItemFailure> = None;
        for opened in 0.. {
            let Some(EntryKind::List(inner)) = found.front().map(|first| first.kind.clone()) else { break };
            if opened >= MAX_LISTS || begun.elapsed() > EXPANSION_TIME_OUT || self.cancel.is_cancelled() {
                if useless.is_some() {
                    found.clear();
                }
                break;
            }
            match self.open_list(&found[0], &inner, &mut None) {
                Ok(Resolved::Entries(within)) => {
                    found.pop_front();
                    within.into_iter().rev().for_each(|one| found.push_front(one));
                    found.truncate(MAX_REMOTE);
                }
                Err(failure) if failure.reason == FailureReason::Unplayable => {
                    useless.get_or_insert(found[0].failure(failure));
                    found.pop_front();
                }
                // It is resolved when it is due.
                Ok(Resolved::Media { .. } | Resolved::Arriving) | Err(_) => break,
            }
        }
        match useless {
            Some(first) if found.is_empty() => {
                fetch::block(url, USELESS_FOR);
                let detail = format!("it holds only lists without a playable entry; the first: {first}");
                Err(ItemFailure::new(first.reason, detail))
            }
            Some(first) => {
                log::warn!("ignoring a list in {}: {first}", entry.title());
                Ok(Resolved::Entries(found.into()))
            }
            None => Ok(Resolved::Entries(found.into())),
        }
    }

    fn open_list(
        &self,
        entry: &PlaylistEntry,
        url: &str,
        age: &mut Option<Duration>,
    ) -> Result<Resolved, ItemFailure> {
        let client = client(url, entry.trust);
        let (place, bytes) = match fetch::get(url, &entry.headers, &client, &self.cancel)? {
            Fetched::Media => return media(source_of(entry, url), false),
            Fetched::List { bytes, .. } if list::is_media(&bytes) => {
                return media(source_of(entry, url), false);
            }
            Fetched::List { url, bytes, max_age } => {
                *age = max_age;
                (url, bytes)
            }
        };
        if let Some(found) = source::expand_remote(&place, &bytes)? {
            return entries_within(entry, found, client.trust_in_answer());
        }
        let source = MediaSource { hls: true, ..source_of(entry, url) };
        self.hls(&source, &place, &bytes, &entry.options.audio_languages)
    }
}

/// `found` with what the list of `entry` says about it.
fn with_options(entry: &PlaylistEntry, found: Resolved) -> Result<Resolved, ItemFailure> {
    match found {
        Resolved::Media { mut media, title } => {
            media.part = entry.part();
            media.part.no_logo |= is_without_logo(entry);
            if let Some(sound) = &entry.sound {
                // The first source is that of the picture.
                media.sources.truncate(1);
                media.sources.push(sound_source(entry, sound)?);
                media.identity = None;
            }
            Ok(Resolved::Media { media, title })
        }
        Resolved::Entries(mut entries) => {
            let outer = entry.options.of_content();
            for found in &mut entries {
                found.options = std::mem::take(&mut found.options).or(&outer);
                found.sound = found.sound.take().or_else(|| entry.sound.clone());
            }
            Ok(Resolved::Entries(entries))
        }
        Resolved::Arriving => Ok(Resolved::Arriving),
    }
}

/// The file that hides the logo from all items of its folder.
const NO_LOGO: &str = ".nologo";

/// Whether the folder of a file says that it plays without the logo.
fn is_without_logo(entry: &PlaylistEntry) -> bool {
    let EntryKind::File(path) = &entry.kind else { return false };
    path.parent().is_some_and(|dir| dir.join(NO_LOGO).exists())
}

/// The source of the sound that a list names for `entry`.
fn sound_source(entry: &PlaylistEntry, sound: &EntryKind) -> Result<MediaSource, ItemFailure> {
    match sound {
        EntryKind::File(path) => {
            let failed = |detail: &str| format!("its sound, {}: {detail}", path.display());
            match (fs::metadata(path), path.to_str()) {
                (Ok(meta), Some(name)) if meta.is_file() => Ok(MediaSource::at(format!("file:{name}"))),
                (Ok(_), _) => {
                    Err(ItemFailure::new(FailureReason::Unplayable, failed("it is no file of media")))
                }
                (Err(error), _) => {
                    Err(ItemFailure::new(source::io_reason(&error), failed(&io_detail(&error))))
                }
            }
        }
        EntryKind::Direct { url, .. } => {
            let mut source = source_of(entry, url);
            source.address = proxy::checked_address(&source)?;
            Ok(source)
        }
        EntryKind::Bad(failure) => Err(failure.clone()),
        EntryKind::List(_) | EntryKind::Page { .. } => {
            Err(ItemFailure::new(FailureReason::Unplayable, "its sound is no file of media"))
        }
    }
}

/// The sources that ffmpeg opens.
fn source_of(entry: &PlaylistEntry, url: &str) -> MediaSource {
    MediaSource { headers: entry.headers.clone(), trust: entry.trust, ..MediaSource::at(url.to_owned()) }
}

/// `found` as the content of `parent`, with the `trust` of its location.
fn entries_within(
    parent: &PlaylistEntry,
    mut found: Vec<PlaylistEntry>,
    trust: Trust,
) -> Result<Resolved, ItemFailure> {
    let mut within = parent.key.within.clone();
    within.push(parent.key.item.clone());
    if within.len() > MAX_DEPTH {
        return Err(ItemFailure::new(
            FailureReason::Unplayable,
            format!("it is a list, {MAX_DEPTH} lists deep: name it directly"),
        ));
    }
    found.retain(|entry| !within.contains(&entry.key.item));
    if found.is_empty() {
        return Err(ItemFailure::new(FailureReason::Unplayable, "the list names nothing that can be played"));
    }
    for entry in &mut found {
        entry.key.within.clone_from(&within);
        entry.trust = trust;
        entry.below.clone_from(&parent.below);
    }
    Ok(Resolved::Entries(found))
}

fn page_entry(listed: Listed) -> PlaylistEntry {
    let shown = url::without_login(&listed.url);
    let item = listed.index.map_or(shown.clone(), |index| format!("{shown}#{index}"));
    let kind = EntryKind::Page { url: listed.url, index: listed.index };
    PlaylistEntry { title: listed.title.map(|title| one_line(&title)), ..PlaylistEntry::new(item, kind) }
}

/// The proxy client of a child that opens `url`.
fn client(url: &str, trust: Trust) -> ProxyClient {
    ProxyClient::new(&MediaSource { trust, ..MediaSource::at(url.to_owned()) }, ReadPurpose::Probe)
}

/// Sets the trust of `media`, and resolves addresses that must be known before ffmpeg opens it.
fn set_trust(media: &mut Media, trust: Trust) -> Result<(), ItemFailure> {
    for source in &mut media.sources {
        source.trust = trust;
        source.address = proxy::checked_address(source)?;
    }
    Ok(())
}

fn media(source: MediaSource, live: bool) -> Result<Resolved, ItemFailure> {
    let trust = source.trust;
    let mut media = Media { sources: vec![source], ..Media::at(String::new(), live) };
    set_trust(&mut media, trust)?;
    Ok(Resolved::Media { media, title: None })
}

/// Resolves the file at `path`. One that starts as a list is expanded, whatever its name.
fn file(resolver: &Resolver, entry: &PlaylistEntry, path: &Path) -> Result<Resolved, ItemFailure> {
    let refused = |reason, detail: &str| Err(ItemFailure::new(reason, detail));
    let permitted = entry.below.as_ref().map(|below| permitted(path, below)).transpose()?;
    let path = permitted.as_deref().unwrap_or(path);
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return refused(source::io_reason(&error), &io_detail(&error)),
    };
    if !meta.is_file() {
        return refused(FailureReason::Unplayable, "it is neither a file nor a directory");
    }
    if arriving::is_arriving(path, entry.in_folder, &resolver.cancel) {
        return Ok(Resolved::Arriving);
    }
    if meta.len() == 0 {
        return refused(FailureReason::Unplayable, "the file is empty");
    }
    let mut start = Vec::new();
    if let Err(error) = fs::File::open(path).and_then(|file| file.take(list::START).read_to_end(&mut start)) {
        return refused(source::io_reason(&error), &io_detail(&error));
    }
    let Some(name) = path.to_str() else {
        return refused(FailureReason::Unplayable, "the file's name is not valid UTF-8: rename it");
    };
    let source = MediaSource::at(format!("file:{name}"));
    if !source::is_list(path) && !list::begins_as_list(&start) {
        return media(source, false);
    }
    if permitted.is_some() {
        return refused(FailureReason::Forbidden, "it is a list, which may name other files");
    }
    let bytes = source::read_list(path).map_err(|error| {
        ItemFailure::new(source::io_reason(&error), format!("the list cannot be read: {error}"))
    })?;
    match source::named_in(path, &bytes) {
        Ok(named) if !named.is_empty() => entries_within(entry, source::expand(&named), Trust::Operator),
        Ok(_) => refused(FailureReason::Unplayable, "the list names nothing"),
        Err(NotAList::Hls) => {
            let place = source.url.clone();
            let source = MediaSource { hls: true, ..source };
            resolver.hls(&source, &place, &bytes, &entry.options.audio_languages)
        }
        // The name of the file does not say that it is a list.
        Err(NotAList::Other(_)) if !source::is_list(path) => media(source, false),
        Err(NotAList::Other(what)) => {
            refused(FailureReason::Unplayable, &format!("the list cannot be read: it is {what}"))
        }
    }
}

/// The file that `path` leads to, if it lies below one of these directories. Links are resolved
/// here: ffmpeg must open the path that was judged.
fn permitted(path: &Path, below: &[PathBuf]) -> Result<PathBuf, ItemFailure> {
    let file = fs::canonicalize(path)
        .map_err(|error| ItemFailure::new(source::io_reason(&error), io_detail(&error)))?;
    let mut dirs = below.iter().filter_map(|dir| fs::canonicalize(dir).ok());
    if dirs.any(|dir| file.starts_with(dir)) {
        return Ok(file);
    }
    let why = "it leads out of the directories to which the entry of the queue is restricted";
    Err(ItemFailure::new(FailureReason::Forbidden, why))
}

fn io_detail(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read the file".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests;
