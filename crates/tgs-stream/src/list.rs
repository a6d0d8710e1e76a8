//! Reads the lists of media players: M3U, PLS and XSPF, in UTF-8, UTF-16 or Windows-1252.
//!
//! Accepts any bytes; the output is bounded. Does not interpret entries; see [`crate::source`].

mod encoding;
pub(crate) mod headers;
mod lines;
pub mod m3u;
mod pls;
mod xspf;

use std::borrow::Cow;

use encoding::decoded;
pub use encoding::text;
pub use lines::{ListLine, ListLines, NotAList};

/// Reads up to `max` entries.
pub fn read(bytes: &[u8], max: usize) -> Result<ListLines, NotAList> {
    if is_media(bytes) {
        return Err(NotAList::Other(
            "a media file, not a list: put its name into a list, or give it on the command line",
        ));
    }
    let bytes = decoded(bytes);
    let start = bytes.trim_ascii_start();
    if start.first() == Some(&b'<')
        && start.get(1).is_some_and(|b| b.is_ascii_alphabetic() || b"!?".contains(b))
    {
        return xspf::read(&text(&bytes), max);
    }
    if start.first().is_some_and(|b| b"{[".contains(b))
        && serde_json::from_slice::<serde::de::IgnoredAny>(start).is_ok()
    {
        return Err(NotAList::Other("JSON, not a list"));
    }
    if is_pls(start) {
        return Ok(pls::read(&bytes, max));
    }
    if m3u::is_hls(&bytes) {
        return Err(NotAList::Hls);
    }
    let mut lines = m3u::lines(&bytes).map(|line| ListLine {
        number: line.number,
        title: line.title.map(text).map(Cow::into_owned),
        text: line.text.to_vec(),
        headers: line.headers,
    });
    let written = lines.by_ref().take(max).collect();
    Ok(ListLines { written, more: lines.next().is_some() })
}

/// Whether a file that starts so is M3U, PLS or HLS, whatever its name.
#[must_use]
pub fn begins_as_list(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    start.starts_with(b"#EXTM3U") || is_pls(start)
}

/// Whether this is binary. Media files start with zero bytes; names and URLs hold none.
#[must_use]
pub fn is_media(bytes: &[u8]) -> bool {
    decoded(bytes).contains(&0)
}

fn is_pls(start: &[u8]) -> bool {
    start.get(..10).is_some_and(|section| section.eq_ignore_ascii_case(b"[playlist]"))
}

#[cfg(test)]
mod tests;
