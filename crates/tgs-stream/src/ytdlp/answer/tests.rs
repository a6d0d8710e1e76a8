//! Tests of yt-dlp's JSON.

use proptest::prelude::*;

use super::*;

fn parse(json: &str) -> Result<PageItem, ItemFailure> {
    read(json.as_bytes(), "http://h/page", false)
}

fn sources(json: &str) -> Vec<String> {
    match parse(json) {
        Ok(PageItem::Video { media, .. }) => media.sources.into_iter().map(|s| s.url).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn identity_of_the_content() {
    let identity = |json: &str| match parse(json) {
        Ok(PageItem::Video { media, .. }) => media.identity,
        other => panic!("{other:?}"),
    };
    let formats = r#""requested_formats":[{"format_id":"137","url":"https://a/?x=1"},{"format_id":"140","url":"https://b/","vcodec":"none"}]"#;
    let known = identity(&format!(r#"{{"extractor_key":"Youtube","id":"abc","duration":61.4,{formats}}}"#));
    assert_eq!(known.as_deref(), Some("Youtube abc 61 137+140"));
    for unknown in [
        format!(r#"{{"extractor_key":"Generic","id":"abc",{formats}}}"#),
        format!(r#"{{"id":"abc",{formats}}}"#),
        format!(r#"{{"extractor_key":"Youtube","id":"abc","live_status":"post_live",{formats}}}"#),
        format!(r#"{{"extractor_key":"Youtube",{formats}}}"#),
        r#"{"extractor_key":"Youtube","id":"abc","url":"https://a/"}"#.to_owned(),
    ] {
        assert_eq!(identity(&unknown), None, "{unknown}");
    }
}

#[test]
fn one_format_with_its_headers() {
    let json = r#"{"title":"T","is_live":null,"url":"https://c/a.mp4?expire=1900000000","protocol":"https",
        "http_headers":{"User-Agent":"x","Referer":"http://h/"},"formats":[{"url":"no"}]}"#;
    let Ok(PageItem::Video { media, title }) = parse(json) else { panic!("no video") };
    assert_eq!(title.as_deref(), Some("T"));
    assert_eq!(
        media.sources[0].headers,
        [("Referer".into(), "http://h/".into()), ("User-Agent".into(), "x".into())]
    );
    assert_eq!(media.expires, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
    assert!(!media.live);
}

#[test]
fn video_comes_before_audio() {
    let json = r#"{"is_live":true,"requested_formats":[
        {"url":"https://c/a","vcodec":"none","protocol":"https"},
        {"url":"https://c/v","vcodec":"avc1","protocol":"m3u8_native"}]}"#;
    assert_eq!(sources(json), ["https://c/v", "https://c/a"]);
    let Ok(PageItem::Video { media, .. }) = parse(json) else { panic!("no video") };
    assert!(media.live);
}

#[test]
fn dash_segments_are_opened_by_their_manifest() {
    let json =
        r#"{"url":"https://c/piece","manifest_url":"https://c/m.mpd","protocol":"http_dash_segments"}"#;
    assert_eq!(sources(json), ["https://c/m.mpd"]);
    // The manifest of an HLS variant is the master playlist.
    let json = r#"{"url":"https://c/720.m3u8","manifest_url":"https://c/all.m3u8","protocol":"m3u8_native"}"#;
    assert_eq!(sources(json), ["https://c/720.m3u8"]);
}

#[test]
fn almost_json_is_read() {
    let b = r#""id":"x","extractor_key":"Site","title":"T","url":"http://h/a.mp4","protocol":"http","format_id":"1""#;
    let answers = [
        format!("{{{b}}}"),
        format!("WARNING: a plugin says hello\n{{{b}}}\n"),
        format!("WARNING: {{not}} \"this\n\r\n{{{b}}}\nbye {{\n{{}}\n"),
        format!("{{}}\n{{\"level\":1}}\n{{{b}}}"),
        format!("hello {{{b}}} bye"),
        format!("\u{feff}{{{b}}}\n"),
        format!("{{{b},\"tbr\":NaN,\"abr\":[-Infinity,Infinity,NaN]}}"),
        format!("{{{b},\"duration\":NaN,\"is_live\":\"false\"}}"),
        format!("{{{b},\"http_headers\":null,\"cookies\":null,\"entries\":null}}"),
        format!("{{{b},\"requested_formats\":[],\"vcodec\":[],\"is_live\":{{}},\"duration\":\"x\"}}"),
        format!("{{\n  {b}\n}}"),
    ];
    for answer in answers {
        let Ok(PageItem::Video { media, title }) = parse(&answer) else { panic!("{answer}") };
        assert_eq!(
            (&*media.sources[0].url, title.as_deref(), media.live),
            ("http://h/a.mp4", Some("T"), false)
        );
        assert_eq!(media.identity.as_deref(), Some("Site x  1"), "{answer}");
    }
    let json = r#"{"id":12,"title":"NaN, -Infinity \" NaN","duration":"61.4","format_id":137,"extractor_key":"S","is_live":1,
        "url":"http://h/a","http_headers":{"Referer":null,"X-A":5,"Cookie":"a=1","X-B":["no"]},"playlist_index":"x"}"#;
    let Ok(PageItem::Video { media, title }) = parse(json) else { panic!("no video") };
    assert_eq!(title.as_deref(), Some("NaN, -Infinity \" NaN"));
    assert_eq!(media.sources[0].headers, [("X-A".to_owned(), "5".to_owned())]);
    assert_eq!((media.identity.as_deref(), media.live), (Some("S 12 61 137"), true));
    for nothing in ["", "\u{feff}", "WARNING: none", "null", "[1]", "{}", "{\"a\":1}", "{\"url\":"] {
        let failure = parse(nothing).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Tool, "{nothing}: {failure}");
    }
}

#[test]
fn cookies_and_hls_are_passed_on() {
    let json = r#"{"id":"x","requested_formats":[
        {"url":"https://c/v","protocol":"m3u8_native","cookies":"a=1; Domain=c; Path=/"},
        {"url":"https://d/a","vcodec":"none","cookies":"a=1; Domain=c; Path=/"}]}"#;
    let Ok(PageItem::Video { media, .. }) = parse(json) else { panic!("no video") };
    let [picture, sound] = &media.sources[..] else { panic!("{media:?}") };
    assert_eq!((&picture.cookies[..], picture.is_hls()), (&["a=1; Domain=c; Path=/".to_owned()][..], true));
    assert_eq!((&sound.cookies[..], sound.is_hls()), (&[][..], false));
}

#[test]
fn unusable_entries_are_skipped() {
    let json = r#"{"_type":"playlist","entries":[null,7,"x",[1,[2]],{"_type":"url","url":"https://h/1"},true,
        {"_type":"url","url":"tcp://h/1"},{"title":"In it","playlist_index":"3"},{"title":"Too","playlist_index":-1e99}]}"#;
    let Ok(PageItem::List(listed)) = parse(json) else { panic!("no list") };
    let got: Vec<_> = listed.iter().map(|l| (&*l.url, l.index)).collect();
    assert_eq!(got, [("https://h/1", None), ("http://h/page", Some(3)), ("http://h/page", Some(4))]);
}

