//! Reads the lists of media players, M3U, PLS and XSPF, and the day programmes of ffplayout, in
//! UTF-8, UTF-16, Windows-1251 or Windows-1252. The format is recognised by the content.
//!
//! Accepts any bytes; the output is bounded. Does not interpret entries; see [`crate::source`].

mod encoding;
pub(crate) mod headers;
mod json;
mod lines;
pub mod m3u;
pub(crate) mod options;
mod pls;
mod time;
mod xspf;

use std::borrow::Cow;

pub(crate) use encoding::readings;
pub use encoding::text;
use encoding::{Charset, decoded};
pub use lines::{ListLine, ListLines, NotAList};
pub use options::{EntryOptions, Every, ListFault, SharedOptions};
pub(crate) use time::seconds;

/// Reads up to `max` entries.
pub fn read(bytes: &[u8], max: usize) -> Result<ListLines, NotAList> {
    if is_media(bytes) {
        let what = "a media file, not a list: put its name into a list, or give it on the command line";
        return Err(NotAList::Other(what.into()));
    }
    let bytes = decoded(bytes);
    let start = bytes.trim_ascii_start();
    if start.first() == Some(&b'<')
        && start.get(1).is_some_and(|b| b.is_ascii_alphabetic() || b"!?".contains(b))
    {
        return xspf::read(&Charset::of_list(&bytes).text(&bytes), max);
    }
    if start.first().is_some_and(|b| b"{[".contains(b))
        && let Some(found) = json::read(&bytes, max)
    {
        return found;
    }
    let charset = Charset::of_list(&bytes);
    if is_pls(start) {
        return Ok(pls::read(&bytes, charset, max));
    }
    if m3u::is_hls(&bytes) {
        return Err(NotAList::Hls);
    }
    let mut list = ListLines::default();
    let mut lines = m3u::lines(&bytes);
    for line in lines.by_ref().take(max) {
        for fault in line.faults {
            options::note::<()>(&mut list.faults, fault.line, Err(fault.what));
        }
        list.written.push(ListLine {
            number: line.number,
            title: line.title.map(|title| charset.text(title)).map(Cow::into_owned),
            text: line.text.to_vec(),
            headers: line.headers,
            options: line.options,
        });
    }
    list.more = lines.next().is_some();
    Ok(list)
}

/// Bytes of a file's beginning that show whether it is a list.
pub(crate) const START: u64 = 4096;

/// Whether a file that starts so is a list, whatever its name.
#[must_use]
pub fn begins_as_list(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let has = |word: &[u8]| start.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    let xspf = start.first() == Some(&b'<') && (has(b"xspf.org") || has(b"<tracklist"));
    let json = start.first() == Some(&b'{') && has(b"\"program\"");
    start.starts_with(b"#EXTM3U") || is_pls(start) || xspf || json
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
