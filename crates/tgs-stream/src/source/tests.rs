//! What paths, folders, lines and URLs are taken for.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn named(dir: &TempDir, text: impl Into<OsString>) -> Named {
    Named { text: text.into(), title: None, dir: dir.path().to_owned(), origin: None }
}

/// Identities, with the directory left out.
fn items(dir: &TempDir, entries: &[Entry]) -> Vec<String> {
    let dir = format!("{}/", dir.path().display());
    entries.iter().map(|e| e.key.item.replace(&dir, "")).collect()
}

fn detail(entry: &Entry) -> &str {
    match &entry.what {
        What::Bad(failure) => &failure.detail,
        other => panic!("{other:?} is not refused"),
    }
}

#[test]
fn a_media_file_is_no_list() {
    let dir = tree(&[("film.mp4", "\0\0\0 ftypisom"), ("list.txt", "film.mp4\n")]);
    let refused = read_list(&dir.path().join("film.mp4")).unwrap_err().to_string();
    assert!(refused.starts_with("it is no list but a media file"), "{refused}");
    assert_eq!(read_list(&dir.path().join("list.txt")).unwrap(), b"film.mp4\n");
}

#[test]
fn urls_by_what_opens_them() {
    let direct = |url: &str, live| What::Direct { url: url.into(), live };
    let page = |url: &str| What::Page { url: url.into(), index: None };
    let cases = [
        ("http://h/a.mp4", direct("http://h/a.mp4", false)),
        ("HTTPS://h/a%20b.MKV?x=1#t", direct("HTTPS://h/a%20b.MKV?x=1#t", false)),
        ("https://h/a b.mp3", direct("https://h/a%20b.mp3", false)),
        ("ftp://h/a", direct("ftp://h/a", false)),
        ("rtmp://h/app/x", direct("rtmp://h/app/x", true)),
        ("rtsp://h:554/x.mp4", direct("rtsp://h:554/x.mp4", true)),
        ("srt://h:9000?mode=caller", direct("srt://h:9000?mode=caller", true)),
        ("https://h/live/index.m3u8?t=1", What::List("https://h/live/index.m3u8?t=1".into())),
        ("http://h/radio.m3u", What::List("http://h/radio.m3u".into())),
        ("https://h/watch?v=a.mp4", page("https://h/watch?v=a.mp4")),
        ("https://h.mp4", page("https://h.mp4")),
    ];
    for (text, what) in cases {
        let dir = TempDir::new().unwrap();
        let entries = expand(&[named(&dir, text)]);
        assert_eq!((entries.len(), &entries[0].what), (1, &what), "{text}");
    }
    let dir = TempDir::new().unwrap();
    let odd =
        expand(&[named(&dir, "gopher://h/a.mp4"), named(&dir, OsString::from_vec(b"http://h/\xff".into()))]);
    assert_eq!(detail(&odd[0]), "nothing here can open a gopher:// address");
    assert_eq!(detail(&odd[1]), "it is a URL that is not valid UTF-8");
}

#[test]
fn a_password_is_no_part_of_the_identity() {
    let dir = TempDir::new().unwrap();
    let entries = expand(&[named(&dir, "rtsp://me:pa:s@cam/1"), named(&dir, "https://me@h/watch?u=a@b")]);
    assert_eq!(items(&dir, &entries), ["rtsp://cam/1", "https://h/watch?u=a@b"]);
    assert_eq!(entries[0].what, What::Direct { url: "rtsp://me:pa:s@cam/1".into(), live: true });
    assert_eq!((&*entries[0].title(), &*entries[1].title()), ("1", "h/watch?u=a@b"));
}

#[test]
fn a_folder_in_natural_order_without_what_is_no_media() {
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
fn lists_are_opened_relative_to_themselves() {
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
fn lists_that_cannot_be_opened_say_so() {
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
    let entries = expand_remote("http://h/d/e/list.m3u", text);
    let got: Vec<&str> = entries.iter().map(|e| &*e.key.item).collect();
    assert_eq!(
        got,
        ["http://h/d/e/a.mp4", "http://h/b.mp4", "file:///etc/passwd", "rtmp://h/x", "http://h/d/w?v=1"]
    );
    assert_eq!(detail(&entries[2]), "a list from the network may not name local files");
    assert_eq!(entries[4].title(), "T");
}

#[test]
fn the_same_name_twice_is_two_entries() {
    let dir = TempDir::new().unwrap();
    let entries = expand(&["a", "j", "b", "j"].map(|name| named(&dir, name)));
    assert_eq!(entries.iter().map(|e| e.key.nth).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn titles_are_one_line() {
    let mut entry = at_path("/x/two\nlines.tar.mp4".into());
    assert_eq!(entry.title(), "two lines.tar");
    entry.title = Some(" given\t".into());
    assert_eq!(entry.title(), "given");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// Sorting panics where an order contradicts itself.
    #[test]
    fn natural_order_is_an_order(names in prop::array::uniform3("[ab012. -]{0,5}")) {
        let [a, b, c] = names.map(|name| Natural(name.into()));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }
}

proptest! {
    #[test]
    fn no_list_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let local = named_in(Path::new("/nowhere/list"), &bytes);
        prop_assert!(expand(&local).len() >= local.len());
        for entry in expand_remote("http://h/d/list.m3u", &bytes) {
            prop_assert!(!matches!(entry.what, What::File(_)));
            let _ = entry.title();
        }
    }

    #[test]
    fn no_url_is_too_odd(base in "[a-z]{1,4}://\\PC{0,20}", target in "\\PC{0,30}") {
        let entries = expand_remote(&base, target.as_bytes());
        prop_assert!(entries.len() <= 1);
        let _ = entries.first().map(Entry::title);
    }
}
