//! The log on stderr, for three readers: journald gets a priority on each line and keeps the time itself, a terminal
//! gets a time and colour, anything else a time and plain text.
//!
//! Which lines are written is `RUST_LOG`'s matter, passed in by the settings. Control characters in a message are
//! escaped: a file's name must not be able to forge a line or steer a terminal. Logins and tokens in URLs are masked.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    fmt::Write as _,
    io::{IsTerminal, Write as _, stderr},
    panic, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use log::{Level, Record};

use crate::{mask, supervise::Panic};

/// Starts the log. `filter` is `RUST_LOG`'s syntax (`info`, `warn,tgs_playout=debug`). Later calls change nothing.
///
/// Panics are logged too, with their thread and place, and without secrets.
pub fn init(filter: &str) {
    let style = Style::of_stderr();
    let started = env_logger::Builder::new()
        .parse_filters(filter)
        .format(move |out, record| out.write_all(line(style, SystemTime::now(), record).as_bytes()))
        .try_init();
    if started.is_err() {
        log::debug!("the log was started before");
        return;
    }
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let (thread, panic) = (thread::current(), Panic::of(info.payload()));
        // Whoever contains it says what it costs, and an uncontained one ends the thread with an ERROR of its own.
        log::warn!("thread {} panicked at {place}: {panic}", thread.name().unwrap_or("without a name"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            trace.to_string().lines().for_each(|line| log::warn!("{line}"));
        }
    }));
}

/// Who reads stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Journal,
    Colour,
    Plain,
}

impl Style {
    fn of_stderr() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        // JOURNAL_STREAM names the journal's socket by device and inode; it is inherited, stderr may have been redirected.
        let stream = rustix::fs::fstat(stderr()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        if stream.is_ok_and(|stream| set("JOURNAL_STREAM").is_some_and(|journal| *journal == *stream)) {
            return Self::Journal;
        }
        let colour = set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb");
        if colour && stderr().is_terminal() { Self::Colour } else { Self::Plain }
    }
}

/// One line of the log, with its end.
fn line(style: Style, now: SystemTime, record: &Record<'_>) -> String {
    let level = record.level();
    let mut line = match style {
        Style::Journal => format!("<{}>", priority(level)),
        Style::Colour => format!("{} \x1b[{}m{level:<5}\x1b[0m ", Utc(now), colour(level)),
        Style::Plain => format!("{} {level:<5} ", Utc(now)),
    };
    // Whose line it is matters to the one who debugs, not to the operator.
    if level > Level::Info {
        let _ = write!(line, "[{}] ", record.target());
    }
    for c in mask::urls(&record.args().to_string()).chars() {
        if c.is_control() && c != '\t' { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line.push('\n');
    line
}

/// The priorities of syslog(3), which systemd reads from a `<N>` before a line.
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

/// A time to the second, `2026-02-28 23:59:59 UTC`, rounded up: what may be done then may not be done before.
#[must_use]
pub fn moment(time: SystemTime) -> String {
    let text = Utc(time + Duration::from_millis(999)).to_string();
    let second = text.split('.').next().unwrap_or(&text);
    format!("{} UTC", second.replace('T', " "))
}

/// A time as `2026-02-28T23:59:59.123Z`.
#[derive(Debug, Clone, Copy)]
pub struct Utc(pub SystemTime);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let milli = since.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Year, month and day, so many days after 1970-01-01. Counted in years that begin in March, so that the leap day is the
/// last of its year, and from 0000-03-01 in eras of 400 years, which all have 146 097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on the months' lengths repeat as 31 30 31 30 31: 153 days in five months.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let january_or_february = month >= 10;
    (
        era * 400 + year + u64::from(january_or_february),
        if january_or_february { month - 9 } else { month + 3 },
        day,
    )
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn dates() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_603_200, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (second, expected) in cases {
            let shown = Utc(UNIX_EPOCH + Duration::from_secs(second)).to_string();
            assert_eq!(shown, format!("{expected}T00:00:00.000Z"));
        }
    }
}
