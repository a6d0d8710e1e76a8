//! Playlists of every kind of source, and `--check`, against a site on loopback.

use std::{ffi::OsString, thread, time::Duration};

use crate::loopback::{Site, resolver};
use tgs_playout::{
    command::Command,
    engine::Control,
    item::{FailureReason, Item, NextItem, Programme},
};
use tgs_stream::{
    check::check,
    playlist::{Playlist, PlaylistConfig, PlaylistView},
    queue::PlayQueue,
};

pub(crate) fn config(site: &Site, list: &str) -> PlaylistConfig {
    let file = site.write("list.txt", &list.replace("SITE", &site.url));
    let control = Control::default();
    let queue = PlayQueue::open(None, Some(&file), control.clone());
    PlaylistConfig {
        sources: Vec::new(),
        file: Some(file),
        repeat: false,
        shuffle: false,
        separate: Vec::new(),
        wait: false,
        resume: None,
        view: PlaylistView::new(queue.clone(), control.status),
        queue,
        resolver: resolver(),
    }
}

fn played(next: NextItem) -> Item {
    match next {
        NextItem::Play(item) => item,
        other => panic!("{other:?}"),
    }
}

/// Plays to the end; returns the titles.
fn titles(list: Playlist) -> Vec<String> {
    turns(list).into_iter().map(|(title, _)| title).collect()
}

/// Plays to the end; returns titles and turns.
fn turns(mut list: Playlist) -> Vec<(String, u64)> {
    let mut turns = Vec::new();
    loop {
        match list.next() {
            NextItem::Play(item) => {
                let item = played(list.confirm(item));
                turns.push((item.title, item.turn));
            }
            NextItem::Kept { item: Item { title, .. }, .. } | NextItem::Skip { title, .. } => {
                turns.push((format!("({title})"), 0));
            }
            NextItem::End => return turns,
        }
    }
}

/// A feed of two pages with a video each.
fn feed(site: &Site) {
    let item = |n| format!("<item><title>No. {n}</title><link>SITE/{n}.html</link></item>");
    site.write("feed.xml", &format!("<rss version='2.0'><channel>{}{}</channel></rss>", item(1), item(2)));
    for n in [1, 2] {
        let page = format!("<html><title>Page {n}</title><video src='/{n}.mp4'></video></html>");
        site.write(&format!("{n}.html"), &page);
    }
}

const LIST: &str = "clips\nSITE/feed.xml\n#EXTINF:-1,Mine\nSITE/1.html\n";

#[test]
fn folders_and_pages_play_in_order_and_resume_after_a_restart() {
    let site = Site::new();
    feed(&site);
    for name in ["10.mp4", "9.mp4"] {
        site.write(&format!("clips/{name}"), "x");
    }
    let all = ["9", "10", "No. 1", "No. 2", "Mine"];
    let list = Playlist::open(config(&site, LIST)).unwrap();
    let bookmarks = list.bookmarks();
    let turns = turns(list);
    assert!(turns.iter().map(|(title, _)| title).eq(all), "{turns:?}");
    // Within the feed, which is one line of the list.
    let resume = bookmarks.resume_point(turns[3].1, Duration::from_secs(7));
    assert_eq!(resume.as_ref().unwrap().bookmark.key.within, [site.at("feed.xml")]);
    let mut list = Playlist::open(PlaylistConfig { resume, ..config(&site, LIST) }).unwrap();
    let item = played(list.next());
    assert_eq!((&*item.title, item.start), ("No. 2", Duration::from_secs(7)));
    assert_eq!(titles(list), ["Mine"]);
}

#[test]
fn an_edit_does_not_fetch_an_expanded_list_again() {
    let site = Site::new();
    feed(&site);
    let mut list = Playlist::open(config(&site, "SITE/feed.xml\n")).unwrap();
    let first = played(list.next());
    list.confirm(first);
    site.write("feed.xml", "gone");
    site.write("list.txt", &format!("{0}/1.html\n{0}/feed.xml\n{0}/2.html\n", site.url));
    list.reload();
    assert_eq!(titles(list), ["No. 2", "Page 2 (1)"]);
}

#[test]
fn an_expiring_url_is_requested_again() {
    let site = Site::new();
    let mut list = Playlist::open(config(&site, "SITE/expiring/30\nSITE/expiring/600\n")).unwrap();
    let short = played(list.next());
    let again = played(list.confirm(short.clone()));
    assert_eq!(again.id, short.id);
    assert_ne!(again.media, short.media);
    let long = played(list.next());
    assert_eq!(played(list.confirm(long.clone())), long);
}

#[test]
fn check_lists_playable_and_unplayable_entries() {
    let site = Site::new();
    site.clip("clips/b.mp4", "av");
    site.clip("clips/a.m4a", "a");
    site.clip("v.mp4", "v");
    site.clip("vod/i.m3u8", "av");
    site.write("garbage.mp4", "no media at all");
    site.write("page.html", "<html><title>A page</title><video src='/v.mp4'></video></html>");
    let list = "clips\n#EXTINF:2,Titled\nv.mp4\nSITE/v.mp4\nSITE/vod/i.m3u8\nSITE/page.html\n\
                gone.mp4\ngarbage.mp4\nSITE/gone.mp4\nSITE/refuse/private\n";
    let run = |list: &str, progress: bool| {
        let PlaylistConfig { sources, file, resolver, .. } = config(&site, list);
        let (mut out, mut terminal) = (Vec::new(), Vec::new());
        let all = check(sources, file, &resolver, None, &mut out, progress.then_some(&mut terminal)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let text = text
            .replace(&site.url, "SITE")
            .replace(&site.url["http://".len()..], "HOST")
            .replace(&site.dir.path().display().to_string(), "DIR");
        (all, text, String::from_utf8(terminal).unwrap())
    };
    let (all, text, terminal) = run(list, false);
    assert!(!all && terminal.is_empty());
    insta::assert_snapshot!(text);
    let (all, text, terminal) = run("v.mp4\n", true);
    assert!(all, "{text}");
    assert_eq!(terminal, "\r\x1b[Kchecking 1 of 1: v\r\x1b[K");
    let stopped = resolver();
    stopped.cancel.cancel();
    let error = check(vec![OsString::from("/x.mp4").into()], None, &stopped, None, &mut Vec::new(), None)
        .unwrap_err();
    assert_eq!(error.to_string(), "stopped before the end");
    let error = check(Vec::new(), None, &resolver(), None, &mut Vec::new(), None).unwrap_err();
    assert!(error.to_string().starts_with("the command line names nothing to play"), "{error}");
}

#[test]
fn a_page_that_hangs_ends_with_the_engine_that_opened_it() {
    let site = Site::new();
    let mut list = Playlist::open(config(&site, "SITE/hang\n")).unwrap();
    let engine = Control::default();
    list.end_with(engine.stopped());
    let resolving = thread::spawn(move || list.next());
    let _page = site.held.recv_timeout(Duration::from_secs(50)).expect("yt-dlp never came");
    engine.send(Command::Stop).unwrap();
    let NextItem::Kept { failure, .. } = resolving.join().unwrap() else { panic!("the page was opened") };
    assert_eq!(failure.reason, FailureReason::Tool);
}
