//! `record`: lists the recordings, and cuts a part of them into a file.
//!
//! The broadcast reads its files and sends the cut; ffmpeg, confined, puts it into the file without
//! encoding. So the file belongs to the operator, who needs no access to the recordings.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, IsTerminal, Read, Write, stderr},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use signal_hook::consts::{SIGINT, SIGTERM};
use tempfile::NamedTempFile;
use tgs_control::{ControlClient, RecordCut, RecordListing, RecorderState, RecorderStatus};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    process::{
        self,
        confine::{self, Confinement},
    },
    settings::Settings,
    signals,
    time::clock,
};

use crate::text::{plain, table};

/// The longest time without a byte from the broadcast.
const SILENCE: Duration = Duration::from_mins(1);

/// Time limit of a cut: the largest, onto a slow disk.
const LIMIT: Duration = Duration::from_hours(6);

/// Time between two states of the progress.
const PROGRESS: Duration = Duration::from_millis(500);

/// What ffmpeg may print.
const MAX_PRINTED: usize = 64 << 10;

pub(crate) const RECORD: &str = "\
Examples:
  tgs-ctl record list
  tgs-ctl record cut --from 14:00 --to 14:30 show.mkv
  tgs-ctl record cut --from 10m --to now last-minutes.mp4";

const CUT: &str = "\
Examples:
  tgs-ctl record cut --from 14:00 --to 14:30 show.mkv
  tgs-ctl record cut --from '2026-03-29 14:00' --to '2026-03-29 15:30' show.mp4
  tgs-ctl record cut --from 2026-03-29T14:00:00+02:00 --to 2026-03-29T15:30:00+02:00 show.mkv
  tgs-ctl record cut --from 10m --to now last-minutes.mp4

A time is local to the broadcast's machine, or RFC 3339; a time of day is the last one; a duration is before now.
Nothing is encoded: the cut begins with the keyframe before --from and ends with the one behind --to, at most some
seconds away, and prints what it contains. It has at most 24 hours. An existing file is not overwritten.";

/// The commands of `record`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum RecordCommand {
    /// List the recordings: file, length, size
    #[command(after_help = "Examples:\n  tgs-ctl record list\n  tgs-ctl record list --limit 1000 --json")]
    List {
        /// The number of recordings, the newest ones; at most 1000
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Print the result of the method record.list
        #[arg(long)]
        json: bool,
    },
    /// Cut what was aired between two times into a Matroska or MP4 file
    #[command(after_help = CUT)]
    Cut {
        /// Where the cut begins: 14:05, "2026-03-29 14:05", RFC 3339, or 10m for ten minutes ago
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Where it ends; also now
        #[arg(long, value_name = "TIME")]
        to: String,
        /// The new file; its ending .mkv or .mp4 names the format
        file: PathBuf,
    },
}

/// The recording in one line, for `status`.
pub(crate) fn line(status: &RecorderStatus) -> String {
    let dir = plain(&status.dir);
    let mut text = match (&status.recorder, &status.file) {
        (RecorderState::Recording, Some(file)) => format!("{dir}/{}", plain(file)),
        (RecorderState::Recording | RecorderState::Waiting, _) => format!("nothing to record ({dir})"),
        (RecorderState::Failing { cause }, _) => format!("fails: {} ({dir})", plain(cause)),
    };
    if status.lost_seconds >= 1.0 {
        text = format!("{text}, {:.0} s lost so far", status.lost_seconds);
    }
    text
}

