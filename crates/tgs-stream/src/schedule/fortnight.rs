//! A fortnight of a channel in simulated time, across the beginning of summer time, against a model
//! that knows no time zone database: the right source is on air at every second, as the as-run log
//! says, and the last hard start is as exact as the first.
//!
//! Timetable, slots, scheduler, lanes and playout are the product's own; encoders, server and clock
//! are simulated ([`tgs_playout::simulation`]).

mod model;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use tgs_control::{AsRunEntry, AsRunKind, BroadcastEvent, Timestamp};
use tgs_core::cancel::Cancel;
use tgs_playout::{
    item::{Item, JumpTarget, Media, NextItem, Programme},
    lane::{AfterEnd, Lane, LaneHandle, LaneRefused, LaneStart, ListReturn},
    simulation::{Simulation, Stage, simulate},
};

use self::model::{Model, Slot, Takeover};
use super::{LaneHost, Schedule, ScheduleConfig, ScheduleFile, Scheduler, SharedSchedule};
use crate::{as_run::Ledger, resolver::Resolver, ytdlp::YtDlp};

/// 2026-03-26T23:00:00Z: midnight in Berlin, a Friday. Summer time begins on the Sunday.
const START: u64 = 1_774_566_000;

/// The days that are simulated. A debug build, which needs 7 s a day, has the change of the clock
/// and the edit.
const DAYS: u64 = if cfg!(debug_assertions) { 4 } else { 14 };

/// Seconds around a change in which model and log may differ: groups shown again, the encoder's
/// start, the tick of the scheduler.
const UNSURE: u64 = 8;

/// The longest wait before another attempt to connect, in seconds, and a second.
const LONGEST_BACKOFF: u64 = 31;

/// The length of an item, from its name: `http://h/news-300.mp4`.
fn length(item: &Item) -> Option<Duration> {
    let name = item.id.rsplit('/').next()?.strip_suffix(".mp4")?;
    name.rsplit('-').next()?.parse().ok().map(Duration::from_secs)
}

/// The list: films of 3 to 50 minutes, with a jingle of 20 s after every fourth.
struct Films {
    turn: u64,
}

impl Films {
    fn name(turn: u64) -> String {
        if turn.is_multiple_of(5) {
            return format!("http://h/jingle{turn}-20.mp4");
        }
        format!("http://h/film{turn}-{}.mp4", 180 + turn * 7919 % 2820)
    }
}

