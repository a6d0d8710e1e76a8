//! The plan of a day, as the terminal shows it.

use std::time::Duration;

use tgs_schedule::{
    Slot, Timetable,
    plan::{Plan, PlanItem, RowKind, SlotContents},
};

/// Contents by `play`: lengths in minutes as `30+15`, `?` for an unknown one, `!` for a missing
/// file.
fn contents(slot: &Slot) -> SlotContents {
    if slot.play == "gone/" {
        return SlotContents { items: Vec::new(), problem: Some("no such folder".to_owned()) };
    }
    let item = |(index, text): (usize, &str)| PlanItem {
        title: format!("item {index}"),
        length: text.parse().ok().map(Duration::from_mins),
        problem: (text == "!").then(|| "no such file".to_owned()),
    };
    let items = slot.play.split('+').filter(|text| !text.is_empty()).enumerate().map(item).collect();
    SlotContents { items, problem: None }
}

fn plan(zone: &str, slots: &[&str], date: &str) -> Plan {
    let slots: Vec<_> =
        slots.iter().map(|slot| format!("[[slot]]\n{}\n", slot.replace("; ", "\n"))).collect();
    let timetable =
        Timetable::parse(&format!("timezone = \"{zone}\"\n{}", slots.concat())).expect("a timetable");
    let (from, to) = timetable.day(date).expect("a date");
    let plan = timetable.plan(from, to, &contents);
    // Without a gap, and without a row for nothing.
    let aired: Vec<_> = plan.rows.iter().filter(|row| row.kind != RowKind::Never).collect();
    let total: f64 = aired.iter().map(|row| row.length_seconds).sum();
    assert!((total - to.duration_since(from).expect("a day").as_secs_f64()).abs() < 0.001, "{plan}");
    assert!(
        aired
            .windows(2)
            .all(|pair| { pair[0].start + Duration::from_secs_f64(pair[0].length_seconds) == pair[1].start })
    );
    plan
}

#[test]
fn a_day() {
    let slots = [
        "name = 'Morning'; at = '06:00'; play = '120+90'; until = '09:00'",
        "name = 'Short news'; at = '07:30'; play = '10'",
        "name = 'Film'; at = '20:15'; play = '?'; start = 'soft'",
        "name = 'News'; days = 'mon-fri'; at = '20:00'; play = '5+5'; for = '15m'; fill = 'promos/'",
        "name = 'Series'; at = '14:00'; play = '20'; until = '15:00'; fill_mode = 'loop'",
        "name = 'Talk'; at = '15:00'; play = '20'; until = '16:00'; fill_mode = 'slate'",
        "name = 'Tea'; at = '16:00'; play = '20'; until = '17:00'",
        "name = 'Empty'; at = '17:30'; play = '!'; for = '10m'; fill = 'promos/'",
        "name = 'Gone'; at = '18:00'; play = 'gone/'",
        "name = 'Night'; at = '23:30'; play = '90'; until = '00:30'",
        "name = 'New year'; days = '2025-12-31'; at = '23:00'; play = '30'",
    ];
    insta::assert_snapshot!(plan("Europe/Moscow", &slots, "2026-03-02").to_string());
}

#[test]
fn overlaps() {
    let slots = [
        "name = 'Marathon'; at = '10:00'; play = '600'; for = '8h'",
        "name = 'Hard'; at = '12:00'; play = '30'; for = '30m'",
        "name = 'Soft'; at = '12:15'; play = '30'; start = 'soft'; for = '30m'",
        "name = 'Covered'; at = '14:00'; play = '10'; for = '10m'",
        "name = 'Covers'; at = '14:00'; play = '30'; for = '30m'",
        "name = 'Late'; at = '16:00'; play = '40'; for = '40m'",
        "name = 'Before'; at = '16:00'; play = '30'; for = '30m'",
        "name = 'Known'; at = '19:00'; play = '90'",
        "name = 'Next'; at = '20:00'; play = '10'",
        "name = 'Unknown'; at = '21:00'; play = '?'",
        "name = 'Last'; at = '22:00'; play = '10'",
    ];
    insta::assert_snapshot!(plan("UTC", &slots, "2026-03-02").to_string());
}

#[test]
fn a_day_of_23_hours_and_one_of_25() {
    let slots = [
        "name = 'Gap'; at = '02:30'; play = '20'; for = '20m'",
        "name = 'Over'; at = '02:10'; play = '20'; until = '02:40'",
        "name = 'Night'; at = '01:00'; play = '300'; until = '04:00'",
    ];
    let days = ["2026-03-29", "2026-10-25"].map(|date| plan("Europe/Berlin", &slots, date).to_string());
    insta::assert_snapshot!(days.join("\n"));
}

#[test]
fn a_plan_goes_through_json() {
    let slots = ["name = 'News'; at = '20:00'; play = '40+!'; for = '30m'; fill = 'http://h/?token=secret'"];
    let plan = plan("Europe/Moscow", &slots, "2026-03-02");
    let json = serde_json::to_string_pretty(&plan).unwrap();
    assert!(!json.contains("secret"));
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    insta::assert_snapshot!(json);
}

#[test]
fn each_slot_is_asked_once_and_only_if_it_is_due() {
    let text = "timezone = \"UTC\"\n[[slot]]\nname = \"a\"\nat = \"20:00\"\nplay = \"a\"\n[[slot]]\nname = \"b\"\n\
                days = \"2030-01-01\"\nat = \"20:00\"\nplay = \"b\"\n";
    let timetable = Timetable::parse(text).unwrap();
    let (from, _) = timetable.day("2026-03-02").unwrap();
    let (from, to) = timetable.days_from(from, 7).unwrap();
    let asked = std::cell::RefCell::new(Vec::new());
    let plan = timetable.plan(from, to, &|slot| {
        asked.borrow_mut().push(slot.name.clone());
        SlotContents::default()
    });
    assert_eq!(asked.into_inner(), ["a"]);
    assert_eq!(plan.rows.iter().filter(|row| row.kind == RowKind::Never).count(), 7);
    assert_eq!(
        timetable.day("2026-02-30").unwrap_err().to_string(),
        "has \"2026-02-30\", a date that does not exist"
    );
}
