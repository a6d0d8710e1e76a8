//! The disk of the cache is full while a broadcast writes to it. Root only: it mounts a small disk
//! of its own.

use std::{fs, time::Duration};

use tgs_e2e::{
    broadcast::{Launch, until},
    clips::noisy,
    disk::Disk,
    flvcheck::Report,
    ingest::Ingest,
};
use tgs_rtmp::flv::{Kind, Tag};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_full_disk_is_reported_once_and_the_broadcast_does_not_notice() {
    let disk = Disk::of("8m").unwrap();
    let ingest = Ingest::start().unwrap();
    let names = ["full1", "full2", "full3", "full4", "full5", "full6"];
    // The first is longer than the read-ahead, so that its encoder waits.
    let length = |name| if name == "full1" { 12_000 } else { 3000 };
    let clips: Vec<_> = names.map(|name| noisy(name, length(name)).path().unwrap()).into();
    let mut broadcast = Launch::to(ingest.url("key"))
        .unwrap()
        .set("CACHE_DIR", disk.path())
        .set("CACHE_MAX_GB", "1")
        .arg("--once")
        .play(&clips)
        .start()
        .unwrap();
    let items = disk.path().join("items");
    let count = |begin: &str| {
        let names = fs::read_dir(&items).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with(begin)).count()
    };
    // The first is being written when others take the rest of the disk, and the next two find none.
    until("the first write", 30 * SECOND, || (count("part-") > 0).then_some(())).unwrap();
    disk.fill(64 << 10).unwrap();
    broadcast.wait_item("full3", 1, 60 * SECOND).unwrap();
    assert_eq!(count("item-"), 0, "{}", broadcast.log());
    disk.free().unwrap();
    assert!(broadcast.wait(60 * SECOND).unwrap().success(), "{}", broadcast.log());
    let told = broadcast.warnings().into_iter().filter(|line| line.contains("cannot cache items in")).count();
    assert_eq!(told, 1, "{}", broadcast.log());
    // Two of them at least were begun only after the disk was free again.
    assert!(count("item-") >= 1, "with room again, items are kept again: {}", broadcast.log());

    ingest.wait_ended(5 * SECOND).unwrap();
    let tags: Vec<Tag> = ingest.record().unwrap().tags().filter(|tag| tag.kind != Kind::Script).collect();
    let report = Report::of_tags(&tags);
    report.check(30.0, 44_100.0).unwrap();
    assert!(report.video.frames >= (12 + 5 * 3) * 30 - 6, "{report:?}\n{}", broadcast.log());
}
