//! What entries reach that a stranger's list or page names, against a site on loopback.

use crate::loopback::{Site, resolver};
use tgs_playout::{
    item::{FailureReason, ItemFailure, Trust},
    proxy::Network,
};
use tgs_stream::{
    resolver::{Resolved, Resolver},
    source::{EntryKind, PlaylistEntry},
};

/// What comes of `what`, named by a list in `network`.
fn found(resolver: &Resolver, network: Network, what: EntryKind) -> Result<Resolved, ItemFailure> {
    resolver
        .resolve(&PlaylistEntry { trust: Trust::Found(network), ..PlaylistEntry::new("entry".into(), what) })
}

#[test]
fn a_list_elsewhere_leads_to_no_private_address() {
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
    // A file and an RTSP server are judged when they are opened.
    let video = EntryKind::Direct { url: site.at("v.mp4"), live: false };
    for what in [video.clone(), direct("rtsp://[::ffff:10.0.0.1]/a".into())] {
        let Ok(Resolved::Media { media, .. }) = found(&resolver, Network::Public, what) else {
            panic!("no media")
        };
        let failure = resolver.probe(&media).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Forbidden);
        assert!(failure.detail.starts_with("it leads to "), "{failure}");
    }
    // From a list on the same network all of it is reached.
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

/// Who named an entry is known where it is found: in a list, in a page, in a page of pages.
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
