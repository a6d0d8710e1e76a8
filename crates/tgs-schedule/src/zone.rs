//! Time zones: finding one by its name, and the moment at which its clocks show a time.

use std::time::SystemTime;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone, db},
};
use serde::{Deserialize, Serialize};

use crate::likely::{likely, shown};

/// The longest name of a zone that is looked up.
const LONGEST: usize = 64;

/// A time zone and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    zone: TimeZone,
    name: String,
}

/// How the time of a slot meets a change of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shift {
    /// The clock jumps over it: the slot begins at the jump.
    Skipped,
    /// It exists twice: the slot begins at the first.
    Twice,
}

impl Zone {
    /// The zone of that name in the time zone database.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        let found =
            if name.len() <= LONGEST && name.chars().all(plain) { TimeZone::get(name).ok() } else { None };
        match found {
            Some(zone) => Ok(Self { name: zone.iana_name().unwrap_or(name).to_owned(), zone }),
            None => Err(unknown(name)),
        }
    }

    /// The zone of this host, from /etc/localtime.
    pub(crate) fn of_host() -> Result<Self, String> {
        let zone = TimeZone::try_system().map_err(|_| {
            "is missing, and the zone of this host is unknown; write timezone = \"Europe/Moscow\"".to_owned()
        })?;
        Ok(Self { name: zone.iana_name().unwrap_or("local").to_owned(), zone })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// When the clocks show `local` for the first time, or jump over it. `None` outside of the
    /// years that have moments.
    pub(crate) fn moment(&self, local: DateTime) -> Option<(SystemTime, Option<Shift>)> {
        let found = self.zone.to_ambiguous_timestamp(local);
        let (moment, shift) = match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => (found.compatible().ok()?, None),
            AmbiguousOffset::Fold { .. } => (found.earlier().ok()?, Some(Shift::Twice)),
            AmbiguousOffset::Gap { .. } => {
                // With the offset from after the jump, a time in the gap lies before the jump.
                let before = found.earlier().ok()?;
                let jump = self.zone.following(before).next().map(|jump| jump.timestamp());
                (jump.or_else(|| found.compatible().ok())?, Some(Shift::Skipped))
            }
        };
        Some((moment.into(), shift))
    }

    /// What the clocks show at `time`.
    pub(crate) fn local(&self, time: SystemTime) -> Option<DateTime> {
        Some(self.zone.to_datetime(Timestamp::try_from(time).ok()?))
    }

    /// `2026-03-29T20:00:00+02:00`; an empty text outside of the years 0 to 9999.
    pub(crate) fn format(&self, time: SystemTime) -> String {
        let zoned = Timestamp::try_from(time).map(|time| time.to_zoned(self.zone.clone()));
        zoned.map_or_else(|_| String::new(), |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// The first moment of a date.
    pub(crate) fn midnight(&self, date: Date) -> Option<SystemTime> {
        Some(self.moment(date.at(0, 0, 0, 0))?.0)
    }
}

/// Whether a name may be looked up, which may open a file of that name, and shown in a message.
fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = db().available().map(|name| name.as_str().to_owned()).collect();
    // "Moscow" for Europe/Moscow.
    let wanted = name.replace(' ', "_");
    let is_city =
        |known: &&String| known.rsplit_once('/').is_some_and(|(_, city)| city.eq_ignore_ascii_case(&wanted));
    let city = names.iter().filter(is_city).min_by_key(|known| known.len());
    let found = city.map(String::as_str).or_else(|| {
        // Not an abbreviation: MSK is one letter from MST.
        likely(name, names.iter().map(String::as_str).filter(|known| known.contains('/')))
    });
    let hint = match found {
        Some(found) => format!("did you mean {found:?}?"),
        None => "write a name such as \"Europe/Moscow\"; timedatectl list-timezones lists them".to_owned(),
    };
    let name = if is_plain(name) { format!("{name:?}") } else { shown(name, "a name") };
    format!("has {name}, which is no time zone; {hint}")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use tgs_core::time::{Utc, parse_utc};

    use super::*;

    #[test]
    fn the_moment_of_a_time_is_its_first_or_the_jump_over_it() {
        let cases = [
            ("Europe/Berlin", date(2026, 3, 29).at(1, 59, 59, 0), "2026-03-29T00:59:59.000Z", None),
            (
                "Europe/Berlin",
                date(2026, 3, 29).at(2, 0, 0, 0),
                "2026-03-29T01:00:00.000Z",
                Some(Shift::Skipped),
            ),
            (
                "Europe/Berlin",
                date(2026, 3, 29).at(2, 30, 0, 0),
                "2026-03-29T01:00:00.000Z",
                Some(Shift::Skipped),
            ),
            ("Europe/Berlin", date(2026, 3, 29).at(3, 0, 0, 0), "2026-03-29T01:00:00.000Z", None),
            (
                "Europe/Berlin",
                date(2026, 10, 25).at(2, 30, 0, 0),
                "2026-10-25T00:30:00.000Z",
                Some(Shift::Twice),
            ),
            ("Europe/Berlin", date(2026, 10, 25).at(3, 0, 0, 0), "2026-10-25T02:00:00.000Z", None),
            (
                "America/New_York",
                date(2026, 3, 8).at(2, 30, 0, 0),
                "2026-03-08T07:00:00.000Z",
                Some(Shift::Skipped),
            ),
            (
                "Australia/Lord_Howe",
                date(2026, 10, 4).at(2, 15, 0, 0),
                "2026-10-03T15:30:00.000Z",
                Some(Shift::Skipped),
            ),
            (
                "Australia/Lord_Howe",
                date(2026, 4, 5).at(1, 45, 0, 0),
                "2026-04-04T14:45:00.000Z",
                Some(Shift::Twice),
            ),
            ("Europe/Moscow", date(2026, 3, 29).at(2, 30, 0, 0), "2026-03-28T23:30:00.000Z", None),
            // Midnight itself is jumped over.
            (
                "Africa/Cairo",
                date(2026, 4, 24).at(0, 0, 0, 0),
                "2026-04-23T22:00:00.000Z",
                Some(Shift::Skipped),
            ),
        ];
        for (zone, local, expected, shift) in cases {
            let found = Zone::named(zone).unwrap().moment(local).unwrap();
            assert_eq!((Utc(found.0).to_string().as_str(), found.1), (expected, shift), "{zone} {local}");
        }
    }

    #[test]
    fn a_time_is_written_with_its_offset() {
        let zone = Zone::named("europe/berlin").unwrap();
        let time = parse_utc("2026-03-29T01:00:00Z").unwrap();
        assert_eq!((zone.name(), zone.format(time).as_str()), ("Europe/Berlin", "2026-03-29T03:00:00+02:00"));
    }

    #[test]
    fn what_is_no_zone_is_refused_with_the_likely_one() {
        let names =
            ["", "Moscow", "new york", "Europe/Mosow", "MSK", "UTC+3", "../../etc/passwd", "Europe/Moscow "];
        let shown: Vec<_> =
            names.map(|name| format!("{name}: timezone {}", Zone::named(name).unwrap_err())).into();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
