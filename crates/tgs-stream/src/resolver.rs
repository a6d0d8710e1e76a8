//! From an entry to what ffmpeg opens, or to the entries it turns out to stand for. Everything that has to be asked of
//! the network or the disk for one entry is asked here, when its turn comes; nothing is kept.

use std::{fs, path::PathBuf, time::Duration};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
    supervise::contain,
};
use tgs_playout::{
    encoder,
    item::{Failure, Media, Reason, Source, Trust},
    probe::{self, Probe},
    proxy::{self, Client, Network, Reads},
};

use crate::{
    m3u,
    source::{self, Entry, Key, MAX_LIST, What, one_line, url},
    ytdlp::{Listed, Page, YtDlp},
};

/// How long the server of a list may take.
const FETCH_TIME_OUT: Duration = Duration::from_secs(20);

/// Lists in lists in lists: deeper ones are a site's own navigation.
const MAX_DEPTH: usize = 4;

/// The programs that are asked.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The ffmpeg executable.
    pub ffmpeg: PathBuf,
    /// The ffprobe executable.
    pub ffprobe: PathBuf,
    /// yt-dlp, for pages.
    pub ytdlp: YtDlp,
    /// Ends what is asked for at the moment.
    pub cancel: Cancel,
}

/// What an entry turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Something to play.
    Media {
        /// What ffmpeg opens.
        media: Media,
        /// What it is called there.
        title: Option<String>,
    },
    /// Entries that take its place; not empty.
    Entries(Vec<Entry>),
}

impl Resolver {
    /// Finds out what `entry` is. May block for as long as yt-dlp may take. A panic over it is its failure.
    pub fn resolve(&self, entry: &Entry) -> Result<Resolved, Failure> {
        let found = contain(|| self.find_out(entry)).unwrap_or_else(|panic| Err(Failure::of_panic(&panic)));
        found.map_err(|failure| entry.failure(failure))
    }

    fn find_out(&self, entry: &Entry) -> Result<Resolved, Failure> {
        #[cfg(test)]
        assert!(!entry.key.item.ends_with("/panic.mp4"), "as asked");
        match &entry.what {
            What::Bad(failure) => Err(failure.clone()),
            What::File(path) => file(path),
            What::Direct { url, live } => media(url.clone(), *live, entry.trust),
            What::List(url) => self.list(entry, url),
            What::Page { url, index } => {
                let client = client(url, entry.trust);
                match self.ytdlp.ask_as(&client, url, *index, &self.cancel)? {
                    Page::Video { mut media, title } => {
                        found_in(&mut media, Trust::Found(client.network()))?;
                        Ok(Resolved::Media { media, title })
                    }
                    Page::List(listed) => {
                        let mut entries: Vec<Entry> = listed.into_iter().map(on_page).collect();
                        source::number(&mut entries);
                        inside(entry, entries, client.network())
                    }
                }
            }
        }
    }

    /// What is in `media`, by ffprobe.
    pub fn probe(&self, media: &Media) -> Result<Probe, Failure> {
        let found = contain(|| probe::probe(&self.ffprobe, media, self.ytdlp.height, &self.cancel));
        found.unwrap_or_else(|panic| Err(Failure::of_panic(&panic)))
    }

    fn list(&self, entry: &Entry, url: &str) -> Result<Resolved, Failure> {
        let client = client(url, entry.trust);
        let bytes = self.fetch(url, &client)?;
        if !m3u::is_hls(&bytes) {
            return inside(entry, source::expand_remote(url, &bytes), client.network());
        }
        let live = match m3u::first_variant(&bytes) {
            // Where the variant can't be had, ffmpeg will say why when it opens it.
            Some(variant) => {
                self.fetch(&url::join(url, &variant), &client).is_ok_and(|bytes| m3u::is_live_hls(&bytes))
            }
            None => m3u::is_live_hls(&bytes),
        };
        media(url.to_owned(), live, entry.trust)
    }

    /// The bytes at `url`. Fetched by ffmpeg: it goes the way to the server that it will go when it plays.
    fn fetch(&self, url: &str, client: &Client) -> Result<Vec<u8>, Failure> {
        let source = Source::at(url.to_owned());
        let mut command = process::command(&self.ffmpeg);
        command.args(["-nostdin", "-v", "error"]).args(encoder::source_options(&source));
        command.args(["-f", "data", "-i", url, "-map", "0", "-c", "copy", "-f", "data", "pipe:1"]);
        client.apply(&mut command);
        let output = process::output(command, FETCH_TIME_OUT, MAX_LIST as usize, &self.cancel).map_err(
            |e| match e {
                RunError::TimedOut { .. } => Failure::new(
                    Reason::Timeout,
                    format!("the list's server did not answer within {} s", FETCH_TIME_OUT.as_secs()),
                ),
                other => Failure::new(Reason::Tool, format!("the list cannot be fetched: {other}")),
            },
        )?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        Err(client.failure().unwrap_or_else(|| encoder::explain(&messages, &source)))
    }
}

/// `found` as what `parent` stands for, which lies in `network`.
fn inside(parent: &Entry, mut found: Vec<Entry>, network: Network) -> Result<Resolved, Failure> {
    let mut within = parent.key.within.clone();
    within.push(parent.key.item.clone());
    if within.len() > MAX_DEPTH {
        return Err(Failure::new(
            Reason::Unplayable,
            format!("it is a list, {MAX_DEPTH} lists deep: name it itself"),
        ));
    }
    found.retain(|entry| !within.contains(&entry.key.item));
    if found.is_empty() {
        return Err(Failure::new(Reason::Unplayable, "the list names nothing that can be played"));
    }
    for entry in &mut found {
        entry.key.within.clone_from(&within);
        entry.trust = Trust::Found(network);
    }
    Ok(Resolved::Entries(found))
}

