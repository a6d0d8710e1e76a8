//! The playlist: `tgs-stream --check` is run, and its lines become findings. One program says what can be played.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use tgs_core::{
    files, process,
    settings::{Quality, Settings},
};

use crate::{finding::Finding, runner::Out, view::View};

const CHECK: &str = "playlist";

/// No more entries are looked at.
const MOST: usize = 200;
/// No more failures are told one by one.
const TOLD: usize = 10;
/// How long it may take; what has been looked at by then is told.
const LIMIT: Duration = Duration::from_secs(25);

/// More of a list is not read, in bytes; neither does `tgs-stream`.
const MAX_LIST: u64 = 16 << 20;

const REMEDY: &str = "mend or remove the entry; tgs-stream --check looks at the whole list";

/// Whether the list names URLs: yt-dlp and the network are needed then.
pub(crate) fn names_pages(list: &Path) -> bool {
    let text = files::read_regular(list, MAX_LIST)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("://"))
}

/// Looks whether its entries can be played.
pub(crate) fn look(view: &View, out: &Out) {
    let Some(settings) = &view.settings else {
        return out.say(Finding::unseen(CHECK, "the settings cannot be read"));
    };
    let list = settings.playlist.display();
    if let Err(error) = files::open_regular(&settings.playlist) {
        let remedy = "write the list, one file, folder or URL a line, or set PLAYLIST to the one there is";
        return out.say(Finding::fail(CHECK, format!("{list} cannot be read: {error}"), remedy));
    }
    if view.offline && names_pages(&settings.playlist) {
        return out.say(Finding::unseen(CHECK, format_args!("{list} names URLs, and this is --offline")));
    }
    match run(view, settings, out) {
        Ok(seen) => out.say_all(seen.findings(&list.to_string())),
        Err(why) => out.say(Finding::unseen(CHECK, why)),
    }
}

/// The tgs-stream beside this program, else the one in the search path.
fn sibling(view: &View) -> Result<PathBuf, String> {
    let beside = env::current_exe().ok().map(|own| own.with_file_name("tgs-stream"));
    match beside.filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => view.find("tgs-stream".as_ref()),
    }
}

/// What tgs-stream has said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    good: usize,
    bad: Vec<String>,
    /// Whether it came to the list's end.
    whole: bool,
    /// What it said on stderr, where it said nothing else.
    complaint: String,
}

fn run(view: &View, settings: &Settings, out: &Out) -> Result<Seen, String> {
    // It confines its own children.
    let mut command = process::trusted(sibling(view)?);
    let quality = match settings.quality {
        Quality::P480 => "480p",
        Quality::P720 => "720p",
        Quality::P1080 => "1080p",
    };
    // It gets what it needs and no more: an empty file in place of .env, whatever is wrong in that, and no secret.
    command.args(["--check", "--env-file", "/dev/null", "--playlist"]).arg(&settings.playlist);
    command.env("PATH", &view.path).env("VIDEO_QUALITY", quality).env("RUST_LOG", "error");
    command.env("FFMPEG_PATH", &settings.ffmpeg_path).env("YTDLP_PATH", &settings.ytdlp_path);
    command.env("YTDLP_ARGS", &settings.ytdlp_args);
    command.env("STATE_DIR", &settings.state_dir).env("CACHE_DIR", &settings.cache_dir);
    if let Some(dir) = &view.directory {
        command.current_dir(dir);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let until = Instant::now() + LIMIT.min(out.left());
    let child = process::spawn(command).map_err(|e| format!("tgs-stream does not start: {e}"))?;
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
    let mut seen = Seen::default();
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
    // Ends both threads.
    drop(heard);
    drop(child);
    let _ = reading.join();
    seen.complaint = complaining.join().unwrap_or_default();
    Ok(seen)
}

impl Seen {
    /// `    3     CANNOT  title  <item>: why` or `    3    0:04:10  title  <item>`; the sum at the end is no entry.
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

    fn findings(&self, list: &str) -> Vec<Finding> {
        let count = self.good + self.bad.len();
        let first = self.bad.iter().take(TOLD);
        let mut findings: Vec<_> = first.map(|text| Finding::fail(CHECK, text, REMEDY)).collect();
        if self.bad.len() > TOLD {
            let text = format!("{} more entries cannot be played", self.bad.len() - TOLD);
            findings.push(Finding::fail(CHECK, text, REMEDY));
        }
        if count == 0 {
            let reason = self.complaint.lines().rev().find(|line| !line.trim().is_empty());
            let why = reason.map_or_else(
                || format!("no entry was looked at within {} s", LIMIT.as_secs()),
                // Behind its time and level.
                |line| line.split_once("ERROR ").map_or(line, |(_, words)| words).trim().to_owned(),
            );
            findings.push(match reason {
                Some(_) => Finding::fail(CHECK, why, "tgs-stream --check says more"),
                None => Finding::unseen(CHECK, why),
            });
        } else {
            let looked = if self.whole {
                format!("all {count} entries of {list} were looked at")
            } else {
                format!(
                    "the first {count} entries of {list} were looked at (for {} s, {MOST} entries at most)",
                    LIMIT.as_secs()
                )
            };
            let text = format!("{looked}; {} can be played", self.good);
            findings.push(if self.good == 0 {
                Finding::warn(CHECK, text)
            } else {
                Finding::pass(CHECK, text)
            });
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::finding::lines;

    fn seen(text: &str, whole: bool) -> Seen {
        let mut seen = Seen { whole, ..Seen::default() };
        text.lines().for_each(|line| seen.add(line));
        seen
    }

    #[test]
    fn its_lines_become_findings() {
        let text = "    1    0:00:10  a  </x/a.mp4>\n    2     CANNOT  b  <b.mp4>: it is not there (list.txt line 2)\n\
                    1 of 2 can be played, 0:00:10\n";
        insta::assert_snapshot!(lines(&seen(text, true).findings("list.txt"), false));
        let many: Vec<_> = (1..=30).map(|n| format!("{n:>5}     CANNOT  b  <b>: gone\n")).collect();
        let findings = seen(&many.concat(), false).findings("list.txt");
        assert_eq!(findings.len(), TOLD + 2);
        assert_eq!(findings[TOLD].text, "20 more entries cannot be played");
    }

    #[test]
    fn a_complaint_is_told() {
        let seen = Seen { complaint: "2026-01-01T00:00:00Z ERROR failed to x\n".into(), ..Seen::default() };
        assert_eq!(seen.findings("l")[0].text, "failed to x");
        assert_eq!(
            Seen::default().findings("l")[0].text,
            "not looked at: no entry was looked at within 25 s"
        );
    }

    #[test]
    fn pages_in_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        assert!(!names_pages(&list));
        fs::write(&list, "a.mp4\n# https://x\n").unwrap();
        assert!(!names_pages(&list));
        fs::write(&list, "a.mp4\nhttps://x\n").unwrap();
        assert!(names_pages(&list));
    }
}
