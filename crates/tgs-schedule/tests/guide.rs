//! The guide shows a timetable that is one, and what the tools print of it.

use std::{fs, path::Path, time::Duration};

use tgs_schedule::{
    Slot, Timetable,
    plan::{PlanItem, SlotContents},
};

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/timetable.md");
    fs::read_to_string(path).expect("the guide")
}

/// The blocks of a language.
fn blocks(guide: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = guide.split(&begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The folders of the example: two news of a quarter of an hour in all, films for five hours.
fn contents(slot: &Slot) -> SlotContents {
    let lengths: &[u64] = if slot.play == "news/" { &[12, 14] } else { &[95, 110, 100] };
    let item = |length: &u64| PlanItem { length: Some(Duration::from_mins(*length)), ..PlanItem::default() };
    SlotContents { items: lengths.iter().map(item).collect(), problem: None }
}

#[test]
fn the_guide_shows_what_is_printed() {
    let guide = guide();
    let [example, faulty] = &blocks(&guide, "toml")[..] else { panic!("two files") };
    let timetable = Timetable::parse(example).unwrap();
    let (from, to) = timetable.day("2026-03-02").unwrap();
    let printed = timetable.plan(from, to, &contents).to_string();
    let printed = format!("$ tgs-stream --check --on 2026-03-02\n{printed}");
    assert!(blocks(&guide, "console").contains(&printed), "the guide does not show\n{printed}");
    let problems = format!("{}\n", Timetable::parse(faulty).unwrap_err());
    assert!(blocks(&guide, "text").contains(&problems), "the guide does not show\n{problems}");
}

#[test]
fn the_guide_has_a_row_for_each_key_and_field() {
    let guide = guide();
    let keys = "timezone name days at play pick count start for until fill fill_mode late";
    let fields = "slot fill list never starts resumed open overlap missing too_long clock_change past";
    for word in keys.split(' ').chain(fields.split(' ')) {
        assert!(guide.contains(&format!("`{word}`")), "the guide has no {word}");
    }
}
