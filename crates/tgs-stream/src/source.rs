//! The sources that command line, playlist file and lists name, and the entries they expand to.
//!
//! Expanding opens folders and local lists, which is quick. Remote lists and pages stay one entry
//! until [`crate::resolver`] opens them. Neither plays nor probes.

mod entry;
mod folder;
mod local;
mod places;
mod read;
mod remote;

pub use entry::{EntryKey, EntryKind, EntryOrigin, NamedSource, PlaylistEntry, number, one_line};
pub(crate) use local::{entry_of, named_by_line};
pub use local::{expand, expand_followed};
pub use places::Places;
pub use read::named_in;
pub(crate) use read::{MAX_LIST, io_reason, is_list, read_list, read_playlist};
pub(crate) use remote::MAX_REMOTE;
pub use remote::expand_remote;

#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod tests;
