//! Reads lists as players write them: M3U, PLS and XSPF, in UTF-8, UTF-16 or Windows-1252; says what is none.
//!
//! Any bytes may come: what comes out is bounded. Says nothing about what an entry is; see [`crate::source`].

use std::{borrow::Cow, collections::BTreeMap};

use quick_xml::{Reader, events::Event};

use crate::m3u;

/// One entry as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListLine {
    /// Its line in the file, from 1.
    pub number: usize,
    /// The title, where the list tells; not empty.
    pub title: Option<String>,
    /// A path or a URL, in the file's own bytes unless these are UTF-16; not empty.
    pub text: Vec<u8>,
    /// HTTP headers that its server wants.
    pub headers: Vec<(String, String)>,
}

/// The entries of a list, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListLines {
    /// The first of them, as many as were asked for at most.
    pub written: Vec<ListLine>,
    /// Whether there are more.
    pub more: bool,
}

/// What is no list of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAList {
    /// An HLS playlist, which is one entry as a whole.
    Hls,
    /// Something else, in words that follow "it is".
    Other(&'static str),
}

/// No request needs more headers than these, or longer ones.
const MAX_HEADERS: usize = 16;
const MAX_HEADER: usize = 4096;

/// The entries of the list that `bytes` are, `max` of them at most.
pub fn read(bytes: &[u8], max: usize) -> Result<ListLines, NotAList> {
    if is_media(bytes) {
        return Err(NotAList::Other(
            "no list but a media file, it seems: put its name into a list, or give it on the command line",
        ));
    }
    let bytes = decoded(bytes);
    let start = bytes.trim_ascii_start();
    if start.first() == Some(&b'<')
        && start.get(1).is_some_and(|b| b.is_ascii_alphabetic() || b"!?".contains(b))
    {
        return xspf(&text(&bytes), max);
    }
    if start.first().is_some_and(|b| b"{[".contains(b))
        && serde_json::from_slice::<serde::de::IgnoredAny>(start).is_ok()
    {
        return Err(NotAList::Other("JSON, not a list"));
    }
    if is_pls(start) {
        return Ok(pls(&bytes, max));
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

/// Whether a file that begins with `start` is an M3U or PLS list, or an HLS playlist, whatever its name says.
#[must_use]
pub fn begins_as_list(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    start.starts_with(b"#EXTM3U") || is_pls(start)
}

/// Whether this is no text: file names and URLs hold no zero bytes; media files hold them from the beginning on.
#[must_use]
pub fn is_media(bytes: &[u8]) -> bool {
    decoded(bytes).contains(&0)
}

fn is_pls(start: &[u8]) -> bool {
    start.get(..10).is_some_and(|section| section.eq_ignore_ascii_case(b"[playlist]"))
}

/// `bytes` without byte order mark; UTF-16 as UTF-8.
fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    let plain = |b: &u8| b.is_ascii_graphic();
    let (rest, big_endian) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, false),
        [0xfe, 0xff, rest @ ..] => (rest, true),
        [a, 0, b, 0, ..] if plain(a) && plain(b) => (bytes, false),
        [0, a, 0, b, ..] if plain(a) && plain(b) => (bytes, true),
        [0xef, 0xbb, 0xbf, rest @ ..] => return Cow::Borrowed(rest),
        _ => return Cow::Borrowed(bytes),
    };
    let unit = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
    let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Cow::Owned(text.into_bytes())
}

/// `bytes` as text: UTF-8, or else Windows-1252, of which Latin-1 is a part.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    const HIGH: [char; 32] = [
        '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
        '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
    ];
    let wide = |byte: &u8| match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(*byte),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(wide).collect()),
    }
}

/// Adds to `headers` what of `more` a list may ask for: nothing that says where a request goes, or what it is.
pub(crate) fn add_headers(headers: &mut Vec<(String, String)>, more: Vec<(String, String)>) {
    const OURS: [&str; 8] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "range",
        "upgrade",
        "te",
        "proxy-authorization",
    ];
    let token = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) && !name.is_empty()
    };
    for (name, value) in more {
        let sound = token(&name)
            && !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
            && !value.is_empty()
            && name.len() + value.len() <= MAX_HEADER
            && value.is_ascii()
            && !value.contains(|c: char| c.is_ascii_control());
        if sound {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            if headers.len() < MAX_HEADERS {
                headers.push((name, value));
            }
        }
    }
}

