//! The list as `tgs-stream` plays it: what it names and in which order, and its edits while it
//! plays.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{fs, path::Path, time::Duration};

use tgs_control::OnAir;
use tgs_e2e::{
    broadcast::Launch,
    clips::{Clip, clip},
    flvcheck::Report,
};

const LIMIT: Duration = Duration::from_mins(1);

fn short() -> Clip {
    clip("second", (320, 180), "30", 44_100, 1000)
}

/// With `READ_AHEAD=3s`, an edit in its first 7 s is in time for what follows it.
fn long() -> Clip {
    clip("ten", (320, 180), "30", 44_100, 10_000)
}

/// Puts copies of a clip at these names into a folder.
fn copies(clip: &Clip, folder: &Path, names: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    for name in names {
        clip.copy_to(&folder.join(name)).unwrap();
    }
}

#[test]
fn edits_are_taken_at_the_next_item_and_one_that_leaves_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    copies(&long(), dir.path(), &["a.mp4", "b.mp4", "c.mp4"]);
    copies(&short(), dir.path(), &["d.mp4"]);
    let list = dir.path().join("list.txt");
    fs::write(&list, "a.mp4\nb.mp4\nd.mp4\n").unwrap();
    let launch = Launch::to("out.flv").unwrap().arg("--realtime").arg("--playlist").arg(&list);
    let mut broadcast = launch.set("READ_AHEAD", "3s").start().unwrap();
    broadcast.wait_item("a", 1, LIMIT).unwrap();
    // Written in place.
    fs::write(&list, "gone.mp4\n# nothing else\nhttp.mp4\n").unwrap();
    broadcast.wait_item("b", 1, LIMIT).unwrap();
    // Put in its place, as editors do.
    fs::write(dir.path().join("new"), "b.mp4\nc.mp4\n").unwrap();
    fs::rename(dir.path().join("new"), &list).unwrap();
    broadcast.wait_item("c", 1, LIMIT).unwrap();
    broadcast.stop().unwrap();
    assert_eq!(broadcast.on_air(), ["a", "b", "c"]);
    let warnings: Vec<_> =
        broadcast.warnings().into_iter().filter(|line| line.contains("list.txt")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [list.to_str().unwrap(), "the old list stays in use", "gone: there is no such file"] {
        assert!(warnings[0].contains(part), "“{part}” is not in {}", warnings[0]);
    }
    Report::of_file(&broadcast.dir().join("out.flv")).unwrap().check(30.0, 44_100.0).unwrap();
}

/// The items that these sources publish, once, started in `dir`.
fn on_air(dir: &Path, args: &[&str]) -> Vec<String> {
    let launch = Launch::to("out.flv").unwrap().within(dir).arg("--once").play(args);
    let broadcast = launch.finish(LIMIT).unwrap();
    assert_eq!(broadcast.warnings(), [""; 0]);
    broadcast.on_air()
}

#[test]
fn a_folder_plays_in_the_order_of_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let show = dir.path().join("show");
    copies(&short(), &show, &["Ep 10.mp4", "Ep 9.mp4", "Ep 1.mp4", ".hidden.mp4", "Ep 1b.mp4"]);
    fs::write(show.join("notes.txt"), "Ep 3 is lost\n").unwrap();
    fs::write(show.join("Ep 1.srt"), "1\n").unwrap();
    assert_eq!(on_air(dir.path(), &["show"]), ["Ep 1", "Ep 1b", "Ep 9", "Ep 10"]);
}

#[test]
fn lines_are_read_from_the_playlist_files_own_place() {
    let dir = tempfile::tempdir().unwrap();
    let lists = dir.path().join("lists");
    let names = ["-v.mp4", "it's \"2\".mp4", "é #1.mp4", "per%20cent.mp4", "a b.mp4", "e.mp4"];
    copies(&short(), &lists, &names);
    copies(&short(), &lists.join("--once"), &["in a folder.mp4"]);
    copies(&short(), dir.path(), &["here.mp4", "-c.mp4"]);
    let url = format!("file://{}", lists.join("a%20b.mp4").display());
    let absolute = lists.join("e.mp4");
    let text = format!(
        "\u{feff}# a comment\r\n-v.mp4\r\n\r\n  it's \"2\".mp4  \r\né #1.mp4\nper%20cent.mp4\n--once\n../here.mp4\n\
         {url}\n{}",
        absolute.display()
    );
    fs::write(lists.join("tv.txt"), text).unwrap();
    let titles = on_air(dir.path(), &["--playlist", "lists/tv.txt", "--", "-c.mp4"]);
    let expected = ["-c", "-v", "it's \"2\"", "é #1", "per%20cent", "in a folder", "here", "a b", "e"];
    assert_eq!(titles, expected);
}

#[test]
fn titles_of_an_m3u_list_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    copies(&long(), dir.path(), &["a.mp4"]);
    let title = "Täg \"one\", <two>";
    fs::write(dir.path().join("tv.m3u"), format!("#EXTM3U\n#EXTINF:10 x=\"a,b\",{title}\na.mp4\n")).unwrap();
    let launch = Launch::to("out.flv").unwrap().within(dir.path()).arg("--realtime").arg("tv.m3u");
    let mut broadcast = launch.start().unwrap();
    broadcast.wait_item("Täg \"one\", <two>", 1, LIMIT).unwrap();
    let OnAir::Item(item) = broadcast.status().unwrap().engine.on_air else { panic!("no item is on air") };
    assert_eq!(item.title, title);
    assert_eq!(item.id, dir.path().join("a.mp4").to_str().unwrap());
    assert!((item.duration_seconds.unwrap() - 10.0).abs() < 0.1, "{item:?}");
    broadcast.stop().unwrap();
}
