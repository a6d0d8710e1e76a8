//! No list panics its reader, and none leads to files of this machine, to too many entries, or to
//! an entry with a control character.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgs_stream::{
    list::{self, m3u},
    source::{EntryKind, expand, expand_remote, named_in},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = list::read(bytes, 50) {
        assert!(found.written.len() <= 50);
        assert!(found.faults.len() <= 20);
        assert!(found.written.iter().all(|one| !one.text.is_empty()));
        let ends_after = |one: &list::ListLine| one.options.out_point.is_none_or(|out| out > one.options.in_point);
        assert!(found.written.iter().all(ends_after));
    }
    let _ = (m3u::is_hls(bytes), m3u::is_live_hls(bytes), m3u::first_variant(bytes));
    let remote = expand_remote("http://h/d/list.m3u?x", bytes).ok().flatten().unwrap_or_default();
    assert!(remote.iter().all(|entry| !matches!(entry.kind, EntryKind::File(_))));
    assert!(remote.iter().all(|entry| !matches!(entry.sound.as_deref(), Some(EntryKind::File(_)))));
    let named = named_in(Path::new("/nowhere/list"), bytes).unwrap_or_default();
    // An entry exists nowhere, or is a path of this machine, whose folders are not walked.
    let relative = |text: &std::ffi::OsStr| !text.to_string_lossy().contains("..") && !text.to_string_lossy().contains('/');
    let local = if named.iter().all(|one| relative(&one.text)) { expand(&named) } else { Vec::new() };
    for entry in remote.iter().chain(&local) {
        assert!(!entry.key.item.contains(char::is_control) && !entry.title().contains(char::is_control));
    }
});
