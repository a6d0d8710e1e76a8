//! Reads M3U: one entry per line, `#` before comments and tags. Playlist files use the same syntax.
//!
//! Does not interpret entries; see [`crate::source`]. [`crate::list`] reads other formats and
//! encodings.

use std::{borrow::Cow, time::Duration};

use super::{
    encoding, headers,
    options::{EntryOptions, ListFault, note},
    time,
};

/// One entry as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct M3uLine<'a> {
    /// The line number, from 1.
    pub number: usize,
    /// The title of the preceding `#EXTINF`; not empty.
    pub title: Option<&'a [u8]>,
    /// A path or a URL as raw bytes, trimmed; not empty.
    pub text: &'a [u8],
    /// The HTTP headers that preceding tags set.
    pub headers: Vec<(String, String)>,
    /// The options that preceding tags set.
    pub options: EntryOptions,
    /// Values of preceding tags that were ignored.
    pub faults: Vec<ListFault>,
}

/// The entries of a list. Accepts any bytes and line ends; skips a UTF-8 byte order mark and
/// blanks.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = M3uLine<'_>> {
    let mut tags = LineTags::default();
    numbered(bytes).filter_map(move |(number, text)| {
        if text.starts_with(b"#") {
            tags.read(number, text);
            return None;
        }
        if text.is_empty() {
            return None;
        }
        let LineTags { title, headers, mut options, mut faults } = std::mem::take(&mut tags);
        note(&mut faults, number, options.check());
        Some(M3uLine { number, title, text, headers, options, faults })
    })
}

/// What the tags before an entry say.
#[derive(Default)]
struct LineTags<'a> {
    title: Option<&'a [u8]>,
    headers: Vec<(String, String)>,
    options: EntryOptions,
    faults: Vec<ListFault>,
}

impl<'a> LineTags<'a> {
    fn read(&mut self, line: usize, text: &'a [u8]) {
        if let Some(info) = tag(text, b"#EXTINF:") {
            self.title = title_in(info);
            self.options.length = length_in(info);
            if let Some(group) = attribute(info, b"group-title=\"") {
                self.options.set_category(&encoding::text(group));
            }
        } else if let Some(option) = tag(text, b"#EXTVLCOPT:") {
            let option = encoding::text(option);
            headers::add(&mut self.headers, headers::of_vlc_option(&option));
            note(&mut self.faults, line, self.options.set_vlc(&option));
        } else if let Some(option) = tag(text, b"#KODIPROP:") {
            headers::add(&mut self.headers, headers::of_kodi_property(&encoding::text(option)));
        } else if let Some(json) = tag(text, b"#EXTHTTP:") {
            headers::add(&mut self.headers, headers::of_json(json));
        } else if let Some(rules) = tag(text, b"#TGS:") {
            note(&mut self.faults, line, self.options.set_rules(&encoding::text(rules)));
        } else if let Some(artist) = tag(text, b"#EXTART:") {
            self.options.set_artist(&encoding::text(artist));
        } else if let Some(group) = tag(text, b"#EXTGRP:") {
            self.options.set_category(&encoding::text(group));
        }
    }
}

/// Whether this is an HLS playlist, which is one entry as a whole.
#[must_use]
pub fn is_hls(bytes: &[u8]) -> bool {
    has_tag(bytes, b"#EXT-X-")
}

/// Whether a media playlist may grow. Use [`first_variant`] first: a master playlist never ends.
#[must_use]
pub fn is_live_hls(bytes: &[u8]) -> bool {
    !has_tag(bytes, b"#EXT-X-ENDLIST") && !has_tag(bytes, b"#EXT-X-PLAYLIST-TYPE:VOD")
}

/// The URL of a master playlist's first variant; `None` for a media playlist.
#[must_use]
pub fn first_variant(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if !has_tag(bytes, b"#EXT-X-STREAM-INF") {
        return None;
    }
    lines(bytes).next().map(|line| String::from_utf8_lossy(line.text))
}

/// The trimmed lines, numbered. Lines end with LF, CR LF or CR.
fn numbered(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    (1..).zip(std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text.trim_ascii());
        };
        let length = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[end + length..]);
        Some(text[..end].trim_ascii())
    }))
}

fn has_tag(bytes: &[u8], tag: &[u8]) -> bool {
    numbered(bytes).any(|(_, text)| text.starts_with(tag))
}

/// The text after `name`, compared without case.
fn tag<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

/// The title in `-1 group-title="News, local",Channel 4`: the text after the first unquoted comma,
/// else `tvg-name`.
fn title_in(info: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let outside = info.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    // An unclosed quote hides nothing.
    let comma = outside.or_else(|| info.iter().rposition(|byte| *byte == b',').filter(|_| quoted));
    let title = comma.map(|comma| info[comma + 1..].trim_ascii()).filter(|title| !title.is_empty());
    title.or_else(|| attribute(info, b"tvg-name=\""))
}

/// The value of an attribute; `name` ends with `="`.
fn attribute<'a>(info: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = info.windows(name.len()).position(|part| part.eq_ignore_ascii_case(name))? + name.len();
    let value = info[at..].split(|byte| *byte == b'"').next()?.trim_ascii();
    Some(value).filter(|value| !value.is_empty())
}