/// The lines of `record list`.
pub(crate) fn lines(listing: &RecordListing, columns: Option<usize>) -> Vec<String> {
    let dir = plain(&listing.dir);
    if listing.files.is_empty() {
        return vec![format!("{dir} contains no recordings yet.")];
    }
    let mut rows = vec![["FILE", "LENGTH", "SIZE", ""].map(str::to_owned)];
    rows.extend(listing.files.iter().map(|file| {
        let length = Duration::from_millis(file.to.millis_since(file.from));
        let state = if file.finished { "" } else { "not closed yet" };
        [plain(&file.name), clock(length), size(file.bytes), state.to_owned()]
    }));
    let mut lines = table(&rows, columns);
    lines.push(format!("{} recordings, {} in {dir}", listing.count, size(listing.bytes)));
    lines
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// What a cut contains.
pub(crate) fn summary(cut: &RecordCut, file: &Path) -> Vec<String> {
    let length = clock(Duration::from_secs_f64(cut.seconds.clamp(0.0, 1e6)));
    let (from, to) = (plain(&cut.from.local), plain(&cut.to.local));
    let mut lines = vec![format!("{}: {length}, from {from} to {to}", file.display())];
    lines.extend(cut.missing.iter().map(|gap| {
        let (from, to) = (plain(&gap.from.local), plain(&gap.to.local));
        format!("left out, because nothing was recorded: {from} to {to}")
    }));
    lines
}

/// A file that a cut may be written to.
#[derive(Debug)]
pub(crate) struct CutTarget {
    path: PathBuf,
    /// ffmpeg's name of the format.
    format: &'static str,
}

/// Checks the name of the file before anything is read.
pub(crate) fn check_target(file: &Path) -> Result<CutTarget, CliError> {
    let ending = file.extension().map(OsStr::to_ascii_lowercase);
    let format = match ending.as_ref().and_then(|ending| ending.to_str()) {
        Some("mkv") => "matroska",
        Some("mp4") => "mp4",
        _ => {
            let why = anyhow!("write {}: a cut is a .mkv or .mp4 file; name one", file.display());
            return Err(CliError::new(Code::Usage, why));
        }
    };
    let path = std::path::absolute(file).with_context(|| format!("write {}", file.display()))?;
    if fs::symlink_metadata(&path).is_ok() {
        return Err(exists(&path));
    }
    Ok(CutTarget { path, format })
}

fn exists(path: &Path) -> CliError {
    CliError::failure(format!("write {}: it exists; remove it, or name another file", path.display()))
}

/// Receives the cut and writes it to the file, which appears when it is complete.
pub(crate) fn write(client: ControlClient, cut: &RecordCut, target: &CutTarget) -> Result<(), CliError> {
    let action = || format!("write {}", target.path.display());
    let dir = target.path.parent().unwrap_or(Path::new("/"));
    let name = target.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = tempfile::Builder::new().prefix(&format!(".{name}.")).tempfile_in(dir).with_context(action)?;
    let cancel = Cancel::new();
    // A signal must not leave the part behind.
    signals::watch(&[SIGINT, SIGTERM], cancel.clone(), || {}).context("listen for signals")?;

    let (reader, writer) = io::pipe().context("make a pipe for ffmpeg")?;
    let (first, stream) = client.into_stream();
    stream.set_read_timeout(Some(SILENCE)).context("read from the broadcast")?;
    let feeding = stream.try_clone().context("read from the broadcast")?;
    let all = cut.bytes;
    let feeder =
        thread::Builder::new().name("feed".into()).spawn(move || feed(&first, &feeding, writer, all));
    let feeder = feeder.context("start a thread")?;
    let done = run_ffmpeg(&part, target.format, reader, &cancel);
    // Wakes the feeder from its read.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let fed = feeder.join().map_err(|_| CliError::failure("feed ffmpeg: the thread panicked"))?;
    if cancel.is_cancelled() {
        return Err(CliError::failure(format!("{}: stopped by a signal", action())));
    }
    done?;
    if fed != all {
        return Err(CliError::failure(format!(
            "{}: the broadcast sent {fed} of {all} bytes; its log has the cause: tgs-ctl log",
            action()
        )));
    }
    part.as_file().set_permissions(fs::Permissions::from_mode(0o644)).with_context(action)?;
    part.as_file().sync_all().with_context(action)?;
    match part.persist_noclobber(&target.path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&target.path)),
        Err(error) => Err(anyhow!(error.error).context(action()).into()),
    }
}

/// Copies the cut into ffmpeg's pipe, and shows the progress. Returns the bytes received.
fn feed(first: &[u8], stream: &UnixStream, mut pipe: io::PipeWriter, all: u64) -> u64 {
    let mut media = first.chain(stream);
    let (mut buffer, mut received) = (vec![0; 256 << 10], 0);
    let mut progress = CutProgress { shown: None, all };
    loop {
        match media.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(read) => {
                // ffmpeg has failed, and says why.
                if pipe.write_all(&buffer[..read]).is_err() {
                    break;
                }
                received += read as u64;
                progress.show(received);
            }
        }
    }
    progress.end();
    received
}

/// A line on the terminal.
#[derive(Debug)]
struct CutProgress {
    shown: Option<Instant>,
    all: u64,
}

