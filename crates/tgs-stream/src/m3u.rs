//! The syntax that a playlist file and an `.m3u` list have in common: one entry a line, `#` before what is none.
//!
//! Says nothing about what an entry is; see [`crate::source`].

use std::borrow::Cow;

/// One entry as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its line in the file, from 1.
    pub number: usize,
    /// From the `#EXTINF` before it; not empty.
    pub title: Option<&'a [u8]>,
    /// A path or a URL in the file's own bytes, without blanks around it; not empty.
    pub text: &'a [u8],
}

/// The entries of a list. Any bytes are one: a UTF-8 byte order mark, line ends of either kind, blank lines and blanks
/// around an entry mean nothing.
#[must_use]
pub fn lines(bytes: &[u8]) -> Vec<Line<'_>> {
    let mut found = Vec::new();
    let mut title = None;
    for (number, text) in numbered(bytes) {
        if let Some(info) = text.strip_prefix(b"#EXTINF:") {
            title = title_in(info);
        } else if !text.is_empty() && !text.starts_with(b"#") {
            found.push(Line { number, title: title.take(), text });
        }
    }
    found
}

/// Whether this is no list of entries but an HLS playlist, which is one entry as a whole.
#[must_use]
pub fn is_hls(bytes: &[u8]) -> bool {
    has_tag(bytes, b"#EXT-X-")
}

/// Whether an HLS playlist may still grow. A master playlist does not tell: see [`first_variant`].
#[must_use]
pub fn is_live_hls(bytes: &[u8]) -> bool {
    !has_tag(bytes, b"#EXT-X-ENDLIST") && !has_tag(bytes, b"#EXT-X-PLAYLIST-TYPE:VOD")
}

/// The first variant of a master playlist, as it is written there; `None` for a playlist of segments.
#[must_use]
pub fn first_variant(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if !has_tag(bytes, b"#EXT-X-STREAM-INF") {
        return None;
    }
    lines(bytes).first().map(|line| String::from_utf8_lossy(line.text))
}

fn numbered(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    (1..).zip(bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii))
}

fn has_tag(bytes: &[u8], tag: &[u8]) -> bool {
    numbered(bytes).any(|(_, text)| text.starts_with(tag))
}

/// The title in `-1 group-title="News, local",Channel 4`: behind the first comma outside quotes.
fn title_in(info: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let comma = info.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })?;
    Some(info[comma + 1..].trim_ascii()).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `number:title|text`, an entry a line.
    fn read(text: &[u8]) -> String {
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let show =
            |l: Line| format!("{}:{}|{}", l.number, l.title.map(words).unwrap_or_default(), words(l.text));
        lines(text).into_iter().map(show).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn entries_with_their_lines_and_titles() {
        let cases: [(&[u8], &str); 9] = [
            (b"", ""),
            (b"a.mp4", "1:|a.mp4"),
            (b"\xef\xbb\xbfa.mp4\r\n\r\nb c.mp4\r\n", "1:|a.mp4\n3:|b c.mp4"),
            (b"# all\n \t a#1.mp4 \t\n  # none", "2:|a#1.mp4"),
            (b"#EXTM3U\n#EXTINF:12,One, two\n#EXTVLCOPT:x\n/a\n/b", "4:One, two|/a\n5:|/b"),
            (b"#EXTINF:-1 a=\"x,y\" b=\"z\",Four\nhttp://h/", "2:Four|http://h/"),
            (b"#EXTINF:-1\na", "2:|a"),
            (b"#EXTINF:-1,  \na", "2:|a"),
            (b"#EXTINF:1,old\n#EXTINF:1,new\na", "3:new|a"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn names_need_not_be_utf_8() {
        assert_eq!(lines(b"caf\xe9.mp4")[0].text, b"caf\xe9.mp4");
    }

    #[test]
    fn hls_is_told_from_a_list() {
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
                prop_assert!(!line.text.is_empty() && !line.text.contains(&b'\n'));
                prop_assert!(line.number <= bytes.split(|b| *b == b'\n').count());
            }
            let _ = (is_hls(&bytes), is_live_hls(&bytes), first_variant(&bytes));
        }

        #[test]
        fn what_is_written_is_read(names in prop::collection::vec("[a-z/][a-z #,\"]{0,8}[a-z]", 0..9)) {
            let text = format!("{}\r\n", names.join(" \r\n#EXTINF:1,x\r\n"));
            let got: Vec<_> = lines(text.as_bytes()).iter().map(|l| l.text.to_vec()).collect();
            prop_assert_eq!(got, names.into_iter().map(String::into_bytes).collect::<Vec<_>>());
        }
    }
}