/// `File1=…`, `Title1=…`, in the order of the numbers.
fn pls(bytes: &[u8], max: usize) -> ListLines {
    let mut found: BTreeMap<u32, ListLine> = BTreeMap::new();
    let mut titles: BTreeMap<u32, String> = BTreeMap::new();
    let mut more = false;
    // Each line is an entry for the reader of M3U, which leaves out comments and blanks.
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
                found.entry(at).or_insert(ListLine { number, title: None, text, headers: Vec::new() });
            }
        } else if let Some(at) = number(b"title")
            && titles.len() < max
        {
            titles.insert(at, text(value).into_owned());
        }
    }
    let with_title = |(at, written)| ListLine { title: titles.get(&at).cloned(), ..written };
    ListLines { written: found.into_iter().map(with_title).collect(), more }
}

/// The tracks of an XSPF list: the first location of each.
fn xspf(text: &str, max: usize) -> Result<ListLines, NotAList> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let mut list = ListLines::default();
    let (mut is_xspf, mut field, mut value) = (false, String::new(), String::new());
    let mut track: Option<ListLine> = None;
    let (mut number, mut counted) = (1, 0);
    // What is no XML further on ends the list there.
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => {
                field = tag.local_name().as_ref().to_ascii_lowercase();
                value.clear();
                is_xspf |= field == "tracklist";
                if field == "track" && is_xspf {
                    let at = (reader.buffer_position() as usize).min(text.len());
                    number += text.as_bytes()[counted..at].split(|b| *b == b'\n').count() - 1;
                    counted = at;
                    track = Some(ListLine { number, title: None, text: Vec::new(), headers: Vec::new() });
                }
            }
            Event::Text(part) => value.push_str(&part),
            Event::CData(part) => value.push_str(&part),
            Event::GeneralRef(name) => value.extend(entity(&name)),
            Event::End(tag) => {
                let name = tag.local_name().as_ref().to_ascii_lowercase();
                if name == "track" {
                    if let Some(track) = track.take().filter(|track| !track.text.is_empty()) {
                        if list.written.len() >= max {
                            list.more = true;
                            return Ok(list);
                        }
                        list.written.push(track);
                    }
                } else if let Some(track) = track.as_mut().filter(|_| name == field) {
                    set_field(track, &name, value.trim());
                }
                field.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (is_xspf, text.to_ascii_lowercase().contains("<html") || !text.contains("<?xml")) {
        (true, _) => Ok(list),
        (false, true) => Err(NotAList::Other("a web page, not a list")),
        (false, false) => Err(NotAList::Other("XML, but no list (XSPF is read)")),
    }
}

fn set_field(track: &mut ListLine, name: &str, value: &str) {
    match name {
        "location" if track.text.is_empty() => track.text = value.as_bytes().to_vec(),
        "title" if track.title.is_none() && !value.is_empty() => track.title = Some(value.to_owned()),
        "option" => add_headers(&mut track.headers, m3u::vlc_option(value)),
        _ => {}
    }
}

