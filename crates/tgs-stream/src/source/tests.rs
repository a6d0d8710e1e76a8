//! What paths, folders, lines and URLs expand to.

use proptest::prelude::*;
use tempfile::TempDir;

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use super::{
    entry::{MAX_TEXT, file_entry},
    folder::NaturalOrder,
    local::MAX_LISTS,
    remote::MAX_BAD,
    *,
};
use crate::list::{NotAList, SharedOptions};

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn named(dir: &TempDir, text: impl Into<OsString>) -> NamedSource {
    NamedSource {
        text: text.into(),
        title: None,
        dir: dir.path().into(),
        headers: Vec::new(),
        options: SharedOptions::default(),
        origin: None,
    }
}

/// Identities without the directory.
fn items(dir: &TempDir, entries: &[PlaylistEntry]) -> Vec<String> {
    let dir = format!("{}/", dir.path().display());
    entries.iter().map(|e| e.key.item.replace(&dir, "")).collect()
}

fn detail(entry: &PlaylistEntry) -> &str {
    match &entry.kind {
        EntryKind::Bad(failure) => &failure.detail,
        other => panic!("{other:?} is not refused"),
    }
}

#[test]
fn a_media_file_is_not_a_list() {
    let dir = tree(&[("film.mp4", "\0\0\0 ftypisom"), ("list.txt", "film.mp4\n")]);
    let bytes = read_list(&dir.path().join("film.mp4")).unwrap();
    let Err(NotAList::Other(refused)) = named_in(dir.path(), &bytes) else { panic!("a list") };
    assert!(refused.starts_with("a media file, not a list"), "{refused}");
    assert_eq!(read_list(&dir.path().join("list.txt")).unwrap(), b"film.mp4\n");
}

#[test]
fn urls_by_kind() {
    let direct = |url: &str, live| EntryKind::Direct { url: url.into(), live };
    let page = |url: &str| EntryKind::Page { url: url.into(), index: None };
    let cases = [
        ("http://h/a.mp4", direct("http://h/a.mp4", false)),
        ("HTTPS://h/a%20b.MKV?x=1#t", direct("https://h/a%20b.MKV?x=1#t", false)),
        ("https://h/a b.mp3", direct("https://h/a%20b.mp3", false)),
        ("ftp://h/a", direct("ftp://h/a", false)),
        ("rtmp://h/app/x", direct("rtmp://h/app/x", true)),
        ("rtsp://h:554/x.mp4", direct("rtsp://h:554/x.mp4", true)),
        ("srt://h:9000?mode=caller", direct("srt://h:9000?mode=caller", true)),
        ("https://h/live/index.m3u8?t=1", EntryKind::List("https://h/live/index.m3u8?t=1".into())),
        ("http://h/radio.m3u", EntryKind::List("http://h/radio.m3u".into())),
        ("http://h/radio.PLS", EntryKind::List("http://h/radio.PLS".into())),
        ("http://h/a.xspf?x", EntryKind::List("http://h/a.xspf?x".into())),
        ("http://h/get.php?u=1&type=m3u_plus", EntryKind::List("http://h/get.php?u=1&type=m3u_plus".into())),
        ("https://h/watch?v=a.mp4", page("https://h/watch?v=a.mp4")),
        ("https://h.mp4", page("https://h.mp4")),
    ];
    for (text, what) in cases {
        let dir = TempDir::new().unwrap();
        let entries = expand(&[named(&dir, text)]);
        assert_eq!((entries.len(), &entries[0].kind), (1, &what), "{text}");
    }
    let dir = TempDir::new().unwrap();
    let odd =
        expand(&[named(&dir, "gopher://h/a.mp4"), named(&dir, OsString::from_vec(b"http://h/\xff".into()))]);
    assert_eq!(detail(&odd[0]), "nothing here can open a gopher:// address");
    // Windows-1252, as old players write lists.
    assert_eq!(odd[1].kind, page("http://h/%C3%BF"));
}

