//! Checks the playlist: runs `tgs-stream --check` and converts its output. Opens no media itself.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tgs_core::{files, process, remedy, settings::Settings};

use crate::{
    context::{DiagContext, ProgramNotFound},
    finding::Finding,
    runner::CheckSink,
};

const CHECK: &str = "playlist";

/// Maximum number of entries checked.
const MOST: usize = 200;
/// Maximum number of failures listed individually.
const MOST_LISTED: usize = 10;
/// Time limit; entries checked by then are reported.
const LIMIT: Duration = Duration::from_secs(25);

/// Maximum size of a playlist in bytes, as in `tgs-stream`.
const MAX_LIST: u64 = 16 << 20;

/// Common extensions of URLs that ffmpeg opens without yt-dlp; tgs-stream knows more.
const MEDIA: [&str; 14] =
    ["aac", "avi", "flac", "flv", "m3u", "m3u8", "m4a", "mkv", "mov", "mp3", "mp4", "mpd", "ts", "webm"];

/// The command that checks the whole list as the unit does, from any directory.
fn whole_list(list: &Path) -> String {
    let list = list.to_string_lossy();
    remedy::command(&format!("tgs-stream --check --playlist {}", shell_words::quote(&list)))
}

/// Whether the list contains URLs, which require the network.
fn names_urls(list: &Path) -> bool {
    names(list, |url| url.contains("://"))
}

/// Whether the list contains web pages, which require yt-dlp.
pub(crate) fn names_pages(list: &Path) -> bool {
    names(list, |url| {
        let url = url.to_ascii_lowercase();
        let Some(rest) = url.strip_prefix("http://").or(url.strip_prefix("https://")) else { return false };
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let file = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
        !file.rsplit_once('.').is_some_and(|(_, extension)| MEDIA.contains(&extension))
    })
}

/// Whether an entry matches `wanted`.
fn names(list: &Path, wanted: impl Fn(&str) -> bool) -> bool {
    let text = files::read_regular(list, MAX_LIST)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}');
    text.lines().map(str::trim).any(|line| !line.starts_with('#') && wanted(line))
}

/// Checks whether the entries are playable.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else {
        return out.say(Finding::unseen(CHECK, "the settings cannot be read"));
    };
    let list = settings.playlist.display();
    if let Err(error) = files::open_regular(&settings.playlist) {
        let remedy = "write the list, one file, folder or URL a line, or set PLAYLIST to the one there is";
        return out.say(Finding::fail(CHECK, format!("{list} cannot be read: {error}"), remedy));
    }
    if context.offline && names_urls(&settings.playlist) {
        return out.say(Finding::unseen(CHECK, format_args!("{list} names URLs, and this is --offline")));
    }
    match run(context, settings, out) {
        Ok(seen) => out.say(seen.finding(&settings.playlist)),
        Err(why) => out.say(Finding::unseen(CHECK, format_args!("{why:#}"))),
    }
}

/// The `tgs-stream` beside this program, else the one in PATH.
fn sibling(context: &DiagContext) -> Result<PathBuf, ProgramNotFound> {
    let beside = env::current_exe().ok().map(|own| own.with_file_name("tgs-stream"));
    match beside.filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => context.find("tgs-stream".as_ref()),
    }
}

/// The parsed output of `tgs-stream --check`.
#[derive(Debug, Default, PartialEq, Eq)]
struct CheckOutput {
    good: usize,
    bad: Vec<String>,
    /// Whether the check reached the end of the list.
    whole: bool,
    /// The stderr of tgs-stream, used if it lists no entry.
    complaint: String,
}

