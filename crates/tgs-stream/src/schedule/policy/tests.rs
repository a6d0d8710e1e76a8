//! What is opened, closed, joined and skipped over a day of UTC.

use tgs_core::time::parse_utc;

use super::*;

/// A day of UTC on which all of it happens.
const DAY: &str = "2026-03-02";

fn at(time: &str) -> SystemTime {
    parse_utc(&format!("{DAY}T{time}Z")).unwrap()
}

fn timetable(slots: &[&str]) -> Timetable {
    let slots: Vec<_> = slots.iter().map(|slot| format!("[[slot]]\n{slot}\n")).collect();
    Timetable::parse(&format!("timezone = \"UTC\"\n{}", slots.concat())).unwrap()
}

fn slot(name: &str, at: &str, rest: &str) -> String {
    format!("name = \"{name}\"\ndays = \"{DAY}\"\nat = \"{at}\"\nplay = \"a.mp4\"\n{rest}")
}

/// A policy, and the lanes that its actions have opened.
struct Broadcast {
    policy: SlotPolicy,
    timetable: Timetable,
    states: Vec<(OccurrenceKey, LaneState)>,
    connected: bool,
}

impl Broadcast {
    fn new(slots: &[String]) -> Self {
        let slots: Vec<&str> = slots.iter().map(String::as_str).collect();
        Self {
            policy: SlotPolicy::default(),
            timetable: timetable(&slots),
            states: Vec::new(),
            connected: true,
        }
    }

