//! One broadcast, and one fault after the other.

mod stage;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, IsTerminal, Write as _},
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::RecvTimeoutError,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use tgs_e2e::viewer::{Gap, Viewer};

use self::stage::{Fault, Stage};
use super::progress::{WARM, clock, progress};

/// Longest allowed gap between two pictures; after an outage of the ingest, from its return.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// Allowed growth of tgs-stream's memory, MiB.
const MOST_GROWTH: f64 = 2.0;
/// Allowed memory of tgs-stream, MiB.
const MOST_MEMORY: f64 = 16.0;
/// Between two faults, seconds.
const APART: std::ops::RangeInclusive<u64> = 5..=30;
/// A gap that is worth a line in the record of events.
const NOTABLE: Duration = Duration::from_millis(200);
/// A gap that begins at most this long before a fault is attributed to it.
const JUST_BEFORE: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// For each fault (in their order): how often, and the longest gap that followed.
    faults: [(u32, Duration); Fault::ALL.len()],
    /// The longest gap before any fault.
    before: Duration,
    last: Option<(Instant, Fault)>,
    memory: (f64, f64),
    pictures: u64,
    /// Seconds of filler, and of everything.
    media: (f64, f64),
    died: Option<String>,
}

/// Soaks, and prints the table. `false` where a target is missed.
pub(super) fn run(tools: &Path, dir: &Path, length: Duration, seed: u64, stop: &AtomicBool) -> Result<bool> {
    let mut rng = Rng::with_seed(seed);
    let log = File::create(dir.join("tgs-stream.log"))?;
    let stage = Stage::set(tools, log, rng.fork())?;
    let events = File::create(dir.join("events.log"))?;
    let mut soak = Soak {
        stage,
        rng,
        events,
        began: Instant::now(),
        length,
        viewer: Viewer::default(),
        seen: Seen::default(),
        terminal: io::stdout().is_terminal(),
        reported: Instant::now(),
    };
    soak.play(stop)?;
    soak.end();
    let (table, good) = table(&soak.seen, soak.began.elapsed(), soak.stage.mended);
    println!("\n{table}");
    fs::write(dir.join("table.txt"), table)?;
    Ok(good)
}

struct Soak {
    stage: Stage,
    rng: Rng,
    events: File,
    began: Instant,
    length: Duration,
    viewer: Viewer,
    seen: Seen,
    terminal: bool,
    reported: Instant,
}

