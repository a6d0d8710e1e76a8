//! Reads lists from this machine: their bytes, and the sources they name.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::Path,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use tgs_core::{digest, files, mask};
use tgs_playout::item::FailureReason;

use super::entry::{EntryOrigin, NamedSource};
use crate::list::{self, ListLines, NotAList};

/// More entries come from a list of folders with lists, which is a mistake.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// The largest station lists have some ten thousand lines of 200 bytes.
pub(crate) const MAX_LIST: u64 = 16 << 20;

/// How long the writer of a pipe may take.
const PIPE_TIME_OUT: Duration = Duration::from_secs(10);

/// The sources in the list `bytes` at `list`.
pub fn named_in(list: &Path, bytes: &[u8]) -> Result<Vec<NamedSource>, NotAList> {
    let (named, more) = named_up_to(MAX_ENTRIES, list, bytes)?;
    if more {
        log::warn!("{} names more than {MAX_ENTRIES} entries; ignoring the rest", list.display());
    }
    Ok(named)
}

/// The first `max` sources, and whether there are more.
pub(super) fn named_up_to(
    max: usize,
    list: &Path,
    bytes: &[u8],
) -> Result<(Vec<NamedSource>, bool), NotAList> {
    let found = list::read(bytes, max)?;
    report(list, &found);
    let dir: Arc<Path> = list.parent().unwrap_or(Path::new("")).into();
    let list: Arc<Path> = list.into();
    let named = |one: list::ListLine| NamedSource {
        text: OsString::from_vec(one.text),
        title: one.title,
        dir: Arc::clone(&dir),
        headers: one.headers,
        options: one.options.into(),
        origin: Some(EntryOrigin { list: Arc::clone(&list), line: one.number }),
    };
    Ok((found.written.into_iter().map(named).collect(), found.more))
}

/// Faults that are remembered as reported. Lists are read again and again.
const MAX_REPORTED: usize = 10_000;

/// Logs the values of a list that are ignored, each once.
fn report(list: &Path, found: &ListLines) {
    static SUBTITLES: Once = Once::new();
    for fault in &found.faults {
        report_fault(list, fault.line, &fault.what);
    }
    if found.written.iter().any(|line| !line.options.subtitle_languages.is_empty()) {
        let shown = list.to_string_lossy();
        SUBTITLES.call_once(|| {
            log::info!(
                "{} asks for subtitles (sub-language), which are drawn unless SUBTITLES is off",
                mask::urls(&shown)
            );
        });
    }
}

/// Logs once what is wrong with a line.
pub(super) fn report_fault(list: &Path, line: usize, what: &str) {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let shown = list.to_string_lossy();
    let fault = digest::key([&*shown, &*line.to_string(), what]);
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.len() < MAX_REPORTED && reported.insert(fault) {
        log::warn!("{}, line {line}: {what}", mask::urls(&shown));
    }
}

/// Whether the name is that of a list.
pub(crate) fn is_list(path: &Path) -> bool {
    let known = |e: &std::ffi::OsStr| {
        ["m3u", "m3u8", "pls", "xspf", "json"].iter().any(|list| e.eq_ignore_ascii_case(list))
    };
    path.extension().is_some_and(known)
}

/// Reads a list on this machine.
pub(crate) fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    files::read_regular(path, MAX_LIST)
}

/// Reads the playlist file. Unlike a nested list it may be a pipe (`--playlist <(find …)`).
pub(crate) fn read_playlist(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileTypeExt;
    if fs::metadata(path)?.file_type().is_fifo() {
        return files::read_pipe(path, MAX_LIST, PIPE_TIME_OUT);
    }
    read_list(path)
}

/// The failure class of a file system error.
pub(crate) fn io_reason(error: &io::Error) -> FailureReason {
    match error.kind() {
        io::ErrorKind::NotFound => FailureReason::Missing,
        io::ErrorKind::PermissionDenied => FailureReason::Forbidden,
        _ => FailureReason::Unplayable,
    }
}
