//! The real yt-dlp against pages on loopback.

use std::{
    io::Read,
    thread,
    time::{Duration, SystemTime},
};

use crate::loopback::{Site, resolver, yt_dlp};
use tgs_core::cancel::Cancel;
use tgs_playout::item::{FailureReason, ItemFailure, Media};
use tgs_stream::{
    resolver::{Resolved, Resolver},
    source::{EntryKind, PlaylistEntry},
    ytdlp::{PageItem, YtDlp},
};

fn ask(url: &str) -> Result<PageItem, ItemFailure> {
    yt_dlp().ask(url, None, &Cancel::new())
}

fn video(url: &str) -> (Media, String) {
    match ask(url) {
        Ok(PageItem::Video { media, title }) => (media, title.unwrap_or_default()),
        other => panic!("{url}: {other:?}"),
    }
}

fn urls(media: &Media) -> Vec<&str> {
    media.sources.iter().map(|source| &*source.url).collect()
}

fn list(url: &str, resolver: &Resolver) -> Result<Resolved, ItemFailure> {
    resolver.resolve(&PlaylistEntry::new(url.into(), EntryKind::List(url.into())))
}

#[test]
fn pages_with_one_video() {
    let site = Site::new();
    site.clip("av.mp4", "av");
    site.write(
        "tag.html",
        "<html><head><title>A tag</title></head><body><video src='/av.mp4'></video></body></html>",
    );
    site.write(
        "og.html",
        r#"<html><head><title>Open Graph</title><meta property="og:video" content="SITE/av.mp4"/></head></html>"#,
    );
    for (page, title) in [("tag.html", "A tag"), ("og.html", "Open Graph")] {
        let (media, found) = video(&site.at(page));
        assert!(found.starts_with(title), "{found}");
        assert_eq!(urls(&media), [site.at("av.mp4")]);
        assert!(!media.live && media.expires.is_none());
        let referer = ("Referer".to_owned(), site.at(page));
        assert!(media.sources[0].headers.contains(&referer), "{:?}", media.sources[0].headers);
    }
}

#[test]
fn media_that_require_the_cookie_of_the_page() {
    let site = Site::new();
    site.clip("cookie/film.mp4", "av");
    site.write("cookie/page.html", "<html><title>Film</title><video src='/cookie/film.mp4'></video></html>");
    let (media, _) = video(&site.at("cookie/page.html"));
    let host = &site.url["http://".len()..];
    assert_eq!(media.sources[0].cookies, [format!("tok=abc; Domain={host}; Path=/")]);
    assert!(resolver().probe(&media).unwrap().video.is_some());
    let without = Media::at(site.at("cookie/film.mp4"), false);
    assert_eq!(resolver().probe(&without).unwrap_err().reason, FailureReason::Forbidden);
}

#[test]
fn separate_video_and_audio_in_the_wanted_quality_with_their_headers() {
    let site = Site::new();
    site.clip("v.mp4", "v");
    site.clip("a.m4a", "a");
    let page = site.at("apart/x");
    let (media, title) = video(&page);
    assert_eq!(title, "Apart\n together");
    assert_eq!(urls(&media), [site.at("token/h264-720"), site.at("token/aac")]);
    // The site requires each request's own header.
    let probe = resolver().probe(&media).unwrap();
    assert_eq!((probe.video.map(|v| v.source), probe.audio.map(|a| a.source)), (Some(0), Some(1)));
    for (height, format) in [(480, "token/h264-360"), (1080, "token/h264-1080")] {
        let Ok(PageItem::Video { media, .. }) =
            (YtDlp { height, ..yt_dlp() }).ask(&page, None, &Cancel::new())
        else {
            panic!("no video")
        };
        assert_eq!(media.sources[0].url, site.at(format));
    }
}

#[test]
fn the_original_language_precedes_dubs() {
    let site = Site::new();
    let (media, _) = video(&site.at("dubbed/x"));
    assert_eq!(urls(&media), [site.at("picture"), site.at("original")]);
}

#[test]
fn a_live_page() {
    let site = Site::new();
    site.write("live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n");
    let (media, _) = video(&site.at("onair/x"));
    assert_eq!((urls(&media), media.live), (vec![&*site.at("live.m3u8")], true));
}

#[test]
fn pages_that_list_others() {
    let site = Site::new();
    let item = |n| format!("<item><title>No. {n}</title><link>SITE/{n}.html</link></item>");
    let feed =
        format!("<rss version='2.0'><channel><title>Feed</title>{}{}</channel></rss>", item(1), item(2));
    site.write("feed.xml", &feed);
    let Ok(PageItem::List(listed)) = ask(&site.at("feed.xml")) else { panic!("no list") };
    let got: Vec<_> = listed.iter().map(|l| (&*l.url, l.index, l.title.as_deref())).collect();
    assert_eq!(got, [(&*site.at("1.html"), None, Some("No. 1")), (&*site.at("2.html"), None, Some("No. 2"))]);
}

#[test]
fn a_page_with_several_videos_is_a_list() {
    let site = Site::new();
    let page = site.at("two.html");
    site.write(
        "two.html",
        "<html><title>Two</title><video src='/1.mp4'></video><video src='/2.mp4'></video></html>",
    );
    let Ok(PageItem::List(listed)) = ask(&page) else { panic!("no list") };
    let got: Vec<_> = listed.iter().map(|l| (&*l.url, l.index)).collect();
    assert_eq!(got, [(&*page, Some(1)), (&*page, Some(2))]);
    let Ok(PageItem::Video { media, .. }) = yt_dlp().ask(&page, Some(2), &Cancel::new()) else {
        panic!("no video")
    };
    assert_eq!(urls(&media), [site.at("2.mp4")]);
    assert_eq!(yt_dlp().ask(&page, Some(3), &Cancel::new()).unwrap_err().reason, FailureReason::Missing);
}

