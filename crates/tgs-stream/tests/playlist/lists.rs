//! Fetches and expands lists from a web server.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    loopback::{Site, resolver},
    programme::config,
};
use tgs_playout::item::{FailureReason, ItemFailure};
use tgs_stream::{
    check::check,
    playlist::PlaylistConfig,
    resolver::Resolved,
    source::{EntryKind, PlaylistEntry},
};

fn open(url: &str) -> Result<Resolved, ItemFailure> {
    resolver().resolve(&PlaylistEntry::new(url.into(), EntryKind::List(url.into())))
}

fn items(url: &str) -> Vec<String> {
    match open(url) {
        Ok(Resolved::Entries(entries)) => entries.into_iter().map(|entry| entry.key.item).collect(),
        other => panic!("{url}: {other:?}"),
    }
}

/// The source that ffmpeg opens, and whether it is HLS.
fn media(entry: &PlaylistEntry) -> (String, bool) {
    match resolver().resolve(entry) {
        Ok(Resolved::Media { media, .. }) => (media.sources[0].url.clone(), media.sources[0].is_hls()),
        other => panic!("{entry:?}: {other:?}"),
    }
}

#[test]
fn entries_are_relative_to_the_redirected_list() {
    let site = Site::new();
    site.write("deep/l.m3u", "a.mp4\n/b.mp4\n");
    assert_eq!(items(&site.at("moved/l.m3u")), [site.at("deep/a.mp4"), site.at("b.mp4")]);
    // Variants of a master playlist follow the redirect too.
    site.write("deep/m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n");
    site.write("deep/v.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST\n");
    let Ok(Resolved::Media { media, .. }) = open(&site.at("moved/m.m3u8")) else { panic!("no media") };
    assert!(!media.live, "the variant ends");
}

#[test]
fn answers_that_are_not_lists_are_named() {
    let site = Site::new();
    let refused = |name: &str, text: &str| {
        site.write(name, text);
        open(&site.at(name)).unwrap_err().detail
    };
    assert_eq!(refused("page.m3u", "<html>\n<body>\n<p>no such list</p>\n"), "it is a web page, not a list");
    assert_eq!(refused("error.m3u", "{\"error\":\"gone\"}"), "it is JSON, not a list");
    assert_eq!(refused("empty.m3u", "#EXTM3U\n"), "the list names nothing");
    site.write("a.pls", "[playlist]\nFile2=b.mp3\nFile1=a.mp3\n");
    assert_eq!(items(&site.at("a.pls")), [site.at("a.mp3"), site.at("b.mp3")]);
    site.write(
        "a.xspf",
        "<playlist><trackList><track><location>a%20b.mp3</location></track></trackList></playlist>",
    );
    assert_eq!(items(&site.at("a.xspf")), [site.at("a%20b.mp3")]);
    // Media with a list's name, and HLS with any name.
    let at = |name: &str| PlaylistEntry::new(site.at(name), EntryKind::List(site.at(name)));
    fs::write(site.dir.path().join("radio.m3u"), b"ID3\x04\0\0").unwrap();
    assert_eq!(media(&at("radio.m3u")), (site.at("radio.m3u"), false));
    site.write("tv.m3u", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n");
    assert_eq!(media(&at("tv.m3u")), (site.at("tv.m3u"), true));
    // yt-dlp takes any M3U list without an extension for HLS.
    site.write("noname", "#EXTM3U\n#EXTINF:1,One\n/1.mp4\n");
    site.write("nohls", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST\n");
    let page =
        |name: &str| PlaylistEntry::new(site.at(name), EntryKind::Page { url: site.at(name), index: None });
    let Ok(Resolved::Entries(entries)) = resolver().resolve(&page("noname")) else { panic!("no list") };
    assert_eq!(entries[0].title(), "One");
    assert_eq!(media(&page("nohls")), (site.at("nohls"), true));
}

#[test]
fn a_list_is_recognised_whatever_its_name() {
    let site = Site::new();
    let hls = site.clip("vod/i.m3u8", "v");
    for name in ["vod/tv", "vod/tv.m3u", "vod/tv.txt"] {
        fs::copy(&hls, site.dir.path().join(name)).unwrap();
        let path = site.dir.path().join(name);
        let entry = PlaylistEntry::new(name.into(), EntryKind::File(path));
        let Ok(Resolved::Media { media, .. }) = resolver().resolve(&entry) else { panic!("{name}") };
        assert!(media.sources[0].is_hls() && !media.live, "{name}");
        assert!(resolver().probe(&media).unwrap().video.is_some(), "{name}");
    }
    let path = site.write("list", "#EXTM3U\nvod/tv\n");
    let Ok(Resolved::Entries(entries)) =
        resolver().resolve(&PlaylistEntry::new("list".into(), EntryKind::File(path)))
    else {
        panic!("no list")
    };
    assert_eq!(entries[0].kind, EntryKind::File(site.dir.path().join("vod/tv")));
}

#[test]
fn retry_after_is_honoured() {
    let site = Site::new();
    site.write("l.m3u", "a.mp4\n");
    let begun = Instant::now();
    assert_eq!(items(&site.at("busy/l.m3u")), [site.at("busy/a.mp4")]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    for url in ["patience/600/l.m3u", "l.m3u"] {
        let failure = open(&site.at(url)).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Network);
        assert!(failure.detail.starts_with("the list's server accepts no request for "), "{failure}");
    }
}

#[test]
fn a_list_of_useless_lists_is_one_failure() {
    let site = Site::new();
    site.write("bomb.m3u", &"nothing.m3u\n".repeat(1000));
    site.write("nothing.m3u", "x://1\ntcp://h:1\n");
    let PlaylistConfig { sources, file, resolver, .. } = config(&site, "SITE/bomb.m3u\n");
    let mut out = Vec::new();
    assert!(!check(sources, file, &resolver, None, &mut out, None).unwrap());
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.lines().count(), 2, "{out}");
    assert!(out.contains("it holds only lists without a playable entry; the first: none of the 2"), "{out}");
    let again = open(&site.at("bomb.m3u")).unwrap_err().detail;
    assert!(again.starts_with("it had no playable entry; the next attempt is in "), "{again}");
    // A list with one useful entry plays it.
    site.write("deep.m3u", "nothing.m3u\nmore.m3u\n");
    site.write("more.m3u", "a.mp4\n");
    assert_eq!(items(&site.at("deep.m3u")), [site.at("a.mp4")]);
}

#[test]
fn headers_of_a_list_reach_the_server() {
    let site = Site::new();
    site.clip("v.mp4", "v");
    site.write("l.m3u", "#EXTVLCOPT:http-user-agent=V\nSITE/token/a-b|X-Token=a-b\n");
    let Ok(Resolved::Entries(entries)) = open(&site.at("l.m3u")) else { panic!("no list") };
    let url = site.at("token/a-b");
    let entry = PlaylistEntry { kind: EntryKind::Direct { url, live: false }, ..entries[0].clone() };
    let Ok(Resolved::Media { media, .. }) = resolver().resolve(&entry) else { panic!("no media") };
    assert!(resolver().probe(&media).unwrap().video.is_some(), "the server wants the header");
}