fn run(context: &DiagContext, settings: &Settings, out: &CheckSink) -> anyhow::Result<CheckOutput> {
    // Trusted: tgs-stream confines its own children.
    let mut command = process::trusted(sibling(context)?);
    let quality = settings.picture.quality.to_string();
    // An empty settings file: faults of `.env` are reported elsewhere, and no secret is passed on.
    command.args(["--check", "--env-file", "/dev/null", "--playlist"]).arg(&settings.playlist);
    command.env("PATH", &context.path).env("VIDEO_QUALITY", quality).env("RUST_LOG", "error");
    command.env("FFMPEG_PATH", &settings.ffmpeg_path).env("YTDLP_PATH", &settings.ytdlp_path);
    // What an item is levelled by is no fault, and takes long.
    command.env("YTDLP_ARGS", &settings.ytdlp_args).env("LOUDNESS", "off");
    command.env("STATE_DIR", &settings.state_dir).env("CACHE_DIR", &settings.cache_dir);
    if let Some(dir) = &context.directory {
        command.current_dir(dir);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let until = Instant::now() + LIMIT.min(out.left());
    let child = process::spawn(command).context("tgs-stream does not start")?;
    let (lines, heard) = mpsc::sync_channel(1);
    let (listing, complaints) = (child.take_stdout(), child.take_stderr());
    let reading = thread::spawn(move || {
        for line in listing.into_iter().flat_map(|out| BufReader::new(out).lines().map_while(Result::ok)) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let complaining = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = complaints.map(|err| err.take(1 << 20).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut seen = CheckOutput::default();
    while seen.good + seen.bad.len() < MOST && !out.cancel.is_cancelled() {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => seen.add(&line),
            Err(RecvTimeoutError::Disconnected) => {
                seen.whole = seen.good + seen.bad.len() > 0;
                break;
            }
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    // Ends both reader threads.
    drop(heard);
    drop(child);
    let _ = reading.join();
    seen.complaint = complaining.join().unwrap_or_default();
    Ok(seen)
}

impl CheckOutput {
    /// An entry: `    3     CANNOT  title  <item>: why` or `    3    0:04:10  title  <item>`.
    fn add(&mut self, line: &str) {
        let Some((number, rest)) = line.trim_start().split_once("  ") else { return };
        if number.parse::<usize>().is_err() {
            return;
        }
        match rest.trim_start().strip_prefix("CANNOT") {
            Some(what) => self.bad.push(format!("entry {number} cannot be played: {}", what.trim())),
            None => self.good += 1,
        }
    }

    /// The verdict on the list: the unplayable entries, or that all are playable.
    fn finding(&self, list: &Path) -> Finding {
        let count = self.good + self.bad.len();
        let shown = list.display();
        if count == 0 {
            let Some(line) = self.complaint.lines().rev().find(|line| !line.trim().is_empty()) else {
                let why = format!("no entry was checked within {} s", LIMIT.as_secs());
                return Finding::unseen(CHECK, why);
            };
            // Strips timestamp and log level.
            let why = line.split_once("ERROR ").map_or(line, |(_, words)| words).trim();
            return Finding::fail(CHECK, why, format!("this says more: {}", whole_list(list)));
        }
        let looked = if self.whole {
            format!("all {count} entries of {shown} were checked")
        } else {
            let most = format!("for {} s, {MOST} entries at most", LIMIT.as_secs());
            format!("the first {count} entries of {shown} were checked ({most})")
        };
        let mut parts = vec![looked, format!("{} can be played", self.good)];
        if self.bad.is_empty() {
            return Finding::pass(CHECK, parts.join("; "));
        }
        parts.extend(self.bad.iter().take(MOST_LISTED).cloned());
        if self.bad.len() > MOST_LISTED {
            parts.push(format!("{} more cannot be played", self.bad.len() - MOST_LISTED));
        }
        let remedy = format!("fix or remove these entries; this checks the whole list: {}", whole_list(list));
        Finding::fail(CHECK, parts.join("; "), remedy)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::finding::{Level, lines};

    fn seen(text: &str, whole: bool) -> CheckOutput {
        let mut seen = CheckOutput { whole, ..CheckOutput::default() };
        text.lines().for_each(|line| seen.add(line));
        seen
    }

    #[test]
    fn its_lines_become_findings() {
        let text = "    1    0:00:10  a  </x/a.mp4>\n    2     CANNOT  b  <b.mp4>: it is not there (list.txt line 2)\n\
                    1 of 2 can be played, 0:00:10\n";
        insta::assert_snapshot!(lines(&[seen(text, true).finding(Path::new("list.txt"))], false));
        let many: Vec<_> = (1..=30).map(|n| format!("{n:>5}     CANNOT  b  <b>: gone\n")).collect();
        let found = seen(&many.concat(), false).finding(Path::new("list.txt"));
        assert!(
            found.text.ends_with("entry 10 cannot be played: b  <b>: gone; 20 more cannot be played"),
            "{found:?}"
        );
        let good = seen("    1    0:00:10  a  </x/a.mp4>\n", true).finding(Path::new("list.txt"));
        assert_eq!((good.level, good.remedy), (Level::Pass, None));
    }

    #[test]
    fn a_complaint_is_reported() {
        let seen = CheckOutput {
            complaint: "2026-01-01T00:00:00Z ERROR failed to x\n".into(),
            ..CheckOutput::default()
        };
        assert_eq!(seen.finding(Path::new("l")).text, "failed to x");
        assert_eq!(
            CheckOutput::default().finding(Path::new("l")).text,
            "not checked: no entry was checked within 25 s"
        );
    }

    #[test]
    fn pages_in_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        assert!(!names_pages(&list));
        fs::write(&list, "a.mp4\n# https://x\n").unwrap();
        assert!(!names_pages(&list));
        let found = |text: &str| {
            fs::write(&list, text).unwrap();
            (names_urls(&list), names_pages(&list))
        };
        for page in ["https://x", " HTTPS://x/watch?v=1.mp4", "http://x.mp4", "\u{feff}https://x/a.html"] {
            assert_eq!(found(&format!("{page}\na.mp4\n")), (true, true), "{page}");
        }
        // URLs that ffmpeg opens itself.
        for media in ["rtmp://h/live/key", "srt://h:1", "https://x/live.m3u8?a=b", "http://x/a/B.MP4"] {
            assert_eq!(found(&format!("a.mp4\n{media}\n")), (true, false), "{media}");
        }
    }
}