impl Programme for Films {
    fn next(&mut self) -> NextItem {
        self.turn += 1;
        let id = Self::name(self.turn);
        let media = Media::at(id.clone(), false);
        NextItem::Play(Item { title: id.clone(), id, turn: self.turn, start: Duration::ZERO, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        1000
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// One live item, then the end.
struct Live(bool);

impl Programme for Live {
    fn next(&mut self) -> NextItem {
        if std::mem::replace(&mut self.0, true) {
            return NextItem::End;
        }
        let media = Media::at("rtmp://h/live".into(), true);
        NextItem::Play(Item {
            id: "live".into(),
            turn: 1,
            title: "live".into(),
            start: Duration::ZERO,
            media,
        })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        1
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

impl LaneHost for Stage {
    fn open_lane(&mut self, lane: Lane) -> Result<LaneHandle, LaneRefused> {
        Self::open_lane(self, lane)
    }

    fn is_connected(&self) -> bool {
        Self::is_connected(self)
    }
}

fn resolver() -> Resolver {
    let ytdlp = YtDlp::new("/no/such/yt-dlp", "", 720).unwrap();
    let (ffmpeg, ffprobe, cancel) = ("ffmpeg".into(), "ffprobe".into(), Cancel::new());
    let wanted = tgs_playout::ffmpeg::probe::ProbeOptions::default();
    Resolver { ffmpeg, ffprobe, ytdlp, wanted, cancel }
}

fn scheduler(dir: &Path) -> Scheduler {
    let file = ScheduleFile::new(dir.join("timetable.toml"));
    let timetable = Arc::new(file.read().unwrap().0);
    let schedule = Schedule(Arc::new(SharedSchedule {
        file,
        timetable: Mutex::new(Some(timetable)),
        writing: Mutex::new(()),
    }));
    let config = ScheduleConfig {
        not_before: None,
        file: dir.join("timetable.toml"),
        preroll: Duration::from_mins(1),
        list_returns: ListReturn::Resume,
        state_dir: dir.to_owned(),
        resolver: resolver(),
        length: Arc::new(length),
    };
    Scheduler::new(schedule, config)
}

/// Live takeovers, and outages of the server, at random: (start, end) in seconds from the start.
fn takeovers(rng: &mut fastrand::Rng, days: u64) -> (Vec<Takeover>, Vec<Takeover>) {
    let mut at = 3600;
    let (mut live, mut outages) = (Vec::new(), Vec::new());
    while at + 3600 < days * 86_400 {
        let length = rng.u64(300..1800);
        live.push(Takeover { from: at, to: at + length });
        at += length + rng.u64(3600..40_000);
        let away = rng.u64(3..90);
        outages.push(Takeover { from: at, to: at + away });
        at += away + rng.u64(600..20_000);
    }
    (live, outages)
}

fn write_timetable(dir: &Path, slots: &[Slot]) {
    let slots: String = slots.iter().map(Slot::to_toml).collect();
    fs::write(dir.join("timetable.toml"), format!("timezone = \"Europe/Berlin\"\n{slots}")).unwrap();
}

/// The entries of the as-run log that the events make.
fn as_run(events: &[BroadcastEvent], start: Timestamp) -> Vec<AsRunEntry> {
    let (mut ledger, lines) = Ledger::resume((None, 1), None, start);
    let mut entries: BTreeMap<u64, AsRunEntry> = lines.into_iter().map(|line| (line.n, line)).collect();
    for event in events {
        entries.extend(ledger.apply(event).into_iter().map(|line| (line.n, line)));
    }
    entries.into_values().filter(|entry| entry.end.is_none_or(|end| end > entry.start)).collect()
}

/// The lane of a publisher.
fn live_lane() -> Lane {
    Lane {
        name: "live".into(),
        programme: Box::new(Live(false)),
        start: LaneStart::Now,
        end: None,
        rank: super::SLOT_RANK + 1,
        after_end: AfterEnd::List,
        slate_text: None,
        list_returns: ListReturn::Resume,
        read_ahead: None,
        short_groups: true,
    }
}

#[test]
fn a_fortnight_shows_the_right_source_at_every_second() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_owned();
    let slots = model::slots();
    write_timetable(&dir, &slots);
    let mut rng = fastrand::Rng::with_seed(14);
    let (live, outages) = takeovers(&mut rng, DAYS);
    let mut scheduler = scheduler(&dir);
    let starts = UNIX_EPOCH + Duration::from_secs(START);
    let (edit_at, edited) = (model::EDITED_AT, model::edited());
    let (mut on_air, mut is_edited, folder) = (None::<(u64, LaneHandle)>, false, dir.clone());
    let (takes, aways) = (live.clone(), outages.clone());
    let on_tick = move |stage: &mut Stage| {
        let now = stage.now();
        let second = now.duration_since(starts).unwrap().as_secs();
        if !is_edited && second >= edit_at {
            is_edited = true;
            write_timetable(&folder, &edited);
        }
        scheduler.follow_file();
        scheduler.tick(stage, now);
        stage.set_server(!aways.iter().any(|away| away.has(second)));
        match (&on_air, takes.iter().find(|take| take.has(second))) {
            (None, Some(take)) => {
                on_air = Some((take.from, stage.open_lane(live_lane()).unwrap()));
            }
            (Some((_, handle)), None) => {
                handle.close("the publisher has left");
                on_air = None;
            }
            _ => {}
        }
    };
    let lasts = Duration::from_secs(DAYS * 86_400);
    let list = Box::new(Films { turn: 0 });
    let simulation = Simulation { list, length: Arc::new(length), starts, lasts, on_tick: Box::new(on_tick) };
    let events = simulate(simulation);

    let entries = as_run(&events, starts.into());
    for pair in entries.windows(2) {
        assert_eq!(pair[0].end, Some(pair[1].start), "{pair:#?}");
    }
    let outages = seen_outages(&entries, &outages);
    let mut model = Model::new(&slots, &model::edited(), live, outages);
    let soft = entries.iter().filter(|entry| entry.lane.as_deref() == Some("Film"));
    model.soft_starts(soft.map(|entry| (entry.start.0 / 1000).saturating_sub(START)));
    let wrong = model.compare(&entries, START, DAYS * 86_400, UNSURE);
    let shown = wrong.iter().take(12).map(|(second, what)| format!("{what}\n{}", around(&entries, *second)));
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), shown.collect::<String>());
    check_hard_starts(&entries, &model);
    check_list(&entries);
}

/// The log of the two hours before a second.
fn around(entries: &[AsRunEntry], second: u64) -> String {
    let at = |time: Timestamp| (time.0 as f64 / 1000.0) - START as f64;
    let near =
        |entry: &&AsRunEntry| (second as f64 - 7200.0..second as f64 + 60.0).contains(&at(entry.start));
    let line = |entry: &AsRunEntry| {
        let from = at(entry.start);
        let to = entry.end.map(at);
        format!(
            "    {from:.1} {to:.1?} {:?} {:?} {:?} {:?}\n",
            entry.lane, entry.title, entry.offset_seconds, entry.ended
        )
    };
    entries.iter().filter(near).map(line).collect()
}

/// The outages as the log has them: each begins with a planned one, and ends when the publisher has
/// connected again.
fn seen_outages(entries: &[AsRunEntry], planned: &[Takeover]) -> Vec<Takeover> {
    let outages = entries.iter().filter(|entry| entry.kind == AsRunKind::Outage);
    let second = |time: Timestamp| (time.0 / 1000).saturating_sub(START);
    let seen: Vec<_> = outages
        .map(|entry| Takeover { from: second(entry.start), to: second(entry.end.unwrap_or(entry.start)) + 1 })
        .collect();
    for outage in &seen {
        let is_planned = |one: &Takeover| one.from <= outage.from && outage.to <= one.to + LONGEST_BACKOFF;
        assert!(planned.iter().any(is_planned), "{outage:?}");
    }
    seen
}

/// Hard starts are exact to one and a half pictures, the last as the first; those that an outage or
/// a live input has delayed do not count.
fn check_hard_starts(entries: &[AsRunEntry], model: &Model) {
    let planned = entries.iter().filter_map(|entry| Some((entry, entry.planned_start?)));
    let hard: Vec<i64> = planned
        .filter(|(entry, _)| {
            entry.lane.as_deref().is_some_and(|lane| lane != "live") && entry.offset_seconds == Some(0.0)
        })
        .filter(|(_, planned)| planned.0 % 1000 == 0 && !model.is_disturbed(planned.0 / 1000 - START))
        .map(|(entry, planned)| entry.start.0 as i64 - planned.0 as i64)
        .filter(|off| off.abs() < 60_000)
        .collect();
    assert!(hard.len() as u64 >= DAYS * 2, "{} hard starts", hard.len());
    assert!(hard.iter().all(|off| off.abs() <= 500), "{hard:?}");
}

/// The list's items come in their order, and each is on air as long as it is.
fn check_list(entries: &[AsRunEntry]) {
    let mut aired: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
    let mut turns = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == AsRunKind::Item && entry.lane.is_none()) {
        let id = entry.id.clone().unwrap();
        let turn: u64 = id
            .trim_start_matches("http://h/")
            .trim_start_matches(char::is_alphabetic)
            .split('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        turns.push(turn);
        let seconds = entry.end.map_or(0.0, |end| end.millis_since(entry.start) as f64 / 1000.0);
        let item = aired.entry(turn).or_default();
        *item = (item.0 + seconds, item.1 + 1);
    }
    assert!(turns.is_sorted(), "the list goes back");
    turns.dedup();
    let first = turns[0];
    assert!(turns.iter().enumerate().all(|(nth, turn)| *turn == first + nth as u64), "an item is missing");
    // The last one is cut by the end of the simulation.
    aired.pop_last();
    for (turn, (seconds, pieces)) in aired {
        let item = Item {
            id: Films::name(turn),
            turn,
            title: String::new(),
            start: Duration::ZERO,
            media: Media::at(String::new(), false),
        };
        let whole = length(&item).unwrap().as_secs_f64();
        let repeated = (pieces - 1) as f64 * 2.5;
        assert!(
            (whole - 0.5..=whole + repeated + 0.5).contains(&seconds),
            "item {turn}: {seconds} of {whole} s"
        );
    }
}
