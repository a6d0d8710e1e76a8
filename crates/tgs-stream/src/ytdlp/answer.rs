//! Reads the JSON that `yt-dlp -J --flat-playlist` prints.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tgs_playout::item::{FailureReason, ItemFailure, Media, MediaSource};

use super::{Listed, PageItem, cookies, lenient};
use crate::source::url;

/// No request needs more headers.
const MAX_HEADERS: usize = 32;

/// The fields that matter of an "info dict"; a list's entries are such dicts themselves.
#[derive(Deserialize, Default)]
#[serde(default)]
struct VideoInfo {
    #[serde(rename = "_type", deserialize_with = "lenient::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    title: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    extractor_key: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    id: Option<String>,
    /// Seconds.
    #[serde(deserialize_with = "lenient::number")]
    duration: Option<f64>,
    #[serde(deserialize_with = "lenient::text")]
    live_status: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    is_live: Option<bool>,
    #[serde(deserialize_with = "lenient::number")]
    playlist_index: Option<f64>,
    /// Private and removed videos of a list can be null.
    #[serde(deserialize_with = "lenient::objects")]
    entries: Option<Vec<VideoInfo>>,
    /// The chosen formats where picture and sound come apart.
    #[serde(deserialize_with = "lenient::objects")]
    requested_formats: Option<Vec<VideoFormat>>,
    // The chosen format, or the page of a list's entry. Not flattened into one field: serde would keep all other fields.
    #[serde(deserialize_with = "lenient::text")]
    url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    manifest_url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    protocol: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    vcodec: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    http_headers: Vec<(String, String)>,
    #[serde(deserialize_with = "lenient::text")]
    cookies: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    format_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VideoFormat {
    #[serde(deserialize_with = "lenient::text")]
    url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    manifest_url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    protocol: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    vcodec: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    http_headers: Vec<(String, String)>,
    #[serde(deserialize_with = "lenient::text")]
    cookies: Option<String>,
    #[serde(rename = "format_id", deserialize_with = "lenient::text")]
    name: Option<String>,
}

impl VideoInfo {
    /// The chosen formats.
    fn formats(&mut self) -> Vec<VideoFormat> {
        if let Some(formats) = self.requested_formats.take().filter(|formats| !formats.is_empty()) {
            return formats;
        }
        vec![VideoFormat {
            url: self.url.take(),
            manifest_url: self.manifest_url.take(),
            protocol: self.protocol.take(),
            vcodec: self.vcodec.take(),
            http_headers: std::mem::take(&mut self.http_headers),
            cookies: self.cookies.take(),
            name: self.format_id.take(),
        }]
    }
}

/// What yt-dlp's `answer` about the page at `page` says. With `only`, one entry of a list was asked for.
pub(super) fn read(answer: &[u8], page: &str, only: bool) -> Result<PageItem, ItemFailure> {
    let is_answer = |info: &VideoInfo| {
        info.kind.is_some()
            || info.id.is_some()
            || info.url.is_some()
            || info.entries.is_some()
            || info.requested_formats.is_some()
    };
    let info = lenient::object(answer, is_answer).map_err(|e| {
        ItemFailure::new(FailureReason::Tool, format!("yt-dlp's answer cannot be read ({e}); see YTDLP_ARGS"))
    })?;
    let Some(entries) = info.entries else {
        return video(info, page);
    };
    let mut entries = entries.into_iter();
    if !only {
        let listed: Vec<Listed> =
            entries.zip(1..).filter_map(|(entry, at)| listed(entry, page, at)).collect();
        if listed.is_empty() {
            return Err(ItemFailure::new(
                FailureReason::Unplayable,
                "the page lists nothing that can be played",
            ));
        }
        return Ok(PageItem::List(listed));
    }
    match entries.next() {
        Some(entry) => video(entry, page),
        None => Err(ItemFailure::new(FailureReason::Missing, "the page no longer lists as many entries")),
    }
}

/// The entry at place `at` of the list at `page`; `None` for what cannot be asked for again.
fn listed(entry: VideoInfo, page: &str, at: u32) -> Option<Listed> {
    if entry.kind.as_deref().is_some_and(|kind| kind.starts_with("url")) {
        let url = entry.url.filter(|url| url::is_remote(url))?;
        return Some(Listed { url, index: None, title: entry.title });
    }
    // The entry itself, found in the page: there is no other way to it.
    let index = entry.playlist_index.filter(|at| (1.0..1e6).contains(at)).map_or(at, |at| at as u32);
    Some(Listed { url: page.to_owned(), index: Some(index), title: entry.title })
}

fn video(mut info: VideoInfo, page: &str) -> Result<PageItem, ItemFailure> {
    let live = info.is_live == Some(true);
    let mut formats = info.formats();
    // The picture's source comes first.
    formats.sort_by_key(|format| format.vcodec.as_deref() == Some("none"));
    // Of a stream that has just ended there is only a part at first.
    let ended = info.live_status.as_deref() != Some("post_live");
    let m3u = info.extractor_key.as_deref() == Some("Generic")
        && formats.iter().any(|format| {
            let at_page = |url: &Option<String>| url.as_deref() == Some(page);
            format.protocol.as_deref().is_some_and(|protocol| protocol.contains("m3u8"))
                && (at_page(&format.url) || at_page(&format.manifest_url))
        });
    let known = identity(info.extractor_key, info.id, info.duration, &formats);
    let identity = known.filter(|_| ended);
    let refused = formats.iter().find_map(|format| url::refused(format.url.as_deref()?));
    let sources: Vec<MediaSource> = formats.into_iter().filter_map(source).collect();
    if sources.is_empty() || sources.len() > 2 {
        let why = refused.map_or(String::new(), |why| format!(" ({why})"));
        let detail = format!("yt-dlp finds no URL on the page that can be opened{why}");
        return Err(ItemFailure::new(FailureReason::Unplayable, detail));
    }
    let expires = sources.iter().filter_map(|source| expires(&source.url)).min();
    let media = Media { sources, live, expires, identity };
    Ok(if m3u {
        PageItem::M3u { media, title: info.title }
    } else {
        PageItem::Video { media, title: info.title }
    })
}

/// What is the same wherever and whenever the same is asked for: extractor, id, length, formats. The generic extractor takes its ids
/// from names, which many pages share.
fn identity(
    extractor: Option<String>,
    id: Option<String>,
    seconds: Option<f64>,
    formats: &[VideoFormat],
) -> Option<String> {
    let extractor = extractor.filter(|extractor| extractor != "Generic")?;
    let ids: Option<Vec<&str>> = formats.iter().map(|format| format.name.as_deref()).collect();
    let seconds = seconds.map_or(String::new(), |seconds| format!("{seconds:.0}"));
    Some(format!("{extractor} {} {seconds} {}", id?, ids?.join("+")))
}

/// A page must not make ffmpeg read this machine's files: only what is fetched over the network passes.
fn source(format: VideoFormat) -> Option<MediaSource> {
    let in_pieces = format.protocol.as_deref().is_some_and(|protocol| protocol.contains("dash"));
    let url = if in_pieces { format.manifest_url.or(format.url) } else { format.url };
    let url = url.filter(|url| url::is_remote(url))?;
    let hls = format.protocol.is_some_and(|protocol| protocol.contains("m3u8"));
    let mut headers = format.http_headers;
    // An old yt-dlp put the cookies here; ffmpeg would send these to every host.
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
    headers.truncate(MAX_HEADERS);
    let cookies = cookies::for_ffmpeg(&format.cookies.unwrap_or_default(), &url);
    Some(MediaSource { headers, cookies, hls, ..MediaSource::at(url) })
}

/// Until when a URL is good, where it says so as most content networks do: seconds since 1970 as `expire=…` or
/// `Expires=…` in the query, or as `/expire/…/` in the path.
fn expires(url: &str) -> Option<SystemTime> {
    let mut parts = url.split(['?', '&', '/', '#', ';']);
    while let Some(part) = parts.next() {
        let lower = part.to_ascii_lowercase();
        let value = match lower.as_str() {
            "expire" | "expires" => parts.next(),
            _ => lower.strip_prefix("expire=").or_else(|| lower.strip_prefix("expires=")),
        };
        // From 2001 to 2286: what is smaller is a duration, what is larger is not in seconds.
        let seconds =
            value.and_then(|v| v.parse::<u64>().ok()).filter(|v| (1_000_000_000..10_000_000_000).contains(v));
        if let Some(seconds) = seconds {
            return SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        }
    }
    None
}

#[cfg(test)]
mod tests {
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
    fn the_same_content_has_the_same_name() {
        let identity = |json: &str| match parse(json) {
            Ok(PageItem::Video { media, .. }) => media.identity,
            other => panic!("{other:?}"),
        };
        let formats = r#""requested_formats":[{"format_id":"137","url":"https://a/?x=1"},{"format_id":"140","url":"https://b/","vcodec":"none"}]"#;
        let known =
            identity(&format!(r#"{{"extractor_key":"Youtube","id":"abc","duration":61.4,{formats}}}"#));
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
    fn the_picture_comes_before_the_sound() {
        let json = r#"{"is_live":true,"requested_formats":[
            {"url":"https://c/a","vcodec":"none","protocol":"https"},
            {"url":"https://c/v","vcodec":"avc1","protocol":"m3u8_native"}]}"#;
        assert_eq!(sources(json), ["https://c/v", "https://c/a"]);
        let Ok(PageItem::Video { media, .. }) = parse(json) else { panic!("no video") };
        assert!(media.live);
    }

    #[test]
    fn dash_in_pieces_is_opened_by_its_manifest() {
        let json =
            r#"{"url":"https://c/piece","manifest_url":"https://c/m.mpd","protocol":"http_dash_segments"}"#;
        assert_eq!(sources(json), ["https://c/m.mpd"]);
        // An HLS variant has the master playlist as its manifest.
        let json =
            r#"{"url":"https://c/720.m3u8","manifest_url":"https://c/all.m3u8","protocol":"m3u8_native"}"#;
        assert_eq!(sources(json), ["https://c/720.m3u8"]);
    }

    #[test]
    fn what_is_not_quite_json_is_read() {
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
        assert_eq!(
            (&picture.cookies[..], picture.is_hls()),
            (&["a=1; Domain=c; Path=/".to_owned()][..], true)
        );
        assert_eq!((&sound.cookies[..], sound.is_hls()), (&[][..], false));
    }

    #[test]
    fn entries_between_others_are_left_out() {
        let json = r#"{"_type":"playlist","entries":[null,7,"x",[1,[2]],{"_type":"url","url":"https://h/1"},true,
            {"_type":"url","url":"tcp://h/1"},{"title":"In it","playlist_index":"3"},{"title":"Too","playlist_index":-1e99}]}"#;
        let Ok(PageItem::List(listed)) = parse(json) else { panic!("no list") };
        let got: Vec<_> = listed.iter().map(|l| (&*l.url, l.index)).collect();
        assert_eq!(got, [("https://h/1", None), ("http://h/page", Some(3)), ("http://h/page", Some(4))]);
    }