fn on_page(listed: Listed) -> Entry {
    let shown = url::without_login(&listed.url);
    let item = listed.index.map_or(shown.clone(), |index| format!("{shown}#{index}"));
    let key = Key { item, nth: 0, within: Vec::new() };
    let what = What::Page { url: listed.url, index: listed.index };
    // Whose it is, is known with the page's network.
    Entry {
        key,
        title: listed.title.map(|title| one_line(&title)),
        what,
        origin: None,
        trust: Trust::default(),
    }
}

/// An account for a child that opens `url`.
fn client(url: &str, trust: Trust) -> Client {
    Client::new(&Source { trust, ..Source::at(url.to_owned()) }, Reads::Looks)
}

/// Notes who named `media`, and where it lies if it must be known before ffmpeg opens it.
fn found_in(media: &mut Media, trust: Trust) -> Result<(), Failure> {
    for source in &mut media.sources {
        source.trust = trust;
        source.address = proxy::checked_address(source)?;
    }
    Ok(())
}

fn media(url: String, live: bool, trust: Trust) -> Result<Resolved, Failure> {
    let mut media = Media::at(url, live);
    found_in(&mut media, trust)?;
    Ok(Resolved::Media { media, title: None })
}

fn file(path: &std::path::Path) -> Result<Resolved, Failure> {
    let refused = |reason, detail: &str| Err(Failure::new(reason, detail));
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return refused(source::of_io(&error), &words(&error)),
    };
    if !meta.is_file() {
        return refused(Reason::Unplayable, "it is neither a file nor a folder");
    }
    if meta.len() == 0 {
        return refused(Reason::Unplayable, "the file is empty");
    }
    if let Err(error) = fs::File::open(path) {
        return refused(source::of_io(&error), &words(&error));
    }
    let Some(name) = path.to_str() else {
        return refused(Reason::Unplayable, "the file's name is not valid UTF-8: rename it");
    };
    let live = source::is_list(path) && source::read_list(path).is_ok_and(|bytes| m3u::is_live_hls(&bytes));
    media(format!("file:{name}"), live, Trust::Operator)
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read the file".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::Path};

    use tempfile::TempDir;

    use super::*;

    fn resolver() -> Resolver {
        let ytdlp = YtDlp::new("/no/such/yt-dlp", "", 720).unwrap();
        Resolver { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into(), ytdlp, cancel: Cancel::new() }
    }

    fn at(path: &Path) -> Entry {
        Entry::new(path.to_string_lossy().into_owned(), What::File(path.to_owned()))
    }

    #[test]
    fn files_are_looked_at_before_ffmpeg_is() {
        let dir = TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let cases = [
            (dir.path().join("gone.mp4"), Reason::Missing, "there is no such file"),
            (
                write("a.mp4", "x").join("b.mp4"),
                Reason::Unplayable,
                "the file cannot be read: Not a directory (os error 20)",
            ),
            (write("empty.mp4", ""), Reason::Unplayable, "the file is empty"),
            ("/dev/zero".into(), Reason::Unplayable, "it is neither a file nor a folder"),
        ];
        for (path, reason, detail) in cases {
            assert_eq!(
                resolver().resolve(&at(&path)),
                Err(Failure::new(reason, detail)),
                "{}",
                path.display()
            );
        }
        let locked = write("locked.mp4", "x");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
        // Root may read everything.
        if fs::File::open(&locked).is_err() {
            assert_eq!(resolver().resolve(&at(&locked)).unwrap_err().reason, Reason::Forbidden);
        }
    }

    #[test]
    fn a_failure_names_the_line() {
        let named = source::named_in(Path::new("/lists/tv.txt"), b"# mine\nnothing.mp4\n");
        let entry = &source::expand(&named)[0];
        let failure = resolver().resolve(entry).unwrap_err();
        assert_eq!(failure.detail, "there is no such file (line 2 of /lists/tv.txt)");
    }

    #[test]
    fn a_local_hls_playlist_is_live_until_it_ends() {
        let dir = TempDir::new().unwrap();
        for (text, live) in [("#EXTM3U\n#EXT-X-VERSION:3\n", true), ("#EXTM3U\n#EXT-X-ENDLIST\n", false)] {
            let path = dir.path().join("a.m3u8");
            fs::write(&path, text).unwrap();
            let expected = media(format!("file:{}", path.display()), live, Trust::Operator);
            assert_eq!(resolver().resolve(&at(&path)), expected, "{text}");
        }
    }

    #[test]
    fn what_is_inside_knows_where_it_was_found() {
        let found = || {
            ["http://h/l", "http://h/a"].map(|url| Entry::new(url.into(), What::List(url.into()))).to_vec()
        };
        let mut parent = found()[0].clone();
        for depth in 1..=MAX_DEPTH {
            let Ok(Resolved::Entries(entries)) = inside(&parent, found(), Network::Public) else {
                panic!("depth {depth}")
            };
            // The list that names itself is left out.
            assert_eq!((entries.len(), entries[0].key.within.len()), (1, depth));
            parent =
                Entry { key: Key { item: format!("http://h/{depth}"), ..entries[0].key.clone() }, ..parent };
        }
        assert_eq!(
            inside(&parent, found(), Network::Public).unwrap_err().detail,
            "it is a list, 4 lists deep: name it itself"
        );
        assert_eq!(
            inside(&found()[0], found()[..1].to_vec(), Network::Public).unwrap_err().reason,
            Reason::Unplayable
        );
    }
}
