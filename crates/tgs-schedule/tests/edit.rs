//! Changes to the text keep what the user has written.

use proptest::prelude::*;
use tgs_schedule::{
    Timetable,
    edit::{EditError, NewSlot, add_slot, etag, move_slot, remove_slot},
};

const TEXT: &str = r#"# The channel's week.
timezone = "Europe/Moscow" # not the host's

# News, by Anna.
[[slot]]
name  = "Evening news"
at    = "20:00:00"   # prime time
until = '20:30'      # sharp
play  = "news/"

[[slot]]
name = "Night"   # quiet
at = 23:30:00
until = 00:15:00 # over midnight
play = "night/"
# The end.
"#;

fn show() -> NewSlot {
    NewSlot {
        name: "Шоу \"A\"".to_owned(),
        days: Some("sat".to_owned()),
        at: "21:00".to_owned(),
        play: "show/".to_owned(),
        pick: Some("newest".to_owned()),
        count: Some(2),
        length: Some("45m".to_owned()),
        ..NewSlot::default()
    }
}

#[test]
fn a_slot_is_added_below() {
    let text = add_slot(TEXT, &show()).unwrap();
    assert_eq!(Timetable::parse(&text).unwrap().slots()[2].name, "Шоу \"A\"");
    insta::assert_snapshot!(text);
    let first = add_slot("timezone = \"UTC\"\n", &show()).unwrap();
    insta::assert_snapshot!(first);
    assert_eq!(Timetable::parse(&add_slot("", &show()).unwrap()).unwrap().slots().len(), 1);
    // The last line has no end.
    assert_eq!(Timetable::parse(&add_slot(TEXT.trim_end(), &show()).unwrap()).unwrap().slots().len(), 3);
}

#[test]
fn a_slot_is_moved_with_its_end() {
    let text = move_slot(TEXT, 0, "7:45").unwrap();
    let lines: Vec<_> = TEXT.lines().zip(text.lines()).filter(|(old, new)| old != new).collect();
    let expected = [
        ("at    = \"20:00:00\"   # prime time", "at    = \"07:45\"   # prime time"),
        ("until = '20:30'      # sharp", "until = \"08:15\"      # sharp"),
    ];
    assert_eq!(lines, expected);
    // Back over midnight, and over it again.
    let text = move_slot(TEXT, 1, "22:00:30").unwrap();
    assert!(text.contains("at = \"22:00:30\"\nuntil = \"22:45:30\" # over midnight\n"), "{text}");
    let back = move_slot(&text, 1, "23:30").unwrap();
    assert!(back.contains("at = \"23:30\"\nuntil = \"00:15\" # over midnight\n"), "{back}");
}

#[test]
fn a_slot_is_removed_with_its_comments() {
    let text = remove_slot(TEXT, 0).unwrap();
    assert!(
        text.starts_with("# The channel's week.\n")
            && !text.contains("Anna")
            && text.ends_with("# The end.\n")
    );
    assert_eq!(remove_slot(&text, 0).map(|text| Timetable::parse(&text).unwrap().slots().len()), Ok(0));
}

#[test]
fn line_ends_stay() {
    let text = TEXT.replace('\n', "\r\n");
    for changed in [add_slot(&text, &show()), move_slot(&text, 1, "22:00"), remove_slot(&text, 0)] {
        let changed = changed.unwrap();
        assert_eq!(changed.matches('\n').count(), changed.matches("\r\n").count(), "{changed:?}");
    }
}

#[test]
fn refusals() {
    let bad = NewSlot { at: "25:00".to_owned(), fill: Some("promos/".to_owned()), length: None, ..show() };
    let errors = [
        add_slot("at = 3", &show()),
        add_slot(TEXT, &bad),
        move_slot(TEXT, 2, "20:00"),
        move_slot(TEXT, 0, "20.00"),
        remove_slot(TEXT, 7),
        remove_slot("timezone = \"UTC\"", 0),
    ];
    let shown: Vec<_> = errors.map(|error| error.unwrap_err().to_string()).into();
    insta::assert_snapshot!(shown.join("\n---\n"));
    let one = "[[slot]]\nname = \"a\"\nat = \"20:00\"\nplay = \"a\"\n";
    assert_eq!(add_slot(&one.repeat(1000), &show()), Err(EditError::Full));
}

#[test]
fn etags_change_with_the_text_and_never_otherwise() {
    assert_eq!(etag(""), "e3b0c44298fc1c14");
    assert_eq!(etag(TEXT), etag(TEXT));
    assert_ne!(etag(TEXT), etag(TEXT.trim_end()));
}

#[test]
fn a_new_slot_is_read_from_json_by_the_keys_of_the_file() {
    let json = r#"{"name":"a","at":"20:00","play":"a","for":"30m","fill_mode":"loop"}"#;
    let slot: NewSlot = serde_json::from_str(json).unwrap();
    assert_eq!((slot.length.as_deref(), slot.fill_mode.as_deref()), (Some("30m"), Some("loop")));
    assert_eq!(
        serde_json::to_value(&slot).unwrap(),
        serde_json::from_str::<serde_json::Value>(json).unwrap()
    );
    assert!(serde_json::from_str::<NewSlot>(r#"{"name":"a","at":"20:00","play":"a","x":1}"#).is_err());
}

proptest! {
    #[test]
    fn what_is_added_is_read_back(name in "[^\\p{C}]{1,200}", play in "[^\\p{C}]{1,50}", minute in 0..1440_i64) {
        prop_assume!(!name.trim().is_empty() && !play.trim().is_empty());
        let at = format!("{:02}:{:02}", minute / 60, minute % 60);
        let slot = NewSlot { name: name.clone(), at, play: play.clone(), ..NewSlot::default() };
        let text = add_slot(TEXT, &slot).unwrap();
        prop_assert!(text.starts_with(TEXT.split("# The end").next().unwrap().trim_end()));
        let timetable = Timetable::parse(&text).unwrap();
        let added = timetable.slots().last().unwrap();
        prop_assert_eq!((&added.name, &added.play), (&name, &play));
    }
}
