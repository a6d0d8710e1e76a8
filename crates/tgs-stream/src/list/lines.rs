//! What the readers of all list formats return.

/// One entry as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListLine {
    /// The line number, from 1.
    pub number: usize,
    /// The title, if the list has one; not empty.
    pub title: Option<String>,
    /// A path or a URL: the file's bytes, but converted from UTF-16; not empty.
    pub text: Vec<u8>,
    /// HTTP headers for its server.
    pub headers: Vec<(String, String)>,
}

/// The entries of a list, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListLines {
    /// The first entries, up to the requested maximum.
    pub written: Vec<ListLine>,
    /// Whether the list has more.
    pub more: bool,
}

/// Why bytes are not a list of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAList {
    /// An HLS playlist, which is one entry as a whole.
    Hls,
    /// Something else; the text follows "it is".
    Other(&'static str),
}
