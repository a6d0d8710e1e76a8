//! A timetable on air: slots of the real `tgs-stream` cut in on their second, end, are joined after
//! a restart, and follow edits of the file.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use tgs_control::{AsRunEntry, AsRunKind, Timestamp};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::clip,
    flvcheck::Report,
    ingest::Ingest,
};

const LIMIT: Duration = Duration::from_mins(1);

/// How far a start may be off here, where other tests run beside it. The bench measures it.
const OFF: u64 = 1500;

fn entries(dir: &Path) -> Vec<AsRunEntry> {
    let text = fs::read_to_string(dir.join("state/as-run.jsonl")).unwrap_or_default();
    let mut entries: Vec<AsRunEntry> = Vec::new();
    for entry in text.lines().filter_map(|line| serde_json::from_str::<AsRunEntry>(line).ok()) {
        match entries.iter_mut().find(|known| known.n == entry.n) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    entries.sort_by_key(|entry| entry.start);
    entries
}

/// The time `seconds` from now, as a timetable in UTC writes it, and as a time of the log.
fn moment(seconds: i64) -> (String, Timestamp) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let at = (now + seconds) as u64;
    let of_day = at % 86_400;
    (format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60), Timestamp(at * 1000))
}

fn clips(dir: &Path) {
    let long = clip("twenty", (320, 180), "30", 44_100, 20_000);
    for name in ["a", "b", "c", "film/1", "film/2", "film/3"] {
        fs::create_dir_all(dir.join("film")).unwrap();
        long.copy_to(&dir.join(format!("{name}.mp4"))).unwrap();
    }
    clip("five", (320, 180), "30", 44_100, 5_000).copy_to(&dir.join("news.mp4")).unwrap();
    fs::write(dir.join("list.txt"), "a.mp4\nb.mp4\nc.mp4\n").unwrap();
}

fn write(dir: &Path, slots: &str) {
    fs::write(dir.join("new.toml"), format!("timezone = \"UTC\"\n{slots}")).unwrap();
    fs::rename(dir.join("new.toml"), dir.join("timetable.toml")).unwrap();
}

/// An ingest, and a broadcast to it with a timetable of these slots, on air.
fn start_with(dir: &Path, slots: &str) -> (Ingest, Broadcast) {
    clips(dir);
    write(dir, slots);
    let ingest = Ingest::start().unwrap();
    let launch = Launch::to(ingest.url("key")).unwrap().keeping(dir);
    let launch = launch.arg("--playlist").arg(dir.join("list.txt"));
    let launch = launch.set("SCHEDULE", dir.join("timetable.toml")).set("SCHEDULE_PREROLL", "10s");
    let broadcast = launch.start().unwrap();
    broadcast.wait_item("", 1, LIMIT).unwrap();
    (ingest, broadcast)
}

fn wait_for(broadcast: &Broadcast, dir: &Path, what: &str, such: impl Fn(&AsRunEntry) -> bool) -> AsRunEntry {
    broadcast.until(what, LIMIT, || entries(dir).into_iter().find(|entry| such(entry))).unwrap()
}

fn of(lane: &str) -> impl Fn(&AsRunEntry) -> bool + '_ {
    move |entry| entry.lane.as_deref() == Some(lane)
}

/// The list again behind a slot that began `after` then. On a busy machine filler may have
/// interrupted an item before.
fn back(after: Timestamp) -> impl Fn(&AsRunEntry) -> bool {
    move |entry| entry.resumed && entry.lane.is_none() && entry.start > after
}

#[test]
fn a_hard_slot_cuts_in_on_its_second_and_the_list_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (ingest, mut broadcast) = start_with(dir, "");
    let (at, time) = moment(14);
    write(dir, &format!("[[slot]]\nname = \"News\"\nat = \"{at}\"\nplay = \"news.mp4\"\n"));
    let news = wait_for(&broadcast, dir, "the slot", of("News"));
    let back = wait_for(&broadcast, dir, "the list again", back(news.start));
    broadcast.stop().unwrap();

    let all = entries(dir);
    let shown = || format!("{all:#?}\n{}", broadcast.log());
    assert_eq!((news.planned_start, news.offset_seconds), (Some(time), Some(0.0)), "{}", shown());
    assert!(news.start.0.abs_diff(time.0) <= OFF, "{}", shown());
    let news = all.iter().find(|entry| entry.n == news.n).unwrap();
    assert_eq!(news.ended.as_deref(), Some("played"), "{}", shown());
    let cut = all.iter().find(|entry| entry.end == Some(news.start)).unwrap();
    assert_eq!((cut.ended.as_deref(), &cut.title), (Some("interrupted"), &back.title), "{}", shown());
    // A cut at a keyframe repeats nothing: the end is the last picture's place.
    let repeated = cut.end_offset_seconds.unwrap() - back.offset_seconds.unwrap();
    assert!((-0.05..=2.1).contains(&repeated), "{repeated} s are shown again; {}", shown());
    // Before the slot it only shows that the machine is busy.
    let since = all.iter().filter(|entry| entry.start >= cut.start);
    assert!(since.into_iter().all(|entry| entry.kind != AsRunKind::Filler), "{}", shown());
    let record = ingest.record().unwrap();
    Report::of_tags(&record.tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
}

