//! The file of a timetable: what is read, and how each fault is reported.

use std::time::Duration;

use proptest::prelude::*;
use tgs_schedule::{End, Fill, Late, Order, Pick, StartKind, Timetable};

const EXAMPLE: &str = r#"timezone = "Europe/Moscow"     # without: the host's
[[slot]]
name  = "Evening news"
days  = "mon-fri"              # or daily, sat,sun, a date 2026-12-31, "first mon"
at    = "20:00:00"
play  = "news/"                # any SOURCE or list
pick  = "newest"
count = 2
start = "hard"                 # cut in at the second; "soft": after the item on air
for   = "30m"                  # or until = "20:30"; without: to the end of what it plays
fill  = "promos/"              # what plays if it is over early
late  = "restart"

[[slot]]
name = "Ночь"
at = 23:00:00
days = 2026-12-31
play = "http://host/night.m3u?token=secret"
until = "01:30"
start = "soft"
fill_mode = "loop"
late = "skip"

[[slot]]
name = "Morning"
at = "6:00"
play = "morning/"
"#;

#[test]
fn every_key_is_read() {
    let timetable = Timetable::parse(EXAMPLE).unwrap();
    assert_eq!(timetable.timezone(), "Europe/Moscow");
    let [news, night, morning] = timetable.slots() else { panic!("three slots") };
    assert_eq!(
        (news.name.as_str(), news.days.to_string().as_str(), news.line),
        ("Evening news", "mon-fri", 2)
    );
    assert_eq!((news.at.to_string().as_str(), news.play.as_str()), ("20:00:00", "news/"));
    assert_eq!(news.pick, Some(Pick { order: Order::Newest, count: 2 }));
    assert_eq!((news.start, news.end), (StartKind::Hard, Some(End::For(Duration::from_mins(30)))));
    assert_eq!((&news.fill, news.late), (&Fill::Source("promos/".to_owned()), Late::Restart));

    assert_eq!(
        (night.name.as_str(), night.days.to_string().as_str(), night.line),
        ("Ночь", "2026-12-31", 14)
    );
    assert_eq!((night.start, &night.fill, night.late), (StartKind::Soft, &Fill::Loop, Late::Skip));
    assert!(matches!(night.end, Some(End::Until(until)) if until.to_string() == "01:30:00"));

    let defaults =
        (morning.days.to_string(), morning.pick, morning.start, morning.end, &morning.fill, morning.late);
    assert_eq!(defaults, ("daily".to_owned(), None, StartKind::Hard, None, &Fill::List, Late::Join));
}

#[test]
fn a_timetable_without_slots_is_one() {
    assert_eq!(Timetable::parse("timezone = \"UTC\"\n").unwrap().slots().len(), 0);
    // The zone of the host, whichever it is.
    assert!(!Timetable::parse("").unwrap().timezone().is_empty());
}

fn problems(text: &str) -> String {
    Timetable::parse(text).expect_err("problems").to_string()
}

/// A slot without a fault, and `lines` below.
fn slot(lines: &str) -> String {
    format!("timezone = \"UTC\"\n[[slot]]\nname = \"News\"\nat = \"20:00\"\nplay = \"news/\"\n{lines}\n")
}

#[test]
fn all_problems_of_a_file_are_reported_with_their_lines() {
    let text = r#"timezon = "Europe/Moscow"
timezone = "Moscow"
start = "hard"

[[slot]]
title = "Evening news"
days = "mon-fir"
at = "25:00"
play = ""
pick = "newst"
count = 0
start = "hrad"
for = "30"
until = 2026-01-01
fill = "http://host/?token=secret"
fill_mode = "slat"
late = "http://host/?token=secret"
colour = "red"

[[slot]]
name = "Night"
at = 7
days = ["sat", "sun"]

[other]
x = 1
"#;
    insta::assert_snapshot!(problems(text));
}