    fn edit(&mut self, slots: &[String]) {
        self.timetable = timetable(&slots.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn set(&mut self, name: &str, state: LaneState) {
        self.states.iter_mut().find(|(key, _)| key.name == name).unwrap().1 = state;
    }

    /// The actions at `time`, a word each, which are executed.
    fn step(&mut self, time: &str) -> Vec<String> {
        let now = Now {
            time: at(time),
            preroll: Duration::from_mins(1),
            connected: self.connected,
            states: &self.states,
        };
        let actions = self.policy.step(&self.timetable, now);
        self.states.retain(|(_, state)| !matches!(state, LaneState::Over | LaneState::Stopped));
        let clock = |time: SystemTime| self.timetable.local(time)[11..19].to_owned();
        let mut shown = Vec::new();
        for action in actions {
            shown.push(match action {
                SlotAction::Open { key, occurrence, joins_at, start } => {
                    self.policy.opened(&self.timetable, &occurrence);
                    self.states.push((key.clone(), LaneState::Preparing));
                    let when = match start {
                        LaneStart::Now => "now".to_owned(),
                        LaneStart::At(at) => clock(at),
                        LaneStart::AfterItem(at) => format!("after {}", clock(at)),
                    };
                    format!("open {} {when} +{}", key.name, joins_at.as_secs())
                }
                SlotAction::Close { key, cause } => {
                    self.states.retain(|(of, _)| *of != key);
                    format!("close {cause}")
                }
                SlotAction::SetEnd { key, end } => {
                    format!("end {} {}", key.name, end.map_or("never".to_owned(), clock))
                }
                SlotAction::Skip { key } => format!("skip {}", key.name),
            });
        }
        shown
    }
}

#[test]
fn a_slot_is_opened_before_its_start_and_once() {
    for (rest, opened) in [("", "open News 12:00:00 +0"), ("start = \"soft\"", "open News after 12:00:00 +0")]
    {
        let mut broadcast = Broadcast::new(&[slot("News", "12:00", rest)]);
        assert!(broadcast.step("11:58:59").is_empty());
        assert_eq!(broadcast.step("11:59:01"), [opened]);
        broadcast.set("News", LaneState::Ready);
        assert!(broadcast.step("11:59:30").is_empty());
        broadcast.set("News", LaneState::OnAir);
        assert!(broadcast.step("12:00:01").is_empty());
        broadcast.set("News", LaneState::Over);
        assert!(broadcast.step("12:10:00").is_empty() && broadcast.step("12:10:10").is_empty());
        assert_eq!(broadcast.policy.finished().len(), 1);
    }
}

#[test]
fn a_late_slot_joins_restarts_or_is_skipped() {
    for (late, time, expected) in [
        ("join", "12:00:01", "open News now +0"),
        ("join", "12:10:00", "open News now +600"),
        ("restart", "12:10:00", "open News now +0"),
        ("skip", "12:00:01", "open News now +0"),
        ("skip", "12:10:00", "skip News"),
    ] {
        let mut broadcast =
            Broadcast::new(&[slot("News", "12:00", &format!("for = \"30m\"\nlate = \"{late}\""))]);
        assert_eq!(broadcast.step(time), [expected], "{late} {time}");
        assert!(broadcast.step("12:20:00").is_empty(), "{late} {time}");
    }
    let open_ended = slot("News", "12:00", "late = \"restart\"");
    for (time, expected) in [("12:50:00", "open News now +0"), ("13:10:00", "skip News")] {
        assert_eq!(Broadcast::new(std::slice::from_ref(&open_ended)).step(time), [expected]);
    }
    let late_soft = slot("News", "12:00", "for = \"30m\"\nstart = \"soft\"");
    assert_eq!(Broadcast::new(&[late_soft]).step("12:10:00"), ["open News now +600"]);
}

#[test]
fn a_covered_slot_goes_on_in_its_lane() {
    let slots = [slot("Marathon", "10:00", "for = \"8h\""), slot("News", "12:00", "for = \"30m\"")];
    let mut broadcast = Broadcast::new(&slots);
    assert_eq!(broadcast.step("09:59:30"), ["open Marathon 10:00:00 +0"]);
    broadcast.set("Marathon", LaneState::OnAir);
    assert_eq!(broadcast.step("11:59:30"), ["open News 12:00:00 +0"]);
    broadcast.set("Marathon", LaneState::Interrupted);
    broadcast.set("News", LaneState::OnAir);
    assert!(broadcast.step("12:29:30").is_empty());
    broadcast.set("News", LaneState::Over);
    broadcast.set("Marathon", LaneState::OnAir);
    assert!(broadcast.step("12:30:01").is_empty());
}

#[test]
fn a_slot_that_never_has_the_air_is_not_opened() {
    let slots = [slot("Daily", "12:00", "for = \"30m\""), slot("Special", "12:00", "for = \"30m\"")];
    let mut broadcast = Broadcast::new(&slots);
    assert_eq!(broadcast.step("11:59:30"), ["open Special 12:00:00 +0"]);
    broadcast.set("Special", LaneState::OnAir);
    assert!(broadcast.step("12:29:30").is_empty());
}

#[test]
fn a_slot_whose_start_is_covered_begins_when_it_gets_the_air() {
    for late in ["join", "restart", "skip"] {
        let slots = [
            slot("Marathon", "12:00", &format!("for = \"8h\"\nlate = \"{late}\"")),
            slot("News", "12:00", "for = \"30m\""),
        ];
        let mut broadcast = Broadcast::new(&slots);
        assert_eq!(broadcast.step("11:59:30"), ["open News 12:00:00 +0"]);
        broadcast.set("News", LaneState::OnAir);
        assert_eq!(broadcast.step("12:29:30"), ["open Marathon 12:30:00 +0"], "{late}");

        // Half an hour of its time has passed in an outage.
        let after_outage = Broadcast::new(&slots).step("13:00:00");
        let expected = match late {
            "join" => "open Marathon now +1800",
            "restart" => "open Marathon now +0",
            _ => "skip Marathon",
        };
        assert_eq!(after_outage, [expected]);
    }
}

#[test]
fn a_restart_counts_only_the_time_on_air() {
    let slots = [slot("Marathon", "10:00", "for = \"8h\""), slot("News", "12:00", "")];
    let mut broadcast = Broadcast::new(&slots);
    broadcast.step("11:59:30");
    broadcast.set("Marathon", LaneState::OnAir);
    broadcast.step("12:00:00");
    broadcast.set("Marathon", LaneState::Interrupted);
    broadcast.set("News", LaneState::Over);
    assert!(broadcast.step("12:20:00").is_empty());
    // The News had no end by the timetable, and were over after twenty minutes.
    let finished = broadcast.policy.finished().to_vec();
    let mut restarted = Broadcast { policy: SlotPolicy::new(finished), ..Broadcast::new(&slots) };
    assert_eq!(restarted.step("12:30:00"), [format!("open Marathon now +{}", 2 * 3600 + 600)]);

    // Both are opened in the order in which they have the air.
    let slots = [slots[0].clone(), slot("News", "12:00", "for = \"30m\"")];
    let mut restarted = Broadcast::new(&slots);
    assert_eq!(restarted.step("12:29:30"), ["open News now +1770", "open Marathon 12:30:00 +7200"]);
}

#[test]
fn edits_are_followed() {
    let news = |rest: &str| slot("News", "12:00", rest);
    let mut broadcast = Broadcast::new(&[news("for = \"30m\"")]);
    broadcast.step("11:59:10");
    // Another line, or another end.
    broadcast.edit(&[slot("Later", "20:00", ""), news("for = \"40m\"")]);
    assert_eq!(broadcast.step("11:59:20"), ["end News 12:40:00"]);
    assert!(broadcast.step("11:59:20").is_empty());
    broadcast.edit(&[news("for = \"40m\"\nstart = \"soft\"")]);
    let again = ["close “News” was changed in the timetable", "open News after 12:00:00 +0"];
    assert_eq!(broadcast.step("11:59:30"), again);
    broadcast.set("News", LaneState::OnAir);
    // What is on air is played on.
    broadcast.edit(&[news("for = \"50m\"")]);
    assert_eq!(broadcast.step("12:10:00"), ["end News 12:50:00"]);
    broadcast.edit(&[slot("News", "12:05", "for = \"50m\"")]);
    assert_eq!(
        broadcast.step("12:10:00"),
        ["close “News” was removed from the timetable", "open News now +300"]
    );
    broadcast.edit(&[]);
    assert_eq!(broadcast.step("12:11:00"), ["close “News” was removed from the timetable"]);
    assert!(broadcast.step("12:12:00").is_empty());
}

#[test]
fn a_slot_that_an_edit_covers_is_given_up() {
    let daily = slot("Daily", "12:00", "for = \"30m\"");
    let mut broadcast = Broadcast::new(std::slice::from_ref(&daily));
    broadcast.step("11:59:10");
    broadcast.edit(&[daily, slot("Special", "12:00", "for = \"30m\"")]);
    let expected = ["close “Daily” does not have the air next", "open Special 12:00:00 +0"];
    assert_eq!(broadcast.step("11:59:20"), expected);
}

#[test]
fn a_slot_of_an_engine_that_has_ended_is_joined() {
    let mut broadcast = Broadcast::new(&[slot("News", "12:00", "for = \"30m\"")]);
    broadcast.step("11:59:30");
    broadcast.set("News", LaneState::OnAir);
    broadcast.step("12:00:10");
    broadcast.set("News", LaneState::Stopped);
    broadcast.connected = false;
    assert!(broadcast.step("12:05:00").is_empty());
    broadcast.connected = true;
    assert_eq!(broadcast.step("12:10:00"), ["open News now +600"]);
}

#[test]
fn a_slot_that_an_outage_hits_before_its_start_is_joined_after_it() {
    let mut broadcast = Broadcast::new(&[slot("News", "12:00", "for = \"30m\"")]);
    broadcast.step("11:59:30");
    broadcast.set("News", LaneState::Ready);
    broadcast.connected = false;
    assert!(broadcast.step("11:59:40").is_empty());
    assert_eq!(broadcast.step("12:00:01"), ["close “News” begins once the server is connected"]);
    assert!(broadcast.step("12:00:02").is_empty());
    broadcast.connected = true;
    assert_eq!(broadcast.step("12:03:00"), ["open News now +180"]);
    // An outage on air: its lane goes on.
    broadcast.set("News", LaneState::OnAir);
    broadcast.connected = false;
    assert!(broadcast.step("12:04:00").is_empty());
}

#[test]
fn a_clock_that_is_set_moves_what_is_not_on_air() {
    let mut broadcast = Broadcast::new(&[slot("News", "12:00", "for = \"30m\"")]);
    broadcast.step("11:59:30");
    // Back before its start: it is prepared again when it is due.
    assert_eq!(broadcast.step("10:00:00"), ["close “News” does not have the air next"]);
    assert_eq!(broadcast.step("11:59:30"), ["open News 12:00:00 +0"]);
    broadcast.set("News", LaneState::OnAir);
    assert!(broadcast.step("12:05:00").is_empty());
    assert!(broadcast.step("11:00:00").is_empty(), "it is on air");
    // Over its end: the engine ends it.
    assert!(broadcast.step("12:40:00").is_empty());
    broadcast.set("News", LaneState::Over);
    assert!(broadcast.step("12:40:01").is_empty());
    // Over the whole slot.
    let mut broadcast = Broadcast::new(&[slot("News", "12:00", "for = \"30m\"")]);
    broadcast.step("11:00:00");
    assert!(broadcast.step("13:00:00").is_empty());
    let mut broadcast = Broadcast::new(&[slot("News", "12:00", "for = \"30m\"")]);
    broadcast.step("11:00:00");
    assert_eq!(broadcast.step("12:10:00"), ["open News now +600"]);
}