#[test]
fn a_restart_joins_the_slot_where_it_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (at, time) = moment(-25);
    let slot = format!("[[slot]]\nname = \"Film\"\nat = \"{at}\"\nplay = \"film/\"\nfor = \"10m\"\n");
    let (_ingest, mut broadcast) = start_with(dir, &format!("{slot}fill_mode = \"loop\"\n"));
    let film = wait_for(&broadcast, dir, "the slot", of("Film"));
    broadcast.stop().unwrap();
    // Three parts of 20 s in a loop. It was opened some seconds before it was on air.
    let would_be = film.start.millis_since(time) as f64 / 1000.0;
    let part = Path::new(film.id.as_deref().unwrap()).file_stem().unwrap().to_str().unwrap();
    let is_at = f64::from(part.parse::<u32>().unwrap() - 1) * 20.0 + film.offset_seconds.unwrap();
    let behind = (would_be - is_at).rem_euclid(60.0);
    assert!(!(15.0..=58.0).contains(&behind), "{behind} s behind; {}", broadcast.log());
}

#[test]
fn an_edit_is_taken_at_once_and_a_broken_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_ingest, mut broadcast) = start_with(dir, "");
    write(dir, "[[slot]]\nname = \"News\"\nat = \"25:00\"\nplay = \"news.mp4\"\n");
    let refused = broadcast.wait_log(&["the edited timetable is not used", "line 4"], LIMIT).unwrap();
    assert!(refused.text.contains("timetable.toml"), "{}", refused.text);
    let (at, _) = moment(4);
    write(dir, &format!("[[slot]]\nname = \"News\"\nat = \"{at}\"\nplay = \"news.mp4\"\nfor = \"30s\"\n"));
    let news = wait_for(&broadcast, dir, "the new slot", of("News"));
    write(dir, "");
    broadcast.wait_log(&["“News” was removed from the timetable"], LIMIT).unwrap();
    wait_for(&broadcast, dir, "the list again", back(news.start));
    broadcast.stop().unwrap();
}

/// Two small grey pictures a second of a recording.
fn pictures(file: &Path) -> Vec<Vec<u8>> {
    const SIZE: usize = 160 * 90;
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-vf", "fps=2,scale=160:90,format=gray", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(done.stdout.len() >= SIZE, "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout.chunks_exact(SIZE).map(<[u8]>::to_vec).collect()
}

/// The mean difference of two pictures, in levels.
fn difference(one: &[u8], other: &[u8]) -> f64 {
    let sum: u32 = one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other))).sum();
    f64::from(sum) / one.len() as f64
}

#[test]
fn the_slate_after_an_early_end_says_when_the_list_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (ingest, mut broadcast) = start_with(dir, "");
    let slates = || -> Vec<PathBuf> {
        let kept = fs::read_dir(dir.join("cache")).unwrap().map(|entry| entry.unwrap().path());
        kept.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("filler-")).collect()
    };
    let usual = slates();
    let (at, _) = moment(12);
    let slot = format!("[[slot]]\nname = \"News\"\nat = \"{at}\"\nplay = \"news.mp4\"\nfor = \"20s\"\n");
    write(dir, &format!("{slot}fill_mode = \"slate\"\n"));
    broadcast.wait_log(&["filler on air: “News” is over before its time"], LIMIT).unwrap();
    let news = wait_for(&broadcast, dir, "the slot", of("News"));
    wait_for(&broadcast, dir, "the list again", back(news.start));
    broadcast.stop().unwrap();
    let own: Vec<_> = slates().into_iter().filter(|path| !usual.contains(path)).collect();
    assert_eq!((usual.len(), own.len()), (1, 1), "{}", broadcast.log());
    let (usual, own) = (pictures(&usual[0]).remove(0), pictures(&own[0]).remove(0));
    assert!(difference(&usual, &own) > 1.0, "the two slates look the same");
    let received = dir.join("received.flv");
    ingest.record().unwrap().write_flv(&received).unwrap();
    let shown = pictures(&received).iter().filter(|seen| difference(seen, &own) < 0.5).count();
    // 15 s, but for the picture at a change and a late start.
    assert!((20..=31).contains(&shown), "shown for {} s", shown as f64 / 2.0);
}