#[test]
fn a_page_cannot_name_local_files() {
    for url in
        ["file:///etc/passwd", "concat:/etc/passwd", "/etc/passwd", "subfile,,start,0,end,9,,:/etc/passwd"]
    {
        let failure = parse(&format!(r#"{{"url":"{url}"}}"#)).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Unplayable, "{url}");
    }
    let failure = parse(r#"{"url":"srt://h:1?mode=listener"}"#).unwrap_err().detail;
    let expected = "yt-dlp finds no usable URL on the page (it would wait for connections on this machine";
    assert!(failure.starts_with(expected), "{failure}");
}

#[test]
fn lists_of_pages_and_of_videos_in_the_page() {
    let json = r#"{"_type":"playlist","entries":[
        {"_type":"url","url":"https://h/1","title":"One"},
        null,
        {"_type":"url_transparent","url":"https://h/2","ie_key":"X"},
        {"_type":"url","url":"file:///x"},
        {"title":"In it","playlist_index":9,"url":"https://c/3.mp4"}]}"#;
    let Ok(PageItem::List(listed)) = parse(json) else { panic!("no list") };
    let got: Vec<_> = listed.iter().map(|l| (&*l.url, l.index, l.title.as_deref())).collect();
    assert_eq!(
        got,
        [
            ("https://h/1", None, Some("One")),
            ("https://h/2", None, None),
            ("http://h/page", Some(9), Some("In it"))
        ]
    );
    assert_eq!(parse(r#"{"_type":"playlist","entries":[]}"#).unwrap_err().reason, FailureReason::Unplayable);
}

#[test]
fn one_entry_of_a_list() {
    let json = br#"{"_type":"playlist","entries":[{"url":"https://c/3.mp4","title":"In it"}]}"#;
    let Ok(PageItem::Video { media, .. }) = read(json, "http://h/page", true) else { panic!("no video") };
    assert_eq!(media.sources[0].url, "https://c/3.mp4");
    let gone = read(br#"{"_type":"playlist","entries":[]}"#, "http://h/page", true).unwrap_err();
    assert_eq!(gone.reason, FailureReason::Missing);
}

#[test]
fn expiries() {
    let cases = [
        ("https://r1.googlevideo.com/videoplayback?expire=1700000000&ei=x", Some(1_700_000_000)),
        ("https://m.googlevideo.com/api/manifest/hls_variant/expire/1700000000/ei/x", Some(1_700_000_000)),
        ("https://d1.cloudfront.net/a.mp4?Key-Pair-Id=K&Expires=1700000001&Signature=s", Some(1_700_000_001)),
        ("https://s3/a.mp4?X-Amz-Expires=3600", None),
        ("https://h/expire/3600/a.mp4?expires=never", None),
        ("https://h/expire", None),
        ("https://h/a.mp4?notexpire=1700000000", None),
    ];
    for (url, seconds) in cases {
        assert_eq!(expires(url), seconds.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s)), "{url}");
    }
}

proptest! {
    #[test]
    fn any_answer_is_parsed(json in "[\\[{\"]{1,3}(_type|entries|url|title|:|,|null|NaN|-Infinity|1|\n|\"|\\]|\\}){0,20}", url in "\\PC{0,40}") {
        let _ = parse(&json);
        let _ = expires(&url);
    }
}