#[test]
fn a_password_is_not_part_of_the_identity() {
    let dir = TempDir::new().unwrap();
    let entries = expand(&[named(&dir, "rtsp://me:pa:s@cam/1"), named(&dir, "https://me@h/watch?u=a@b")]);
    assert_eq!(items(&dir, &entries), ["rtsp://cam/1", "https://h/watch?u=a@b"]);
    assert_eq!(entries[0].kind, EntryKind::Direct { url: "rtsp://me:pa:s@cam/1".into(), live: true });
    assert_eq!((&*entries[0].title(), &*entries[1].title()), ("1", "h/watch?u=[masked]"));
}

#[test]
fn a_folder_lists_media_files_in_natural_order() {
    let names = [
        "10.mp4",
        "2.MP4",
        "b.mkv",
        "A.mp4",
        ".hidden.mp4",
        "a.srt",
        "cover.JPG",
        "x.m3u",
        "noext",
        "sub/z.mp4",
    ];
    let dir = tree(&names.map(|name| (name, "x")));
    assert_eq!(items(&dir, &expand(&[named(&dir, ".")])), ["2.MP4", "10.mp4", "A.mp4", "b.mkv", "noext"]);
    let none = tree(&[("sub/.a", "")]);
    assert_eq!(detail(&expand(&[named(&none, "sub/")])[0]), "the folder holds no media");
}

#[test]
fn paths_are_relative_to_their_list() {
    let dir = tree(&[
        ("a.mp4", ""),
        ("sub/one.m3u", "#EXTM3U\n#EXTINF:3,Second  \n../b c.mp4\nclips\ntwo.M3U8\nhttp://h/x.mp3\n"),
        ("sub/two.M3U8", "file:///abs/d%20e.mp4\n"),
        ("sub/clips/c.mp4", ""),
        ("sub/live.m3u8", "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2,\n1.ts\n"),
    ]);
    let entries = expand(&[named(&dir, "a.mp4"), named(&dir, "sub/one.m3u"), named(&dir, "sub/live.m3u8")]);
    assert_eq!(
        items(&dir, &entries),
        ["a.mp4", "sub/../b c.mp4", "sub/clips/c.mp4", "/abs/d e.mp4", "http://h/x.mp3", "sub/live.m3u8"]
    );
    assert_eq!(entries[1].title(), "Second");
    assert_eq!(entries[3].origin.as_ref().unwrap().line, 1);
    assert!(entries[4].origin.as_ref().unwrap().to_string().starts_with("line 6 of /"));
}

#[test]
fn unreadable_lists_have_a_reason() {
    let dir =
        tree(&[("self.m3u", "a.mp4\nother.m3u"), ("other.m3u", "self.m3u\n"), ("empty.m3u", "#EXTM3U\n")]);
    let entries = expand(&["self.m3u", "empty.m3u", "gone.m3u"].map(|name| named(&dir, name)));
    assert_eq!(items(&dir, &entries), ["a.mp4", "self.m3u", "empty.m3u", "gone.m3u"]);
    let words: Vec<&str> = entries[1..].iter().map(detail).collect();
    assert_eq!(
        words,
        [
            "the list names itself",
            "the list names nothing",
            "the list cannot be read: No such file or directory (os error 2)"
        ]
    );
}

#[test]
fn a_remote_list_names_nothing_on_this_machine() {
    let text = b"a.mp4\n/b.mp4\nfile:///etc/passwd\nrtmp://h/x\n#EXTINF:1,T\n../w?v=1\n";
    let entries = expand_remote("http://h/d/e/list.m3u", text).unwrap().unwrap();
    let got: Vec<&str> = entries.iter().map(|e| &*e.key.item).collect();
    assert_eq!(
        got,
        ["http://h/d/e/a.mp4", "http://h/b.mp4", "file:///etc/passwd", "rtmp://h/x", "http://h/d/w?v=1"]
    );
    assert_eq!(detail(&entries[2]), "a list from the network may not name local files");
    assert_eq!(entries[4].title(), "T");
}

