//! The timetable of a run: which slots, when, and what they play.

use std::{fmt::Write as _, fs, path::Path, time::SystemTime};

use anyhow::Result;
use fastrand::Rng;
use tgs_control::Timestamp;

use super::{
    Plan,
    live::{Client, Leaving, PlannedLive},
};
use crate::colours::{self, Beginning};

/// The colours of the list, and of what fills a slot.
pub(super) const LIST: [&str; 3] = ["red", "lime", "blue"];

/// The colours of slots, in turn.
const SLOTS: [&str; 3] = ["yellow", "magenta", "cyan"];

/// What interrupts the list: a slot, two of them with [`Kind::Covered`], or a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A hard start; it ends with what it plays.
    Whole,
    /// A hard start; what it plays is longer than its time.
    Cut,
    /// A hard start; what it plays is shorter than its time, and the rest is filled.
    Filled,
    /// A hard start, and a second one that cuts it and gives the air back.
    Covered,
    /// A soft start.
    Soft,
    /// A publisher.
    Live(Client, Leaving),
}

/// Five hard starts and two soft ones, two publishers of different programs and one that is killed.
pub const FULL: [Kind; 9] = [
    Kind::Whole,
    Kind::Cut,
    Kind::Filled,
    Kind::Covered,
    Kind::Soft,
    Kind::Soft,
    Kind::Live(Client::Ffmpeg, Leaving::Goodbye),
    Kind::Live(Client::GStreamer, Leaving::Goodbye),
    Kind::Live(Client::Ffmpeg, Leaving::Killed),
];

/// What a run does, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) slots: Vec<PlannedSlot>,
    pub(super) lives: Vec<PlannedLive>,
}

/// The name of slots with a soft start.
const SOFT: &str = "soft";

/// A slot of the timetable.
#[derive(Debug)]
pub(super) struct PlannedSlot {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) is_soft: bool,
    pub(super) at: Timestamp,
    /// The file, and its length in seconds.
    play: (String, u32),
    rest: String,
}

/// How long a slot lasts, in seconds.
fn slot_seconds(plan: &Plan) -> u64 {
    (spacing(plan) / 4).clamp(4, 60)
}

/// The time before the first slot, in seconds: it is opened in time.
fn lead(plan: &Plan) -> u64 {
    plan.preroll.as_secs() + 2
}

/// Seconds between two slots.
fn spacing(plan: &Plan) -> u64 {
    plan.length.as_secs().saturating_sub(lead(plan)) / plan.kinds.len().max(1) as u64
}

/// Makes the files of the slots.
pub(super) fn make_clips(dir: &Path, slots: &[PlannedSlot]) -> Result<()> {
    for PlannedSlot { colour, play: (file, seconds), .. } in slots {
        let file = dir.join(file);
        if !file.exists() {
            colours::make(colour, seconds * 1000, Beginning::Marked, &file)?;
        }
    }
    Ok(())
}

/// Draws the order and the times, which count from 0.
pub(super) fn draw(rng: &mut Rng, plan: &Plan) -> Agenda {
    let mut kinds = plan.kinds.clone();
    rng.shuffle(&mut kinds);
    let half = slot_seconds(plan) / 2;
    let mut agenda = Agenda::default();
    for (place, kind) in kinds.into_iter().enumerate() {
        let at = lead(plan) + place as u64 * spacing(plan) + rng.u64(0..=spacing(plan) / 8);
        let limited = format!("for = \"{}s\"\n", 2 * half);
        let filled = format!("{limited}fill = \"{}.mp4\"\n", LIST[0]);
        match kind {
            Kind::Whole => agenda.add("whole", at, 2 * half, String::new()),
            Kind::Cut => agenda.add("cut at its end", at, 4 * half, limited),
            Kind::Filled => agenda.add("filled", at, half, filled),
            Kind::Covered => {
                agenda.add("covered", at, 4 * half, String::new());
                agenda.add("covers", at + half, half, String::new());
            }
            Kind::Soft => agenda.add(SOFT, at, 2 * half, "start = \"soft\"\n".to_owned()),
            Kind::Live(client, leaving) => {
                let mut live = PlannedLive::new(agenda.next(), agenda.colour(), client, leaving);
                (live.at, live.until) = (Timestamp(at * 1000), Timestamp((at + 2 * half) * 1000));
                agenda.lives.push(live);
            }
        }
    }
    agenda
}

impl Agenda {
    fn next(&self) -> usize {
        self.slots.len() + self.lives.len() + 1
    }

    fn colour(&self) -> &'static str {
        SLOTS[self.next() % SLOTS.len()]
    }

    fn add(&mut self, what: &str, at: u64, seconds: u64, rest: String) {
        let colour = self.colour();
        self.slots.push(PlannedSlot {
            name: format!("{} {what}", self.next()),
            colour,
            is_soft: what == SOFT,
            at: Timestamp(at * 1000),
            play: (format!("{colour}-{seconds}.mp4"), seconds as u32),
            rest,
        });
    }

    /// Moves the times, which count from 0, to now.
    pub(super) fn begin(&mut self) {
        let now = Timestamp::from(SystemTime::now()).0 / 1000 * 1000;
        self.slots.iter_mut().for_each(|slot| slot.at.0 += now);
        for live in &mut self.lives {
            (live.at.0, live.until.0) = (live.at.0 + now, live.until.0 + now);
        }
    }
}

/// Writes the timetable, in one step.
pub(super) fn write(dir: &Path, slots: &[PlannedSlot]) -> Result<()> {
    let mut text = "timezone = \"UTC\"\n".to_owned();
    for slot in slots {
        let at = slot.at.to_string();
        let (PlannedSlot { name, play: (play, _), rest, .. }, date, time) = (slot, &at[..10], &at[11..19]);
        let _ = write!(text, "[[slot]]\nname = \"{name}\"\ndays = \"{date}\"\nat = \"{time}\"\n");
        let _ = write!(text, "play = \"{play}\"\n{rest}");
    }
    fs::write(dir.join("new.toml"), text)?;
    fs::rename(dir.join("new.toml"), dir.join("timetable.toml"))?;
    Ok(())
}