impl Soak {
    fn play(&mut self, stop: &AtomicBool) -> Result<()> {
        let warm = WARM.min(self.length / 3);
        let mut next_fault = Instant::now() + Duration::from_secs(15).min(self.length / 3);
        while self.began.elapsed() < self.length && !stop.load(Ordering::Relaxed) {
            if let Some(status) = self.stage.broadcast.ended()? {
                self.seen.died = Some(format!("tgs-stream ended by itself with {status}"));
                return Ok(());
            }
            let wake = self.stage.next_mend().map_or(next_fault, |at| at.min(next_fault));
            let wait = wake.saturating_duration_since(Instant::now()).min(Duration::from_millis(500));
            match self.stage.messages.recv_timeout(wait) {
                Ok((connection, message)) => {
                    if let Some(gap) = self.viewer.take(connection, &message) {
                        self.seen.pictures += 1;
                        self.judge(gap);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the ingest is gone"),
            }
            self.stage.mend()?;
            if next_fault <= Instant::now() {
                next_fault = Instant::now() + Duration::from_secs(self.rng.u64(APART));
                self.fault()?;
            }
            if self.seen.memory.0 == 0.0 && self.began.elapsed() >= warm {
                self.seen.memory.0 = self.stage.memory()?;
            }
            self.report();
        }
        self.seen.memory.1 = self.stage.memory()?;
        let metric = |name| self.stage.broadcast.metric(name);
        self.seen.media = (metric("tgs_filler_seconds_total")?, metric("tgs_output_media_seconds_total")?);
        Ok(())
    }

    fn fault(&mut self) -> Result<()> {
        // Before it begins: what it does shows while it is done.
        let at = Instant::now();
        let Some((fault, words)) = self.stage.inject()? else { return Ok(()) };
        self.seen.last = Some((at, fault));
        self.seen.faults[fault as usize].0 += 1;
        self.note(&format!("{} {words}", fault.name()))
    }

    fn judge(&mut self, gap: Gap) {
        let length = gap.length(self.stage.ingest_back);
        let cause = self.seen.last.filter(|(at, _)| *at < gap.to && *at < gap.from + JUST_BEFORE + length);
        let longest = match cause {
            Some((_, fault)) => &mut self.seen.faults[fault as usize].1,
            None => &mut self.seen.before,
        };
        *longest = (*longest).max(length);
        if length >= NOTABLE {
            let cause = cause.map_or("before any fault", |(_, fault)| fault.name());
            // The record is informative: the soak continues if it cannot be written.
            let _ = self.note(&format!("{:.2} s without a new picture ({cause})", length.as_secs_f64()));
        }
    }

    /// A picture that never arrives is a gap as well.
    fn end(&mut self) {
        while let Ok((connection, message)) = self.stage.messages.try_recv() {
            if let Some(gap) = self.viewer.take(connection, &message) {
                self.judge(gap);
            }
        }
        if let Some(gap) = self.viewer.waiting().filter(|_| !self.stage.ingest_away) {
            self.judge(gap);
        }
        if self.seen.died.is_none()
            && let Err(error) = self.stage.broadcast.stop()
        {
            self.seen.died = Some(format!("it does not end in order: {error:#}"));
        }
    }

    /// Into the record of events.
    fn note(&mut self, words: &str) -> Result<()> {
        writeln!(self.events, "{} {words}", clock(self.began.elapsed())).context("write the events")
    }

    fn report(&mut self) {
        let every = if self.terminal { Duration::from_secs(1) } else { (self.length / 20).max(WARM) };
        if self.reported.elapsed() < every {
            return;
        }
        self.reported = Instant::now();
        let line = format!(
            "{} of {} · {} faults · longest gap {:.2} s · {:.1} MiB",
            clock(self.began.elapsed()),
            clock(self.length),
            self.seen.count(),
            self.seen.longest().as_secs_f64(),
            self.stage.memory().unwrap_or(f64::NAN)
        );
        progress(self.terminal, &line);
    }
}

impl Seen {
    fn count(&self) -> u32 {
        self.faults.iter().map(|(count, _)| count).sum()
    }

    fn longest(&self) -> Duration {
        self.faults.iter().map(|(_, gap)| *gap).fold(self.before, Duration::max)
    }
}

/// The table, and whether every target is kept.
fn table(seen: &Seen, lasted: Duration, mended: (u32, u32)) -> (String, bool) {
    let mut text = format!(
        "{}: {} faults, {} pictures\n\n{:<28} {:>8}  longest gap after it\n",
        clock(lasted),
        seen.count(),
        seen.pictures,
        "fault",
        "injected"
    );
    let before = ("(before the first)", (0, seen.before));
    let rows = Fault::ALL.iter().map(|fault| (fault.name(), seen.faults[*fault as usize]));
    for (name, (count, gap)) in std::iter::once(before).chain(rows) {
        let _ = writeln!(text, "{name:<28} {count:>8}  {:.2} s", gap.as_secs_f64());
    }
    let (start, end) = seen.memory;
    let (filler, all) = seen.media;
    let _ = writeln!(
        text,
        "\nfiller: {filler:.0} s of {all:.0} s\nsessions: {} replaced by the standby, {} by a new string in .env\n\
         memory: {start:.1} MiB at the start, {end:.1} MiB at the end\n",
        mended.0, mended.1
    );
    let targets = [
        (
            seen.longest() <= LONGEST_GAP,
            format!(
                "longest gap of the viewer {:.2} s (target ≤ {:.2} s; after an ingest's absence from its return)",
                seen.longest().as_secs_f64(),
                LONGEST_GAP.as_secs_f64()
            ),
        ),
        (
            end - start <= MOST_GROWTH && end <= MOST_MEMORY,
            format!(
                "memory {:+.1} MiB to {end:.1} MiB (target ≤ {MOST_GROWTH:+.1} MiB and ≤ {MOST_MEMORY:.1} MiB)",
                end - start
            ),
        ),
        (seen.pictures > 0, "pictures arrived".to_owned()),
        (
            seen.died.is_none(),
            seen.died.clone().unwrap_or_else(|| "tgs-stream lived to the end, and ended in order".to_owned()),
        ),
    ];
    for (met, words) in &targets {
        let _ = writeln!(text, "{:<4} {words}", if *met { "ok" } else { "MISS" });
    }
    (text, targets.iter().all(|(met, _)| *met))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_missed() {
        let mut seen = Seen { memory: (10.0, 11.0), pictures: 100, ..Seen::default() };
        seen.faults[Fault::Kill as usize] = (3, Duration::from_millis(40));
        let (text, good) = table(&seen, Duration::from_secs(3661), (1, 2));
        assert!(good, "{text}");
        assert!(text.starts_with("01:01:01: 3 faults, 100 pictures\n"), "{text}");
        seen.faults[Fault::Url as usize] = (1, Duration::from_secs(3));
        let (text, good) = table(&seen, Duration::from_mins(1), (0, 0));
        assert!(!good && text.contains("MISS longest gap of the viewer 3.00 s"), "{text}");
        let died = Seen { died: Some("gone".to_owned()), memory: (9.0, 9.0), pictures: 1, ..Seen::default() };
        assert!(!table(&died, Duration::from_mins(1), (0, 0)).1);
    }
}
