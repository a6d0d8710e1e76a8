//! Log output on stderr. The journal gets a priority per line and adds the time itself; a terminal
//! gets time and colour; any other reader gets time and plain text.
//!
//! `RUST_LOG`, passed in by the settings, filters the lines. Control characters are escaped: a file
//! name cannot forge a line or control a terminal. Logins and tokens in URLs are masked.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    collections::VecDeque,
    env,
    fmt::Write as _,
    io::{IsTerminal, Write as _, stderr},
    panic,
    sync::{Mutex, PoisonError},
    thread,
    time::SystemTime,
};

use log::{Level, Record};

use crate::{mask, supervise::Panic, time::Utc};

/// Starts logging. `filter` has `RUST_LOG`'s syntax (`info`, `warn,tgs_playout=debug`). Only the
/// first call has an effect.
///
/// Panics are logged with thread and location; secrets in them are masked.
pub fn init(filter: &str) {
    let style = Style::of_stderr();
    let started = env_logger::Builder::new()
        .parse_filters(filter)
        .format(move |out, record| {
            let now = SystemTime::now();
            remember(line(Style::Plain, now, record));
            out.write_all(line(style, now, record).as_bytes())
        })
        .try_init();
    if started.is_err() {
        log::debug!("the log was started before");
        return;
    }
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let (thread, panic) = (thread::current(), Panic::of(info.payload()));
        // Only a warning: the code that contains the panic reports its effect, and an uncontained
        // panic ends the thread with an ERROR.
        log::warn!("thread {} panicked at {place}: {panic}", thread.name().unwrap_or("without a name"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            trace.to_string().lines().for_each(|line| log::warn!("{line}"));
        }
    }));
}

/// The last lines of the log, for [`recent`].
static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// How many lines are remembered.
pub const MOST_RECENT: usize = 500;

/// The longest remembered part of a line, in bytes.
const LONGEST_RECENT: usize = 1 << 10;

fn remember(mut line: String) {
    line.truncate(line.trim_end().len());
    if line.len() > LONGEST_RECENT {
        line.truncate(line.floor_char_boundary(LONGEST_RECENT));
        line.push('…');
    }
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    if recent.len() == MOST_RECENT {
        recent.pop_front();
    }
    recent.push_back(line);
}

/// The last `count` lines of the log, oldest first, at most [`MOST_RECENT`], with time and level.
#[must_use]
pub fn recent(count: usize) -> Vec<String> {
    let recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.iter().skip(recent.len().saturating_sub(count)).cloned().collect()
}

/// Output format, chosen by the reader of stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Journal,
    Colour,
    Plain,
}

impl Style {
    fn of_stderr() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        // JOURNAL_STREAM holds device and inode of the journal's socket. Children inherit it, so
        // compare.
        let stream = rustix::fs::fstat(stderr()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        if stream.is_ok_and(|stream| set("JOURNAL_STREAM").is_some_and(|journal| *journal == *stream)) {
            return Self::Journal;
        }
        let colour = set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb");
        if colour && stderr().is_terminal() { Self::Colour } else { Self::Plain }
    }
}

/// Formats one log line, including its newline.
fn line(style: Style, now: SystemTime, record: &Record<'_>) -> String {
    let level = record.level();
    let mut line = match style {
        Style::Journal => format!("<{}>", priority(level)),
        Style::Colour => format!("{} \x1b[{}m{level:<5}\x1b[0m ", Utc(now), colour(level)),
        Style::Plain => format!("{} {level:<5} ", Utc(now)),
    };
    // The module serves debugging, not the operator.
    if level > Level::Info {
        let _ = write!(line, "[{}] ", record.target());
    }
    for c in mask::urls(&record.args().to_string()).chars() {
        if c.is_control() && c != '\t' { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line.push('\n');
    line
}

/// The priorities of syslog(3), which the journal reads from `<N>` before a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// ANSI colour: red, yellow, green, blue, cyan.
fn colour(level: Level) -> u8 {
    match level {
        Level::Error => 31,
        Level::Warn => 33,
        Level::Info => 32,
        Level::Debug => 34,
        Level::Trace => 36,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn shown(style: Style, level: Level, message: &str) -> String {
        let now = UNIX_EPOCH + Duration::from_millis(1_772_323_199_007);
        line(
            style,
            now,
            &Record::builder().level(level).target("tgs").args(format_args!("{message}")).build(),
        )
    }

    #[test]
    fn the_last_lines_are_remembered_within_bounds() {
        for number in 0..MOST_RECENT + 10 {
            remember(format!("line {number}\n"));
        }
        remember("ü".repeat(LONGEST_RECENT));
        let last = recent(2);
        assert_eq!(last[0], format!("line {}", MOST_RECENT + 9));
        assert!(last[1].len() < LONGEST_RECENT + 4 && last[1].ends_with("ü…"), "{}", last[1]);
        assert_eq!(recent(usize::MAX).len(), MOST_RECENT);
    }

    #[test]
    fn lines() {
        let cases = [
            (Style::Journal, Level::Error, "on air", "<3>on air\n"),
            (Style::Journal, Level::Warn, "on air", "<4>on air\n"),
            (Style::Journal, Level::Debug, "on air", "<7>[tgs] on air\n"),
            (Style::Plain, Level::Info, "on air", "2026-02-28T23:59:59.007Z INFO  on air\n"),
            (Style::Plain, Level::Trace, "on air", "2026-02-28T23:59:59.007Z TRACE [tgs] on air\n"),
            (Style::Colour, Level::Warn, "on air", "2026-02-28T23:59:59.007Z \x1b[33mWARN \x1b[0m on air\n"),
            (Style::Journal, Level::Warn, "http://h/a?token=b c", "<4>http://h/a?token=[masked] c\n"),
            (Style::Journal, Level::Info, "a\n<0>b\r\x1b[2J\tü", "<6>a\\n<0>b\\r\\u{1b}[2J\tü\n"),
        ];
        for (style, level, message, expected) in cases {
            assert_eq!(shown(style, level, message), expected);
        }
    }
}
