//! What entries of remote lists and pages may reach, against a site on loopback.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    thread,
};

use crate::loopback::{Site, resolver};
use tgs_playout::{
    item::{FailureReason, ItemFailure, Trust},
    network::Network,
};
use tgs_stream::{
    resolver::{Resolved, Resolver},
    source::{EntryKind, PlaylistEntry},
};

/// Resolves `what`, named by a list in `network`.
fn found(resolver: &Resolver, network: Network, what: EntryKind) -> Result<Resolved, ItemFailure> {
    resolver
        .resolve(&PlaylistEntry { trust: Trust::Found(network), ..PlaylistEntry::new("entry".into(), what) })
}

#[test]
fn a_public_list_reaches_no_private_address() {
    let site = Site::new();
    let resolver = resolver();
    site.clip("v.mp4", "v");
    site.write("page.html", "<html><title>A page</title><video src='/v.mp4'></video></html>");
    site.write("list.m3u", "SITE/v.mp4\n");
    let rtmp = site.url.replace("http", "rtmp");
    let page = |url| EntryKind::Page { url, index: None };
    let direct = |url| EntryKind::Direct { url, live: true };
    for what in [
        page(site.at("page.html")),
        EntryKind::List(site.at("list.m3u")),
        direct(format!("{rtmp}/app/key")),
        direct("srt://localhost:9".into()),
    ] {
        let failure = found(&resolver, Network::Public, what.clone()).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Forbidden, "{what:?}: {failure}");
        assert!(failure.detail.starts_with("it leads to "), "{what:?}: {failure}");
    }
    // Files and RTSP servers are checked when they are opened.
    let video = EntryKind::Direct { url: site.at("v.mp4"), live: false };
    for what in [video.clone(), direct("rtsp://[::ffff:10.0.0.1]/a".into())] {
        let Ok(Resolved::Media { media, .. }) = found(&resolver, Network::Public, what) else {
            panic!("no media")
        };
        let failure = resolver.probe(&media).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Forbidden);
        assert!(failure.detail.starts_with("it leads to "), "{failure}");
    }
    // A list in the same network may name all of it.
    for what in [page(site.at("page.html")), video] {
        let Ok(Resolved::Media { media, .. }) = found(&resolver, Network::Loopback, what) else {
            panic!("no media")
        };
        resolver.probe(&media).unwrap();
    }
    let Ok(Resolved::Media { media, .. }) =
        found(&resolver, Network::Loopback, direct(format!("{rtmp}/app/key")))
    else {
        panic!("no media")
    };
    assert_eq!(media.sources[0].address, "127.0.0.1".parse().ok());
}

/// An operator's own proxy may fetch from anywhere: its answers are not trusted.
#[test]
fn behind_an_operators_proxy_lists_and_pages_stay_untrusted() {
    const NAME: &str = "trust::behind_an_operators_proxy_lists_and_pages_stay_untrusted";
    if env::var_os("http_proxy").is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let mut head = || lines.by_ref().take_while(|line| !line.is_empty()).collect::<String>();
                let mut request = head();
                if request.starts_with("CONNECT ") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    request = head();
                }
                let is_list = request.contains("list.m3u");
                let list = "http://elsewhere.invalid/one.mp4\nfile:///etc/passwd\n";
                let item = "<item><title>No. 1</title><link>http://elsewhere.invalid/1.html</link></item>";
                let feed = format!("<rss version='2.0'><channel><title>Feed</title>{item}</channel></rss>");
                let body = if is_list { list } else { &feed };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all((head + body).as_bytes());
            }
        });
        // The environment of a process cannot be changed safely.
        let mut inner = Command::new(env::current_exe().unwrap());
        let output = inner.args(["--exact", NAME]).env("http_proxy", proxy).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let resolver = resolver();
    for kind in [
        EntryKind::List("http://lists.invalid/list.m3u".into()),
        EntryKind::Page { url: "http://pages.invalid/feed.xml".into(), index: None },
    ] {
        let found = resolver.resolve(&PlaylistEntry::new("x".into(), kind.clone()));
        let Ok(Resolved::Entries(entries)) = found else { panic!("{kind:?}: {:?}", found.err()) };
        let untrusted = entries.iter().all(|entry| entry.trust == Trust::Found(Network::Public));
        assert!(untrusted, "{kind:?}");
        let opens_files = entries.iter().any(|entry| matches!(entry.kind, EntryKind::File(_)));
        assert!(!opens_files, "{kind:?}");
    }
}

/// The trust of an entry depends on where it is found: a list, a page, a page of pages.
#[test]
fn entries_know_the_network_that_they_were_found_in() {
    let site = Site::new();
    let resolver = resolver();
    site.write("list.m3u", "SITE/one.mp4\n");
    let item = "<item><title>No. 1</title><link>SITE/1.html</link></item>";
    site.write("feed.xml", &format!("<rss version='2.0'><channel><title>Feed</title>{item}</channel></rss>"));
    for what in
        [EntryKind::List(site.at("list.m3u")), EntryKind::Page { url: site.at("feed.xml"), index: None }]
    {
        let Ok(Resolved::Entries(entries)) = resolver.resolve(&PlaylistEntry::new("x".into(), what.clone()))
        else {
            panic!("{what:?}")
        };
        assert_eq!(entries[0].trust, Trust::Found(Network::Loopback), "{what:?}");
    }
}
