//! Names of recordings, and the periods of the local clock at whose beginnings files are cut.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{
    civil::{Date, DateTime},
    fmt::strtime,
    tz::TimeZone,
};
use tgs_control::Timestamp;

/// The ending of a closed recording, and what follows it while the recording is written.
const ENDING: &str = ".mkv";
const UNFINISHED: &str = ".part";

/// The local time of a file's beginning.
const FORMAT: &str = "%Y-%m-%dT%H-%M-%S%z";

/// Length of a name in [`FORMAT`].
const STEM: usize = 24;

/// Files that begin within the same second.
const MOST_SAME: u32 = 99;

/// The time zone of this host.
#[derive(Debug, Clone)]
pub struct RecordingZone(TimeZone);

/// A period of the local clock. A change of the clock begins another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingPeriod {
    date: Date,
    number: u64,
    /// Seconds east of UTC: an hour that exists twice is two periods.
    offset: i32,
}

impl RecordingZone {
    /// The zone of this host, from TZ and /etc/localtime; UTC if it is unknown.
    #[must_use]
    pub fn of_host() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// The zone of that name in the time zone database.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// The period of `length` that contains `time`; periods are counted from local midnight.
    #[must_use]
    pub fn period(&self, time: Timestamp, length: Duration) -> RecordingPeriod {
        let zoned = moment(time).to_zoned(self.0.clone());
        let (local, offset) = (zoned.datetime(), zoned.offset().seconds());
        let second = u64::from(local.hour().unsigned_abs()) * 3600
            + u64::from(local.minute().unsigned_abs()) * 60
            + u64::from(local.second().unsigned_abs());
        RecordingPeriod { date: local.date(), number: second / length.as_secs().max(1), offset }
    }

    /// The name, without an ending, of a file that begins at `time`.
    #[must_use]
    pub fn stem(&self, time: Timestamp) -> String {
        moment(time).to_zoned(self.0.clone()).strftime(FORMAT).to_string()
    }

