//! Tests of the list formats.

use proptest::prelude::*;

use super::*;

mod formats;

/// `number:title|text`, an entry a line.
fn shown(bytes: &[u8]) -> String {
    let show =
        |w: &ListLine| format!("{}:{}|{}", w.number, w.title.as_deref().unwrap_or_default(), text(&w.text));
    match read(bytes, 100) {
        Ok(list) => list.written.iter().map(show).collect::<Vec<_>>().join("\n"),
        Err(NotAList::Hls) => "HLS".into(),
        Err(NotAList::Other(what)) => what.into_owned(),
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
    let list =
        b"[Playlist]\r\nTitle2=B\r\nFile10=http://h/10\r\nFile2 = b=c.mp4\r\nFile1=http://h/1\r\nTitle1=\r\n\
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
fn other_formats_are_named() {
    let cases: [(&[u8], &str); 10] = [
        (b"<html>\n<body>\n<p>no such list</p>\n</body>\n</html>\n", "a web page, not a list"),
        (b"\xef\xbb\xbf\n  <!DOCTYPE html><title>x", "a web page, not a list"),
        (b"<h1>Not Found</h1>\n", "a web page, not a list"),
        (b"<?xml version=\"1.0\"?><rss><channel/></rss>", "XML, but not an XSPF list"),
        (b"{\"error\": \"gone\"}\n", "JSON, not a list"),
        (b"[1, 2]", "JSON, not a list"),
        (b"{1} a.mp4\n", "1:|{1} a.mp4"),
        (b"<3 songs.mp4\n", "1:|<3 songs.mp4"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n", "HLS"),
        (
            b"ID3\x03\x00\x00",
            "a media file, not a list: put its name into a list, or give it on the command line",
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
fn headers_that_a_list_may_set() {
    let mut found = vec![("user-agent".to_owned(), "a".to_owned())];
    let more = [
        ("User-Agent", "b"),
        ("Host", "h"),
        ("A b", "c"),
        ("X-A", "a\r\nX-B: c"),
        ("X-C", "\u{e9}"),
        ("", "x"),
    ];
    headers::add(&mut found, more.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
    assert_eq!(found, [("User-Agent".to_owned(), "b".to_owned())]);
    let many = (0..100).map(|n| (format!("X-{n}"), "1".to_owned())).collect();
    headers::add(&mut found, many);
    assert_eq!(found.len(), headers::MAX_HEADERS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_bytes_give_bounded_entries(
        start in "(|\u{feff}|#EXTM3U\n|#EXTVLCOPT:|#TGS:|\\[playlist\\]\r|<playlist><trackList>|<\\?xml|\\{|\\{\"program\":\\[)",
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n=<>/&;File1#track\0"[..])], 0..300),
        max in 0_usize..5,
    ) {
        let mut list = start.into_bytes();
        list.extend(bytes);
        if let Ok(found) = read(&list, max) {
            prop_assert!(found.written.len() <= max && found.faults.len() <= options::MAX_FAULTS);
            for one in found.written {
                prop_assert!(!one.text.is_empty() && one.number <= list.len() + 1);
            }
        }
    }
}