/// The character of `&name;`. A list needs no entities of its own, which could stand for anything.
fn entity(name: &str) -> Option<char> {
    let code = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
            Some(digits) => code(digits, 16),
            None => code(name.strip_prefix('#')?, 10),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `number:title|text`, an entry a line.
    fn shown(bytes: &[u8]) -> String {
        let show = |w: &ListLine| {
            format!("{}:{}|{}", w.number, w.title.as_deref().unwrap_or_default(), text(&w.text))
        };
        match read(bytes, 100) {
            Ok(list) => list.written.iter().map(show).collect::<Vec<_>>().join("\n"),
            Err(NotAList::Hls) => "HLS".into(),
            Err(NotAList::Other(what)) => what.into(),
        }
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn encodings() {
        let list = "#EXTM3U\r\n#EXTINF:1,Ж é\r\nfilm é.mp4\r\n";
        let expected = "3:Ж é|film é.mp4";
        let bom = format!("\u{feff}{list}");
        assert_eq!(shown(list.as_bytes()), expected);
        assert_eq!(shown(bom.as_bytes()), expected);
        assert_eq!(shown(&utf16(&bom, u16::to_le_bytes)), expected);
        assert_eq!(shown(&utf16(&bom, u16::to_be_bytes)), expected);
        assert_eq!(shown(&utf16(list, u16::to_le_bytes)), expected);
        assert_eq!(shown(&utf16(list, u16::to_be_bytes)), expected);
        assert_eq!(shown(b"#EXTINF:1,caf\xe9 \x80 \x93x\x94\ncaf\xe9.mp4"), "2:café € “x”|café.mp4");
        // The bytes of a path stay as they are: a disk may hold them.
        assert_eq!(read(b"caf\xe9.mp4", 9).unwrap().written[0].text, b"caf\xe9.mp4");
        assert_eq!(shown(b"\xff\xfe\x00\xd8\x61\x00\x00"), "1:|\u{fffd}a");
    }

    #[test]
    fn pls_lists() {
        let list = b"[Playlist]\r\nTitle2=B\r\nFile10=http://h/10\r\nFile2 = b=c.mp4\r\nFile1=http://h/1\r\nTitle1=\r\n\
            Length1=-1\r\nFile=x\r\nFilex=x\r\nFile99999999999=x\r\nNumberOfEntries=3\r\nVersion=2\r\n; no\r\n";
        assert_eq!(shown(list), "5:|http://h/1\n4:B|b=c.mp4\n3:|http://h/10");
        assert_eq!(shown(b"[playlist]"), "");
        assert_eq!(shown(b"[play list].mp4"), "1:|[play list].mp4");
    }

    #[test]
    fn xspf_lists() {
        let list = "<?xml version=\"1.0\"?>\n<playlist version=\"1\" xmlns=\"http://xspf.org/ns/0/\"><title>All</title>\n\
            <trackList>\n<track><title>A &amp; B &#233;&#x41;&evil;</title><location>\n http://h/a?x=1&amp;y=2 </location>\
            <location>http://h/mirror</location></track>\n<track><location><![CDATA[file:///b%20c.mp4]]></location>\
            <extension application=\"vlc\"><vlc:option>http-user-agent=V</vlc:option></extension></track>\n<track/>\n\
            <track><title>none</title></track></trackList></playlist>";
        assert_eq!(shown(list.as_bytes()), "4:A & B éA|http://h/a?x=1&y=2\n6:|file:///b%20c.mp4");
        assert_eq!(read(list.as_bytes(), 9).unwrap().written[1].headers, [("User-Agent".into(), "V".into())]);
        let cut = "<playlist><trackList><track><location>a</location></track><track><loc";
        assert_eq!(shown(cut.as_bytes()), "1:|a");
        // A billion laughs.
        let bomb = format!(
            "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"{}\">]><playlist><trackList><track><location>&a;b</location>\
             </track></trackList></playlist>",
            "ha".repeat(1000)
        );
        assert_eq!(shown(bomb.as_bytes()), "1:|b");
    }

    #[test]
    fn what_is_no_list_is_named() {
        let cases: [(&[u8], &str); 9] = [
            (b"<html>\n<body>\n<p>no such list</p>\n</body>\n</html>\n", "a web page, not a list"),
            (b"\xef\xbb\xbf\n  <!DOCTYPE html><title>x", "a web page, not a list"),
            (b"<h1>Not Found</h1>\n", "a web page, not a list"),
            (b"<?xml version=\"1.0\"?><rss><channel/></rss>", "XML, but no list (XSPF is read)"),
            (b"{\"error\": \"gone\"}\n", "JSON, not a list"),
            (b"{1} a.mp4\n", "1:|{1} a.mp4"),
            (b"<3 songs.mp4\n", "1:|<3 songs.mp4"),
            (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n", "HLS"),
            (
                b"ID3\x03\x00\x00",
                "no list but a media file, it seems: put its name into a list, or give it on the command line",
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(shown(bytes), expected, "{:?}", text(bytes));
        }
        assert!(
            begins_as_list(b"\xef\xbb\xbf#EXTM3U")
                && begins_as_list(b"\n[PLAYLIST]\n")
                && !begins_as_list(b"#EXT")
        );
    }

    #[test]
    fn headers_that_a_list_may_ask_for() {
        let mut headers = vec![("user-agent".to_owned(), "a".to_owned())];
        let more = [
            ("User-Agent", "b"),
            ("Host", "h"),
            ("A b", "c"),
            ("X-A", "a\r\nX-B: c"),
            ("X-C", "\u{e9}"),
            ("", "x"),
        ];
        add_headers(&mut headers, more.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
        assert_eq!(headers, [("User-Agent".to_owned(), "b".to_owned())]);
        let many = (0..100).map(|n| (format!("X-{n}"), "1".to_owned())).collect();
        add_headers(&mut headers, many);
        assert_eq!(headers.len(), MAX_HEADERS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn any_bytes_give_few_entries(
            start in "(|\u{feff}|#EXTM3U\n|\\[playlist\\]\r|<playlist><trackList>|<\\?xml|\\{)",
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n=<>/&;File1#track\0"[..])], 0..300),
            max in 0_usize..5,
        ) {
            let mut list = start.into_bytes();
            list.extend(bytes);
            if let Ok(found) = read(&list, max) {
                prop_assert!(found.written.len() <= max);
                for one in found.written {
                    prop_assert!(!one.text.is_empty() && one.number <= list.len() + 1);
                }
            }
        }
    }
}
