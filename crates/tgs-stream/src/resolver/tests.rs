//! Tests of the resolver with scripts in the place of yt-dlp.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use tgs_playout::network::Network;

use crate::source::EntryKey;

fn resolver() -> Resolver {
    let ytdlp = YtDlp::new("/no/such/yt-dlp", "", 720).unwrap();
    Resolver {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        ytdlp,
        wanted: ProbeOptions::default(),
        cancel: Cancel::new(),
    }
}

fn at(path: &Path) -> PlaylistEntry {
    PlaylistEntry::new(path.to_string_lossy().into_owned(), EntryKind::File(path.to_owned()))
}

#[test]
fn files_are_checked_before_ffmpeg_runs() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let cases = [
        (dir.path().join("gone.mp4"), FailureReason::Missing, "there is no such file"),
        (
            write("a.mp4", "x").join("b.mp4"),
            FailureReason::Unplayable,
            "the file cannot be read: Not a directory (os error 20)",
        ),
        (write("empty.mp4", ""), FailureReason::Unplayable, "the file is empty"),
        ("/dev/zero".into(), FailureReason::Unplayable, "it is neither a file nor a directory"),
    ];
    for (path, reason, detail) in cases {
        assert_eq!(
            resolver().resolve(&at(&path)),
            Err(ItemFailure::new(reason, detail)),
            "{}",
            path.display()
        );
    }
    let locked = write("locked.mp4", "x");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
    // Root may read every file.
    if fs::File::open(&locked).is_err() {
        assert_eq!(resolver().resolve(&at(&locked)).unwrap_err().reason, FailureReason::Forbidden);
    }
}

#[test]
fn a_restricted_file_is_judged_by_where_it_leads_when_it_is_opened() {
    let dir = TempDir::new().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let name = |name: &str| dir.join(name);
    for folder in ["media", "media-old"] {
        fs::create_dir_all(name(folder)).unwrap();
    }
    for file in ["media/film.mp4", "media-old/film.mp4", "secret.mp4"] {
        fs::write(name(file), "x").unwrap();
    }
    fs::write(name("media/list.mp4"), "#EXTM3U\n/etc/passwd\n").unwrap();
    let link = |target: &str, from: &str| std::os::unix::fs::symlink(name(target), name(from)).unwrap();
    link("secret.mp4", "media/out.mp4");
    link(".", "media/away");
    link("media/film.mp4", "media/in.mp4");
    link("media", "library");
    let below: Option<std::sync::Arc<[PathBuf]>> = Some([name("none"), name("library")].into());
    let open = |path: &str| resolver().resolve(&PlaylistEntry { below: below.clone(), ..at(&name(path)) });
    let film = media(MediaSource::at(format!("file:{}", name("media/film.mp4").display())), false);
    for path in ["media/film.mp4", "library/film.mp4", "media/in.mp4", "media/../media/film.mp4"] {
        assert_eq!(open(path), film, "{path}");
    }
    for path in
        ["secret.mp4", "media-old/film.mp4", "media/out.mp4", "media/away/secret.mp4", "media/list.mp4"]
    {
        assert_eq!(open(path).unwrap_err().reason, FailureReason::Forbidden, "{path}");
    }
    assert_eq!(open("media/none.mp4").unwrap_err().reason, FailureReason::Missing);
    fs::remove_file(name("media/film.mp4")).unwrap();
    link("secret.mp4", "media/film.mp4");
    assert_eq!(open("media/film.mp4").unwrap_err().reason, FailureReason::Forbidden);
}

#[test]
fn a_failure_names_the_line() {
    let named = source::named_in(Path::new("/lists/tv.txt"), b"# mine\nnothing.mp4\n").unwrap();
    let entry = &source::expand(&named)[0];
    let failure = resolver().resolve(entry).unwrap_err();
    assert_eq!(failure.detail, "there is no such file (line 2 of /lists/tv.txt)");
}

#[test]
fn a_local_hls_playlist_plays_from_its_beginning_unless_it_grows() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.m3u8");
    let source = MediaSource { hls: true, ..MediaSource::at(format!("file:{}", path.display())) };
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n";
    fs::write(&path, list).unwrap();
    let ends = Some(Duration::from_secs(1));
    let expected = media(MediaSource { ends, ..source.clone() }, false);
    assert_eq!(resolver().resolve(&at(&path)), expected);
    fs::write(&path, format!("{list}#EXT-X-DISCONTINUITY\n#EXT-X-ENDLIST\n")).unwrap();
    assert_eq!(resolver().resolve(&at(&path)), media(MediaSource { jumps: true, ..source }, false));
    fs::write(&path, format!("{list}#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\"\n")).unwrap();
    assert!(resolver().resolve(&at(&path)).unwrap_err().detail.contains("DRM"));
}

#[test]
fn one_variant_of_a_master_playlist_is_opened() {
    let dir = TempDir::new().unwrap();
    let name = |name: &str| dir.path().join(name);
    let of = |name: &str| MediaSource {
        hls: true,
        ..MediaSource::at(format!("file:{}", dir.path().join(name).display()))
    };
    let ended = "#EXTM3U\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST\n";
    for list in ["720.m3u8", "1080.m3u8", "de.m3u8"] {
        fs::write(name(list), ended).unwrap();
    }
    let master = |sound: &str| {
        let variant = |lines: u32| {
            format!(
                "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION={}x{lines}{sound}\n{lines}.m3u8\n",
                lines * 16 / 9
            )
        };
        let media = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",DEFAULT=YES,URI=\"de.m3u8\"\n";
        format!("#EXTM3U\n{media}{}{}{}", variant(2160), variant(1080), variant(720))
    };
    let opened = |sound: &str| {
        fs::write(name("master.m3u8"), master(sound)).unwrap();
        match resolver().resolve(&at(&name("master.m3u8"))) {
            Ok(Resolved::Media { media, .. }) => (media.sources, media.live),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(opened(""), (vec![of("720.m3u8")], false));
    assert_eq!(opened(",AUDIO=\"a\""), (vec![of("720.m3u8"), of("de.m3u8")], false));
    // If it is missing, the next best; if all are missing, the master playlist.
    fs::remove_file(name("720.m3u8")).unwrap();
    assert_eq!(opened("").0, [of("1080.m3u8")]);
    fs::remove_file(name("1080.m3u8")).unwrap();
    assert_eq!(opened("").0, [of("master.m3u8")]);
}

#[test]
fn entries_know_the_lists_they_were_found_in() {
    let found = || {
        ["http://h/l", "http://h/a"]
            .map(|url| PlaylistEntry::new(url.into(), EntryKind::List(url.into())))
            .to_vec()
    };
    let mut parent = found()[0].clone();
    for depth in 1..=MAX_DEPTH {
        let Ok(Resolved::Entries(entries)) = entries_within(&parent, found(), Trust::Found(Network::Public))
        else {
            panic!("depth {depth}")
        };
        // A list's own entry is dropped.
        assert_eq!((entries.len(), entries[0].key.within.len()), (1, depth));
        parent = PlaylistEntry {
            key: EntryKey { item: format!("http://h/{depth}"), ..entries[0].key.clone() },
            ..parent
        };
    }
    assert_eq!(
        entries_within(&parent, found(), Trust::Found(Network::Public)).unwrap_err().detail,
        "it is a list, 4 lists deep: name it directly"
    );
    assert_eq!(
        entries_within(&found()[0], found()[..1].to_vec(), Trust::Found(Network::Public)).unwrap_err().reason,
        FailureReason::Unplayable
    );
}
