//! What the readers of all list formats return.

use std::borrow::Cow;

use super::options::{EntryOptions, ListFault};

/// One entry as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListLine {
    /// The line number, from 1.
    pub number: usize,
    /// The title, if the list has one; not empty.
    pub title: Option<String>,
    /// A path or a URL: the file's bytes, but converted from UTF-16; not empty.
    pub text: Vec<u8>,
    /// HTTP headers for its server.
    pub headers: Vec<(String, String)>,
    /// What else the list says about it.
    pub options: EntryOptions,
}

/// The entries of a list, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListLines {
    /// The first entries, up to the requested maximum.
    pub written: Vec<ListLine>,
    /// Whether the list has more.
    pub more: bool,
    /// Values that were ignored; the first 20.
    pub faults: Vec<ListFault>,
}

/// Why bytes are not a list of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAList {
    /// An HLS playlist, which is one entry as a whole.
    Hls,
    /// Something else; the text follows "it is".
    Other(Cow<'static, str>),
}