    #[test]
    fn a_page_cannot_name_local_files() {
        for url in [
            "file:///etc/passwd",
            "concat:/etc/passwd",
            "/etc/passwd",
            "subfile,,start,0,end,9,,:/etc/passwd",
        ] {
            let failure = parse(&format!(r#"{{"url":"{url}"}}"#)).unwrap_err();
            assert_eq!(failure.reason, FailureReason::Unplayable, "{url}");
        }
        let failure = parse(r#"{"url":"srt://h:1?mode=listener"}"#).unwrap_err().detail;
        let expected = "yt-dlp finds no URL on the page that can be opened (it would wait for connections on this machine";
        assert!(failure.starts_with(expected), "{failure}");
    }

    #[test]
    fn lists_of_pages_and_of_what_is_in_the_page() {
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
        assert_eq!(
            parse(r#"{"_type":"playlist","entries":[]}"#).unwrap_err().reason,
            FailureReason::Unplayable
        );
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
            (
                "https://m.googlevideo.com/api/manifest/hls_variant/expire/1700000000/ei/x",
                Some(1_700_000_000),
            ),
            (
                "https://d1.cloudfront.net/a.mp4?Key-Pair-Id=K&Expires=1700000001&Signature=s",
                Some(1_700_000_001),
            ),
            ("https://s3/a.mp4?X-Amz-Expires=3600", None),
            ("https://h/expire/3600/a.mp4?expires=never", None),
            ("https://h/expire", None),
            ("https://h/a.mp4?notexpire=1700000000", None),
        ];
        for (url, seconds) in cases {
            assert_eq!(
                expires(url),
                seconds.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s)),
                "{url}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(json in "[\\[{\"]{1,3}(_type|entries|url|title|:|,|null|NaN|-Infinity|1|\n|\"|\\]|\\}){0,20}", url in "\\PC{0,40}") {
            let _ = parse(&json);
            let _ = expires(&url);
        }
    }
}