/// The length in `12.5,Title`; stations have -1 or 0.
fn length_in(info: &[u8]) -> Option<Duration> {
    let number = info.split(|byte| b", \t".contains(byte)).next()?;
    time::seconds(std::str::from_utf8(number).ok()?).filter(|length| !length.is_zero())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `number:title|text`, an entry a line.
    fn read(text: &[u8]) -> String {
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let show =
            |l: M3uLine| format!("{}:{}|{}", l.number, l.title.map(words).unwrap_or_default(), words(l.text));
        lines(text).map(show).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn entries_with_their_lines_and_titles() {
        let cases: [(&[u8], &str); 15] = [
            (b"", ""),
            (b"a.mp4", "1:|a.mp4"),
            (b"\xef\xbb\xbfa.mp4\r\n\r\nb c.mp4\r\n", "1:|a.mp4\n3:|b c.mp4"),
            (b"a.mp4\r\rb.mp4\r", "1:|a.mp4\n3:|b.mp4"),
            (b"# all\n \t a#1.mp4 \t\n  # none", "2:|a#1.mp4"),
            (b"#EXTM3U\n#EXTINF:12,One, two\n#EXTVLCOPT:x\n/a\n/b", "4:One, two|/a\n5:|/b"),
            (b"#EXTINF:-1 a=\"x,y\" b=\"z\",Four\nhttp://h/", "2:Four|http://h/"),
            (b"#EXTINF:-1\na", "2:|a"),
            (b"#EXTINF:-1,  \na", "2:|a"),
            (b"#EXTINF:1,old\n#EXTINF:1,new\na", "3:new|a"),
            (b"#extinf:1,x\n#EXTGRP:News\na", "3:x|a"),
            (b"#EXTINF:-1 tvg-name=\"A, B\" tvg-logo=\"\",\na", "2:A, B|a"),
            (b"#EXTINF:-1 TVG-NAME=\"A\"\na", "2:A|a"),
            (b"#EXTINF:-1 tvg-name=\"A,B\na", "2:B|a"),
            (b"#EXTINF:-1 tvg-name=\"\na", "2:|a"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn names_need_not_be_utf_8() {
        assert_eq!(lines(b"caf\xe9.mp4").next().unwrap().text, b"caf\xe9.mp4");
    }

    #[test]
    fn headers_belong_to_the_following_entry() {
        let list = b"#EXTVLCOPT:http-user-agent=VLC/3 a=b\n#EXTVLCOPT:network-caching=1\n#EXTINF:1,x\n\
            #EXTVLCOPT:http-referrer=\"http://h/\"\n\nhttp://h/1\nhttp://h/2\n#EXTHTTP:{\"Cookie\":\"a=1\",\"X-A\":null}\n\
            #KODIPROP:inputstream.adaptive.stream_headers=User-Agent=Kodi%2F1&Host=evil\n#KODIPROP:x=y\nhttp://h/3\n\
            #EXTHTTP:[\n#EXTVLCOPT:http-user-agent=a\tb\nhttp://h/4\n";
        let got: Vec<String> = lines(list)
            .map(|l| l.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>().join(", "))
            .collect();
        assert_eq!(
            got,
            ["User-Agent: VLC/3 a=b, Referer: http://h/", "", "Cookie: a=1, User-Agent: Kodi/1", ""]
        );
    }

    #[test]
    fn hls_is_distinguished_from_a_list() {
        let live = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n";
        let ended = b"#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXTINF:2,\r\n1.ts\r\n#EXT-X-ENDLIST\r\n";
        let master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/i.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh/i.m3u8\n";
        let list = b"#EXTM3U\n#EXTINF:2,\n1.mp4\nHow #EXT-X- works.mp4\n";
        assert_eq!([&live[..], ended, master, list].map(is_hls), [true, true, true, false]);
        assert_eq!([&live[..], ended].map(is_live_hls), [true, false]);
        assert_eq!(first_variant(master).as_deref(), Some("low/i.m3u8"));
        assert_eq!([&live[..], list].map(first_variant), [None, None]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for line in lines(&bytes) {
                prop_assert!(!line.text.is_empty() && !line.text.contains(&b'\n') && !line.text.contains(&b'\r'));
                prop_assert!(line.number <= bytes.split(|b| matches!(b, b'\n' | b'\r')).count());
            }
            let _ = (is_hls(&bytes), is_live_hls(&bytes), first_variant(&bytes));
        }

        #[test]
        fn written_entries_are_read(names in prop::collection::vec("[a-z/][a-z #,\"]{0,8}[a-z]", 0..9), end in "\r|\n|\r\n") {
            let text = format!("{}{end}", names.join(&format!(" {end}#EXTINF:1,x{end}")));
            let got: Vec<_> = lines(text.as_bytes()).map(|l| l.text.to_vec()).collect();
            prop_assert_eq!(got, names.into_iter().map(String::into_bytes).collect::<Vec<_>>());
        }
    }
}