    /// `2026-03-29 14:00:00` in this zone.
    #[must_use]
    pub fn shown(&self, time: Timestamp) -> String {
        moment(time).to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// The first moment at which the clocks show `local`.
    pub(crate) fn moment_of(&self, local: DateTime) -> Option<Timestamp> {
        let found = self.0.to_ambiguous_timestamp(local).compatible().ok()?;
        u64::try_from(found.as_millisecond()).ok().map(Timestamp)
    }

    /// What the clocks show at `time`.
    pub(crate) fn local(&self, time: Timestamp) -> DateTime {
        self.0.to_datetime(moment(time))
    }
}

fn moment(time: Timestamp) -> jiff::Timestamp {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

/// When the recording of this name begins, to the second, and whether it is closed. `None` for any
/// other file.
pub(crate) fn read_name(name: &str) -> Option<(Timestamp, bool)> {
    let (name, finished) = match name.strip_suffix(UNFINISHED) {
        Some(name) => (name, false),
        None => (name, true),
    };
    let (stem, number) = name.strip_suffix(ENDING)?.split_at_checked(STEM)?;
    let is_number = |digits: &str| {
        digits.len() <= 2 && !digits.starts_with('0') && digits.parse().is_ok_and(|it: u32| it >= 2)
    };
    if !number.is_empty() && !number.strip_prefix('-').is_some_and(is_number) {
        return None;
    }
    let time = strtime::parse(FORMAT, stem).ok()?.to_timestamp().ok()?;
    Some((Timestamp(u64::try_from(time.as_millisecond()).ok()?), finished))
}

/// `stem`, then `stem-2` and so on.
fn stems(stem: &str) -> impl Iterator<Item = String> {
    let more = (2..=MOST_SAME).map(move |number| format!("{stem}-{number}"));
    std::iter::once(stem.to_owned()).chain(more)
}

fn none_free(stem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{MOST_SAME} files are named {stem}"))
}

/// The path of a new recording that no file has, neither now nor when it is closed.
pub(crate) fn free_path(dir: &Path, stem: &str) -> io::Result<PathBuf> {
    for stem in stems(stem) {
        let part = dir.join(format!("{stem}{ENDING}{UNFINISHED}"));
        if !part.try_exists()? && !dir.join(format!("{stem}{ENDING}")).try_exists()? {
            return Ok(part);
        }
    }
    Err(none_free(stem))
}

/// The final path of the recording that is written at `part`; no file has it yet.
pub(crate) fn finished_path(part: &Path) -> io::Result<PathBuf> {
    let name = part.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(UNFINISHED).and_then(|name| name.strip_suffix(ENDING)).unwrap_or(name);
    for stem in stems(stem) {
        let path = part.with_file_name(format!("{stem}{ENDING}"));
        if !path.try_exists()? {
            return Ok(path);
        }
    }
    Err(none_free(stem))
}

#[cfg(test)]
mod tests {
    use tgs_core::time::parse_utc;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(utc: &str) -> Timestamp {
        parse_utc(utc).unwrap().into()
    }

    #[test]
    fn names_are_local_and_read_back() {
        let zone = RecordingZone::named("Europe/Berlin").unwrap();
        for (utc, stem) in [
            ("2026-03-29T00:59:59Z", "2026-03-29T01-59-59+0100"),
            ("2026-03-29T01:00:00Z", "2026-03-29T03-00-00+0200"),
            ("2026-10-25T00:30:00Z", "2026-10-25T02-30-00+0200"),
            ("2026-10-25T01:30:00Z", "2026-10-25T02-30-00+0100"),
        ] {
            assert_eq!(zone.stem(at(utc)), stem);
            for (name, finished) in [
                (format!("{stem}.mkv"), true),
                (format!("{stem}.mkv.part"), false),
                (format!("{stem}-12.mkv"), true),
            ] {
                assert_eq!(read_name(&name), Some((at(utc), finished)), "{name}");
            }
        }
    }

    #[test]
    fn other_files_are_not_ours() {
        for name in [
            "film.mkv",
            "2026-03-29.mkv",
            "2026-03-29T14-00-00+0200.mp4",
            "2026-03-29T14-00-00+0200.mkv.bak",
            "2026-03-29T14-00-00+0200 best.mkv",
            "2026-03-29T14-00-00+0200-1.mkv",
            "2026-03-29T14-00-00+0200-02.mkv",
            "2026-13-29T14-00-00+0200.mkv",
            "x2026-03-29T14-00-00+0200.mkv",
            "2026-03-29T14-00-00+0200é.mkv",
            "",
        ] {
            assert_eq!(read_name(name), None, "{name}");
        }
    }

    #[test]
    fn periods_change_with_the_clocks_hours_and_with_the_clock() {
        let zone = RecordingZone::named("Europe/Berlin").unwrap();
        let period = |utc: &str, length| zone.period(at(utc), length);
        assert_eq!(period("2026-03-01T12:00:00Z", HOUR), period("2026-03-01T12:59:59.999Z", HOUR));
        assert_ne!(period("2026-03-01T12:59:59Z", HOUR), period("2026-03-01T13:00:00Z", HOUR));
        // The hour from 2 to 3 exists twice.
        assert_ne!(period("2026-10-25T00:59:59Z", HOUR), period("2026-10-25T01:00:00Z", HOUR));
        // Six hours, with a change of the clock amid: two files.
        let six = 6 * HOUR;
        assert_ne!(period("2026-03-29T00:59:59Z", six), period("2026-03-29T01:00:00Z", six));
        assert_eq!(period("2026-03-30T00:00:00Z", six), period("2026-03-30T03:59:59Z", six));
        // A zone of half hours.
        let zone = RecordingZone::named("Asia/Kolkata").unwrap();
        assert_ne!(
            zone.period(at("2026-03-01T12:29:59Z"), HOUR),
            zone.period(at("2026-03-01T12:30:00Z"), HOUR)
        );
        assert_eq!(
            zone.period(at("2026-03-01T12:30:00Z"), HOUR),
            zone.period(at("2026-03-01T13:29:59Z"), HOUR)
        );
    }

    #[test]
    fn a_name_that_exists_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let stem = "2026-03-29T14-00-00+0200";
        let part = free_path(dir.path(), stem).unwrap();
        assert!(part.ends_with(format!("{stem}.mkv.part")));
        std::fs::write(dir.path().join(format!("{stem}.mkv")), "").unwrap();
        assert!(free_path(dir.path(), stem).unwrap().ends_with(format!("{stem}-2.mkv.part")));
        assert!(finished_path(&part).unwrap().ends_with(format!("{stem}-2.mkv")));
    }
}
