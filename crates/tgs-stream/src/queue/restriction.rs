//! Restricted entries: sources that somebody chose who may not name everything, such as a user of
//! the desk. What they lead to is judged each time they are opened, since a link or a name may lead
//! elsewhere by then; see [`PlaylistEntry::below`] and [`Trust::Found`].

use std::path::PathBuf;

use tgs_playout::{item::Trust, network::Network};

use crate::{
    source::{self, EntryKind, NamedSource, PlaylistEntry},
    url,
};

/// The most directories of one entry.
const MAX_DIRS: usize = 64;

/// Fails with words if the source, restricted to files below `below`, can never be opened. Touches
/// no disk.
pub(super) fn check(named: &NamedSource, below: &[PathBuf]) -> Result<(), String> {
    if below.len() > MAX_DIRS || below.iter().any(|dir| !dir.is_absolute()) {
        return Err(format!("`below` has at most {MAX_DIRS} directories, each an absolute path"));
    }
    let is_http = |url: &str| matches!(url::scheme(url).as_deref(), Some("http" | "https"));
    match source::entry_of(named).kind {
        EntryKind::File(path) if source::is_list(&path) => {
            Err("it is a list, which may name other files; queue what it names".to_owned())
        }
        EntryKind::File(_) if below.is_empty() => {
            Err("it is a path, and `below` names no directory".to_owned())
        }
        EntryKind::File(_) => Ok(()),
        EntryKind::Direct { url, .. } | EntryKind::List(url) | EntryKind::Page { url, .. }
            if is_http(&url) =>
        {
            Ok(())
        }
        _ => Err("its scheme is neither http nor https, as a restricted source must have".to_owned()),
    }
}

/// The one item that a restricted source names: a folder or a list is not opened.
pub(super) fn expand(named: &NamedSource, below: &[PathBuf]) -> Vec<PlaylistEntry> {
    let trust = Trust::Found(Network::Public);
    vec![PlaylistEntry { trust, below: Some(below.into()), ..source::entry_of(named) }]
}