#[test]
fn every_other_message() {
    let name =
        |name: &str| format!("timezone = \"UTC\"\n[[slot]]\nname = {name}\nat = \"20:00\"\nplay = \"a\"\n");
    let cases = [
        "at = \"20:00\"\nat".to_owned(),
        "timezone = 3".to_owned(),
        "timezone = \"UTC\"\n[slot]\nname = \"News\"".to_owned(),
        "timezone = \"UTC\"\nslot = [{ name = \"News\" }]".to_owned(),
        "timezone = \"UTC\"\n[[slots]]\nname = \"News\"".to_owned(),
        "timezone = \"UTC\"\n[[event]]\nname = \"News\"".to_owned(),
        name("\"\""),
        name("\"a\\nb\""),
        name(&format!("{:?}", "x".repeat(201))),
        name("3"),
        slot("name = \"again\""),
        slot("until = \"20:00:00\""),
        slot("for = \"30m\"\nuntil = \"20:30\""),
        slot("for = \"8d\""),
        slot("for = \"0s\""),
        slot("for = \"1h30m\""),
        slot("for = 30"),
        slot("until = \"24:00\""),
        slot("until = 20:30:00.5"),
        slot("days = 2026-12-31T20:00:00"),
        slot("count = 2"),
        slot("pick = \"random\"\ncount = \"2\""),
        slot("fill = \"promos/\""),
        slot("fill_mode = \"loop\""),
        slot("for = \"30m\"\nfill = \"promos/\"\nfill_mode = \"loop\""),
        slot("for = \"30m\"\nfill = \"a\\tb\""),
        slot(&format!("for = \"30m\"\nfill = {:?}", "x".repeat(4097))),
        slot("late = true"),
        slot("duration = \"30m\""),
    ];
    let shown: Vec<_> = cases.iter().map(|text| problems(text)).collect();
    insta::assert_snapshot!(shown.join("\n---\n"));
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(
        problems(&"#".repeat((1 << 20) + 1)),
        "line 1: the file is longer than 1 MiB, the limit; shorten it"
    );
    let one = "[[slot]]\nname = \"a\"\nat = \"20:00\"\nplay = \"a\"\n";
    let many = |count| format!("timezone = \"UTC\"\n{}", one.repeat(count));
    assert_eq!(Timetable::parse(&many(1000)).unwrap().slots().len(), 1000);
    assert_eq!(problems(&many(1001)), "line 4002: there are 1001 slots, more than 1000, the limit");
    // As many problems as slots: the first fifty are shown.
    let faulty = format!("timezone = \"UTC\"\n{}", "[[slot]]\nname = \"a\"\nat = \"20:00\"\n".repeat(1000));
    let problems = Timetable::parse(&faulty).unwrap_err();
    assert_eq!((problems.list.len(), problems.more), (50, 950));
    assert!(problems.to_string().ends_with("\nand 950 more"));
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("x = {}", "[".repeat(100_000));
    assert!(problems(&text).starts_with("line 1: is not TOML"));
}

/// Texts that are nearly timetables.
fn nearly() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[[slot]]".to_owned()),
        Just("[slot]".to_owned()),
        "(name|days|at|play|pick|count|start|for|until|fill|fill_mode|late|timezone|[a-z_]{1,9}) = \"[^\"\\\\\n]{0,20}\"",
        "(days|at|until|for) = \"[0-9a-z:, -]{0,12}\"",
        "(at|until|days|count) = [0-9:T-]{1,20}",
        ".{0,30}",
    ];
    proptest::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_panics_and_each_refusal_has_a_line(text in nearly()) {
        match Timetable::parse(&text) {
            Ok(timetable) => prop_assert!(timetable.slots().len() <= text.lines().count()),
            Err(problems) => {
                prop_assert!(!problems.list.is_empty());
                let lines = text.lines().count().max(1) + 1;
                prop_assert!(problems.list.iter().all(|one| (1..=lines).contains(&one.line)));
            }
        }
    }
}