#[test]
fn paths_as_other_players_write_them() {
    let dir = tree(&[
        ("a b.mp4", ""),
        ("sub/c d.mp4", ""),
        ("per%20cent.mp4", ""),
        ("caf\u{e9}.mp4", ""),
        ("x#?.mp4", ""),
    ]);
    let old = dir.path().join(std::ffi::OsStr::from_bytes(b"old\xe9.mp4"));
    fs::write(&old, "").unwrap();
    let list = b"a%20b.mp4\nsub\\c d.mp4\n.\\sub\\c%20d.mp4\nper%20cent.mp4\ncaf\xe9.mp4\nold\xe9.mp4\nfile:x%23%3f.mp4\n\
        C:\\gone.mp4\nno%20such.mp4\nsub/\x01.mp4\n";
    let named = named_in(&dir.path().join("l.m3u"), list).unwrap();
    let entries = expand(&named);
    let old = old.to_string_lossy().into_owned();
    let old = old.rsplit('/').next().unwrap();
    assert_eq!(
        items(&dir, &entries),
        [
            "a b.mp4",
            "sub/c d.mp4",
            "sub/c d.mp4",
            "per%20cent.mp4",
            "caf\u{e9}.mp4",
            old,
            "x#?.mp4",
            "C:\\gone.mp4",
            "no%20such.mp4",
            "sub/ .mp4"
        ]
    );
    assert_eq!(detail(&entries[9]), "the line holds a control character");
}

#[test]
fn headers_of_an_entry_come_from_its_lines_and_its_address() {
    let list = b"#EXTVLCOPT:http-user-agent=V\nhttp://h/a.mp4|Referer=http%3A%2F%2Fr%2F&seekable=0\nhttp://h/b|c=d.mp4\n\
        http://h/live.m3u8|user-agent=K\nhttp://h/x?a=1|2&b=3\n";
    let entries = expand_remote("http://h/l.m3u", list).unwrap().unwrap();
    let headers = |entry: &PlaylistEntry| {
        entry.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        entries.iter().map(headers).collect::<Vec<_>>(),
        ["Referer: http://r/, User-Agent: V", "", "user-agent: K", ""]
    );
    let got: Vec<&str> = entries.iter().map(|e| &*e.key.item).collect();
    assert_eq!(
        got,
        ["http://h/a.mp4", "http://h/b%7Cc=d.mp4", "http://h/live.m3u8", "http://h/x?a=1%7C2&b=3"]
    );
}

#[test]
fn an_unplayable_list_is_one_failure_and_a_long_one_is_truncated() {
    let lines = |line: &dyn Fn(u32) -> String| (0..100_000).map(line).collect::<String>();
    let nothing = lines(&|n| format!("x://{n}\n"));
    let failure = expand_remote("http://h/l.m3u", nothing.as_bytes()).unwrap_err();
    let expected =
        "none of the 20000 entries of the list can be played; the first, line 1: it is a x:// address: ";
    assert!(failure.detail.starts_with(expected), "{failure}");
    let long = lines(&|n| format!("{n}.mp4\ntcp://h/{n}\n"));
    let entries = expand_remote("http://h/l.m3u", long.as_bytes()).unwrap().unwrap();
    assert_eq!(entries.len(), MAX_REMOTE / 2 + MAX_BAD);
    let line = format!("http://h/{}\n", "x".repeat(MAX_TEXT));
    let failure = expand_remote("http://h/l.m3u", line.as_bytes()).unwrap_err();
    assert!(failure.detail.ends_with("the line has over 8192 bytes"), "{failure}");
    assert_eq!(expand_remote("http://h/l.m3u", b"#EXTM3U\n").unwrap_err().detail, "the list names nothing");
    assert_eq!(
        expand_remote("http://h/l.m3u", b"<html>\n").unwrap_err().detail,
        "it is a web page, not a list"
    );
    assert_eq!(expand_remote("http://h/l.m3u", b"#EXT-X-VERSION:3\n"), Ok(None));
}

