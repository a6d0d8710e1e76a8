//! What a list says about its entries reaches folders, lists and pages, and stays within its
//! rights.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use super::*;

/// The entries of `list` in a folder with these files.
fn entries(files: &[&str], list: &str) -> (TempDir, Vec<PlaylistEntry>) {
    let dir = TempDir::new().unwrap();
    for name in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let path = dir.path().join("list.m3u");
    fs::write(&path, list).unwrap();
    let entries = expand(&named_in(&path, list.as_bytes()).unwrap());
    (dir, entries)
}

fn seconds(entry: &PlaylistEntry) -> (u64, Option<u64>) {
    let part = entry.part();
    (part.in_point.as_secs(), part.out_point.map(|out| out.as_secs()))
}

#[test]
fn a_line_speaks_for_all_files_of_its_folder() {
    let list = "#EXTVLCOPT:start-time=5\n#EXTVLCOPT:no-audio\nclips\n#EXTVLCOPT:stop-time=9\n#EXTVLCOPT:input-repeat=2\na.mp4\n";
    let (_dir, found) = entries(&["clips/1.mp4", "clips/2.mp4", "a.mp4"], list);
    let shown: Vec<_> = found.iter().map(|entry| (seconds(entry), entry.part().no_audio)).collect();
    let clip = ((5, None), true);
    let again = ((0, Some(9)), false);
    assert_eq!(shown, [clip, clip, again, again, again]);
    assert_eq!(
        found.iter().map(|entry| entry.in_folder).collect::<Vec<_>>(),
        [true, true, false, false, false]
    );
    assert_eq!(found.iter().map(|entry| entry.key.nth).collect::<Vec<_>>(), [0, 0, 0, 1, 2]);
}

#[test]
fn an_entry_of_a_list_in_a_list_speaks_for_itself_first() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("inner.m3u"), "a.mp4\n#EXTVLCOPT:start-time=1\nb.mp4\n").unwrap();
    let list = b"#EXTVLCOPT:start-time=7\ninner.m3u\n";
    let found = expand(&named_in(&dir.path().join("outer.m3u"), list).unwrap());
    assert_eq!(found.iter().map(seconds).collect::<Vec<_>>(), [(7, None), (1, None)]);
}

#[test]
fn a_day_of_ffplayout_in_a_list() {
    let day = r#"{"program": [{"source": "a.mp4", "in": 1, "out": 3, "duration": 9},
        {"source": "b.jpg", "out": 20, "duration": 20, "audio": "b.mp3"}]}"#;
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("day.json"), day).unwrap();
    let found = expand(&named_in(&dir.path().join("list"), b"day.json\n").unwrap());
    assert_eq!(found.iter().map(seconds).collect::<Vec<_>>(), [(1, Some(3)), (0, None)]);
    assert_eq!(found[1].part().still, Some(Duration::from_secs(20)));
    let sound = EntryKind::File(dir.path().join("b.mp3"));
    assert_eq!(found[1].sound.as_deref(), Some(&sound));
    assert_eq!(found[1].origin.as_ref().unwrap().line, 2);
}

#[test]
fn a_remote_list_names_no_sound_of_this_machine() {
    let list =
        b"#EXTVLCOPT:input-slave=/etc/passwd\na.mp4\n#EXTVLCOPT:input-slave=file:///etc/passwd\nb.mp4\n\
        #EXTVLCOPT:input-slave=s.mp3\nc.mp4\n#EXTVLCOPT:input-repeat=1000\nd.mp4\n";
    let found = expand_remote("http://h/d/l.m3u", list).unwrap().unwrap();
    let direct = |url: &str| EntryKind::Direct { url: url.into(), live: false };
    assert_eq!(found[0].sound.as_deref(), Some(&direct("http://h/etc/passwd")));
    assert!(matches!(found[1].sound.as_deref(), Some(EntryKind::Bad(_))), "{:?}", found[1].sound);
    assert_eq!(found[2].sound.as_deref(), Some(&direct("http://h/d/s.mp3")));
    assert_eq!(found.len(), 3 + 1001);
    let many = "#EXTVLCOPT:input-repeat=1000\nd.mp4\n".repeat(100);
    assert_eq!(expand_remote("http://h/l.m3u", many.as_bytes()).unwrap().unwrap().len(), MAX_REMOTE);
}

#[test]
fn changes_of_folders_and_lists_are_noticed() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("clips")).unwrap();
    fs::write(dir.path().join("clips/1.mp4"), "x").unwrap();
    fs::write(dir.path().join("in.m3u"), "a.mp4\n").unwrap();
    let named = named_in(&dir.path().join("list"), b"clips\nin.m3u\n").unwrap();
    let (entries, places) = expand_followed(&named);
    assert!(entries.len() == 2 && !places.changed());
    fs::write(dir.path().join("clips/2.mp4"), "x").unwrap();
    assert!(places.changed());
    let (entries, more) = expand_followed(&named);
    assert!(entries.len() == 3 && !more.changed() && !more.names_same(&places));
    fs::write(dir.path().join("clips/3.part"), "x").unwrap();
    assert!(more.changed() && expand_followed(&named).1.names_same(&more), "no other media");
    let (_, places) = expand_followed(&named);
    fs::write(dir.path().join("in.m3u"), "a.mp4\nb.mp4\n").unwrap();
    assert!(places.changed());
    fs::remove_dir_all(dir.path().join("clips")).unwrap();
    assert_eq!(expand_followed(&named).0.len(), 3, "a failure and the list");
    assert!(!expand_followed(&named_in(Path::new("/x"), b"http://h/a.mp4\n").unwrap()).1.changed());
}

#[test]
fn a_remote_list_interrupts_nothing() {
    let list = b"#TGS:every=1 weight=2\na.mp4\nb.mp4\n";
    let found = expand_remote("http://h/l.m3u", list).unwrap().unwrap();
    let options: Vec<_> = found.iter().map(|entry| (entry.options.every, entry.options.weight)).collect();
    assert_eq!(options, [(None, Some(2)), (None, None)]);
}
