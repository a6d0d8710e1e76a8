//! Reads PLS lists.

use std::collections::BTreeMap;

use super::{
    encoding::Charset,
    lines::{ListLine, ListLines},
    m3u, time,
};

/// Reads `File1=…`, `Title1=…` and `Length1=…`, ordered by number.
pub(super) fn read(bytes: &[u8], charset: Charset, max: usize) -> ListLines {
    let mut found: BTreeMap<u32, ListLine> = BTreeMap::new();
    let mut titles: BTreeMap<u32, String> = BTreeMap::new();
    let mut lengths = BTreeMap::new();
    let mut more = false;
    // The M3U reader skips comments and blank lines.
    for line in m3u::lines(bytes) {
        let Some((name, value)) = line.text.iter().position(|b| *b == b'=').map(|at| line.text.split_at(at))
        else {
            continue;
        };
        let (name, value) = (name.trim_ascii().to_ascii_lowercase(), value[1..].trim_ascii());
        let number = |key: &[u8]| std::str::from_utf8(name.strip_prefix(key)?).ok()?.parse::<u32>().ok();
        if value.is_empty() {
            continue;
        }
        if let Some(at) = number(b"file") {
            more |= found.len() >= max && !found.contains_key(&at);
            if found.len() < max {
                let (number, text) = (line.number, value.to_vec());
                found.entry(at).or_insert(ListLine { number, text, ..ListLine::default() });
            }
        } else if let Some(at) = number(b"title")
            && titles.len() < max
        {
            titles.insert(at, charset.text(value).into_owned());
        } else if let Some(at) = number(b"length")
            && lengths.len() < max
        {
            // Stations have -1.
            lengths.extend(time::seconds(&charset.text(value)).map(|length| (at, length)));
        }
    }
    let complete = |(at, mut written): (u32, ListLine)| {
        written.title = titles.get(&at).cloned();
        written.options.length = lengths.get(&at).copied().filter(|length| !length.is_zero());
        written
    };
    ListLines { written: found.into_iter().map(complete).collect(), more, faults: Vec::new() }
}