#[test]
fn a_list_that_is_no_regular_file_does_not_block() {
    use rustix::fs::{CWD, FileType, mknodat};
    let dir = tree(&[("a.mp4", "")]);
    mknodat(CWD, dir.path().join("pipe.m3u"), FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket.m3u8")).unwrap();
    for (name, target) in [("zero.pls", "/dev/zero"), ("round.m3u", "round.m3u"), ("dir.m3u", ".")] {
        std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
    }
    let names = ["pipe.m3u", "socket.m3u8", "zero.pls", "round.m3u", "dir.m3u"];
    let entries = expand(&names.map(|name| named(&dir, name)));
    let words: Vec<&str> = entries[..4].iter().map(detail).collect();
    let why = [
        "it is a pipe, not a file",
        "No such device or address (os error 6)",
        "it is a device, not a file",
        "Too many levels of symbolic links (os error 40)",
    ];
    assert_eq!(words, why.map(|why| format!("the list cannot be read: {why}")));
    assert_eq!(items(&dir, &entries[4..]), ["dir.m3u/a.mp4"]);
}

#[test]
fn nested_local_lists_are_bounded() {
    // Each list names itself by another path, twice; a thousand lines name an empty list.
    let round = "sub/../round.m3u\nsub/../round.m3u\n";
    let many = "none.m3u\n".repeat(5000);
    let dir = tree(&[("round.m3u", round), ("sub/x", ""), ("none.m3u", "#\n"), ("many.m3u", &many)]);
    for depth in 0..20 {
        fs::write(dir.path().join(format!("{depth}.m3u")), format!("{}.m3u\n", depth + 1)).unwrap();
    }
    assert_eq!(detail(&expand(&[named(&dir, "round.m3u")])[0]), "the list names itself");
    let deep = expand(&[named(&dir, "0.m3u")]);
    assert_eq!((deep.len(), detail(&deep[0])), (1, "it is a list, 8 lists deep: name it directly"));
    let wide = expand(&[named(&dir, "many.m3u"), named(&dir, "sub")]);
    assert_eq!(wide.len(), MAX_LISTS + 1);
    assert!(
        detail(&wide[MAX_LISTS - 1]).starts_with("the lists name over 1000 lists"),
        "{:?}",
        wide[MAX_LISTS - 1]
    );
    assert_eq!(items(&dir, &wide[MAX_LISTS..]), ["sub/x"]);
}

#[test]
fn the_same_name_twice_is_two_entries() {
    let dir = TempDir::new().unwrap();
    let entries = expand(&["a", "j", "b", "j"].map(|name| named(&dir, name)));
    assert_eq!(entries.iter().map(|e| e.key.nth).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn titles_are_one_line() {
    let mut entry = file_entry("/x/two\nlines.tar.mp4".into());
    assert_eq!(entry.title(), "two lines.tar");
    entry.title = Some(" given\t".into());
    assert_eq!(entry.title(), "given");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// Sorting panics on an inconsistent order.
    #[test]
    fn natural_order_is_total(names in prop::array::uniform3("[ab012. -]{0,5}")) {
        let [a, b, c] = names.map(|name| NaturalOrder(name.into()));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }
}

proptest! {
    #[test]
    fn any_list_is_expanded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let local = named_in(Path::new("/nowhere/list"), &bytes).unwrap_or_default();
        let entries = expand(&local);
        prop_assert!(entries.len() >= local.len());
        let remote = expand_remote("http://h/d/list.m3u", &bytes).ok().flatten().unwrap_or_default();
        prop_assert!(remote.iter().all(|entry| !matches!(entry.kind, EntryKind::File(_))));
        for entry in entries.iter().chain(&remote) {
            let shown = format!("{}{}", entry.key.item, entry.title());
            prop_assert!(!shown.contains(char::is_control), "{entry:?}");
        }
    }

    #[test]
    fn any_url_is_handled(base in "[a-z]{1,4}://\\PC{0,20}", target in "\\PC{0,30}") {
        let entries = expand_remote(&base, target.as_bytes());
        let entries = entries.ok().flatten().unwrap_or_default();
        prop_assert!(entries.len() <= 1 || target.contains(char::is_control));
        let _ = entries.first().map(PlaylistEntry::title);
    }
}