impl CutProgress {
    fn show(&mut self, received: u64) {
        if stderr().is_terminal() && self.shown.is_none_or(|at| at.elapsed() >= PROGRESS) {
            self.shown = Some(Instant::now());
            let percent = received * 100 / self.all.max(1);
            let _ = write!(stderr(), "\r{percent:3} % of {}   ", size(self.all));
        }
    }

    fn end(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn run_ffmpeg(
    part: &NamedTempFile,
    format: &str,
    pipe: io::PipeReader,
    cancel: &Cancel,
) -> Result<(), CliError> {
    let (settings, _) = Settings::examine(None, &|name| env::var_os(name), &[]);
    let ffmpeg = settings.map_or_else(|| "ffmpeg".into(), |settings| settings.ffmpeg_path);
    let scratch = tempfile::tempdir().context("make a directory for ffmpeg")?;
    confine::children(&Confinement {
        scratch: scratch.path().to_owned(),
        writable: vec![part.path().to_owned()],
        ..Confinement::default()
    });
    let mut command = process::command(&ffmpeg);
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "matroska", "-i", "pipe:0"]);
    command.args(["-map", "0", "-c", "copy"]);
    if format == "mp4" {
        command.args(["-movflags", "+faststart"]);
    }
    command.args(["-f", format]).arg(part.path());
    command.stdin(OwnedFd::from(pipe));
    let output = process::output(command, LIMIT, MAX_PRINTED, cancel).context("write the cut with ffmpeg")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or("it received no picture");
    let how = process::describe(output.status);
    Err(CliError::failure(format!("write the cut: ffmpeg {how}: {}", plain(said))))
}

#[cfg(test)]
mod tests {
    use tgs_control::{RecordGap, RecordMoment, RecordedFile, Timestamp};

    use super::*;

    #[test]
    fn recordings_are_listed_with_length_and_size() {
        let file = |hour: u64, finished| RecordedFile {
            name: format!("2026-03-29T{hour}-00-00+0200.mkv"),
            from: Timestamp(hour * 3_600_000),
            to: Timestamp((hour + 1) * 3_600_000),
            bytes: 905_400_000,
            finished,
        };
        let files = vec![file(14, true), file(15, false)];
        let listing = RecordListing { dir: "/srv/rec".into(), count: 30, bytes: 27_000_000_000, files };
        assert_eq!(
            lines(&listing, None),
            [
                "FILE                          LENGTH   SIZE",
                "2026-03-29T14-00-00+0200.mkv  1:00:00  905.4 MB",
                "2026-03-29T15-00-00+0200.mkv  1:00:00  905.4 MB  not closed yet",
                "30 recordings, 27.0 GB in /srv/rec",
            ]
        );
    }

    #[test]
    fn the_recording_is_a_line_of_the_status() {
        let status = |recorder, file: Option<&str>, lost_seconds| RecorderStatus {
            dir: "/r".into(),
            recorder,
            file: file.map(str::to_owned),
            written_bytes: 1,
            lost_seconds,
        };
        assert_eq!(line(&status(RecorderState::Recording, Some("a.mkv.part"), 0.0)), "/r/a.mkv.part");
        assert_eq!(line(&status(RecorderState::Waiting, None, 0.0)), "nothing to record (/r)");
        let full = RecorderState::Failing { cause: "no\nspace".into() };
        assert_eq!(line(&status(full, None, 12.4)), "fails: no\\nspace (/r), 12 s lost so far");
    }

    #[test]
    fn a_cut_says_what_it_contains() {
        let at = |local: &str| RecordMoment { utc: Timestamp(0), local: local.into() };
        let missing = vec![RecordGap { from: at("b"), to: at("c") }];
        let cut = RecordCut { from: at("a"), to: at("d"), seconds: 61.2, missing, ..RecordCut::default() };
        assert_eq!(
            summary(&cut, Path::new("x.mkv")),
            ["x.mkv: 0:01:01, from a to d", "left out, because nothing was recorded: b to c"]
        );
    }

    #[test]
    fn a_file_that_exists_or_has_another_ending_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("old.mkv"), "x").unwrap();
        std::os::unix::fs::symlink("nowhere", at("link.mp4")).unwrap();
        for (name, words) in [
            ("old.mkv", "it exists"),
            ("link.mp4", "it exists"),
            ("film.avi", ".mkv or .mp4"),
            ("film", ".mkv or .mp4"),
        ] {
            let error = check_target(&at(name)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(check_target(&at("new.MP4")).unwrap().format, "mp4");
    }
}