#[test]
fn errors_have_their_reason() {
    let site = Site::new();
    let cases = [
        ("refuse/bot", FailureReason::BotCheck, "the site suspects a bot"),
        ("refuse/age", FailureReason::Forbidden, "it is age-restricted"),
        ("refuse/private", FailureReason::Forbidden, "it is private"),
        ("refuse/members", FailureReason::Forbidden, "it is for paying members"),
        ("refuse/account", FailureReason::Forbidden, "the site requires a login"),
        ("refuse/removed", FailureReason::Missing, "it was removed or never existed"),
        ("refuse/geo", FailureReason::GeoBlocked, "it is not available in this server's country"),
        ("refuse/no_js", FailureReason::NoJsRuntime, "yt-dlp needs a JavaScript runtime for this site"),
        ("refuse/rate", FailureReason::Network, "the site limits requests"),
        (
            "refuse/upcoming",
            FailureReason::Unplayable,
            "it is not live now (This live event will begin in 3 hours.)",
        ),
        (
            "refuse/bug",
            FailureReason::Unplayable,
            "yt-dlp cannot parse the page (Unable to extract initial data)",
        ),
        (
            "gone.html",
            FailureReason::Missing,
            "it was removed or never existed (Unable to download webpage: HTTP Error 404",
        ),
        ("nothing.html", FailureReason::Unplayable, "yt-dlp finds nothing to play on the page"),
        ("evil", FailureReason::Unplayable, "yt-dlp finds no usable URL on the page"),
    ];
    site.write("nothing.html", "<html><body>Words.</body></html>");
    let site = site.url.as_str();
    let check = |(path, reason, words): &(&str, FailureReason, &str)| {
        let failure = ask(&format!("{site}/{path}")).unwrap_err();
        assert_eq!(failure.reason, *reason, "{path}: {failure}");
        assert!(failure.detail.starts_with(words), "{path}: {failure}");
    };
    // Most of the time is Python's start.
    thread::scope(|scope| {
        for half in cases.chunks(cases.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(check));
        }
    });
}

#[test]
fn an_unreachable_server() {
    let failure = ask("http://127.0.0.1:1/page").unwrap_err();
    assert_eq!(failure.reason, FailureReason::Network);
    assert!(
        failure.detail.starts_with("the network or the site failed (Unable to download webpage: "),
        "{failure}"
    );
}

#[test]
fn unknown_arguments() {
    let mut ytdlp = yt_dlp();
    ytdlp.args.push("--no-such-thing".into());
    let failure = ytdlp.ask("http://127.0.0.1:1/page", None, &Cancel::new()).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Tool);
    assert_eq!(failure.detail, "yt-dlp does not accept YTDLP_ARGS (no such option: --no-such-thing)");
}

#[test]
fn a_page_that_never_answers() {
    let site = Site::new();
    let ytdlp = YtDlp { time_out: Duration::from_secs(1), ..yt_dlp() };
    let failure = ytdlp.ask(&site.at("hold"), None, &Cancel::new()).unwrap_err();
    assert_eq!(
        failure,
        ItemFailure::new(FailureReason::Timeout, "yt-dlp got no answer from the page within 1 s")
    );
}

#[test]
fn yt_dlp_leaves_no_process_behind() {
    let site = Site::new();
    let (cancel, page) = (Cancel::new(), site.at("hang"));
    thread::scope(|scope| {
        let asked = scope.spawn(|| yt_dlp().ask(&page, None, &cancel));
        let mut held = site.held.recv_timeout(Duration::from_secs(50)).expect("yt-dlp never came");
        cancel.cancel();
        assert_eq!(asked.join().unwrap().unwrap_err().reason, FailureReason::Tool);
        held.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // The connection closes with the last process that holds it.
        let end = held.read(&mut [0]);
        assert!(matches!(&end, Ok(0)) || end.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn expiry_is_read_from_the_url() {
    let site = Site::new();
    let before = SystemTime::now();
    let (media, _) = video(&site.at("expiring/3600"));
    let left = media.expires.unwrap().duration_since(before).unwrap().as_secs();
    assert!((3595..3700).contains(&left), "{left}");
}

#[test]
fn lists_on_the_network() {
    let site = Site::new();
    let resolver = resolver();
    site.clip("vod/i.m3u8", "av");
    site.write("live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n");
    for (variant, live) in [("vod/i.m3u8", false), ("live.m3u8", true)] {
        site.write("master.m3u8", &format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{variant}\n"));
        for playlist in ["master.m3u8", variant] {
            let Ok(Resolved::Media { media, .. }) = list(&site.at(playlist), &resolver) else {
                panic!("{playlist}")
            };
            assert_eq!((urls(&media), media.live), (vec![&*site.at(playlist)], live), "{playlist}");
        }
    }
    site.write("radio.m3u", "#EXTM3U\n#EXTINF:-1,One\none.mp3\n/watch?v=2\nfile:///etc/passwd\n");
    let Ok(Resolved::Entries(entries)) = list(&site.at("radio.m3u"), &resolver) else { panic!("no list") };
    let got: Vec<_> = entries.iter().map(|e| &*e.key.item).collect();
    assert_eq!(got, [&*site.at("one.mp3"), &*site.at("watch?v=2"), "file:///etc/passwd"]);
    assert_eq!((entries[0].title().as_str(), &entries[0].key.within), ("One", &vec![site.at("radio.m3u")]));
    let failure = list(&site.at("gone.m3u"), &resolver).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Missing, "{failure}");
    assert_eq!(list("http://127.0.0.1:1/x.m3u", &resolver).unwrap_err().reason, FailureReason::Network);
}
