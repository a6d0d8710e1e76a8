//! Formats of dates and durations: always UTC, never a locale.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The last second with a four-digit year: 9999-12-31T23:59:59Z.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Displays a time as `2026-02-28T23:59:59.123Z`. Times before 1970 or after 9999 are clamped.
#[derive(Debug, Clone, Copy)]
pub struct Utc(pub SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
        humantime::format_rfc3339_millis(UNIX_EPOCH + since).fmt(f)
    }
}

/// Reads a time in RFC 3339, in UTC (`2026-02-28T23:59:59.123Z`; the fraction may be missing).
#[must_use]
pub fn parse_utc(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// Formats a time to the second, `2026-02-28 23:59:59 UTC`, rounded up, so that a limit until
/// `time` has ended at the displayed time.
#[must_use]
pub fn moment(time: SystemTime) -> String {
    let text = Utc(time + Duration::from_millis(999)).to_string();
    let second = text.split('.').next().unwrap_or(&text);
    format!("{} UTC", second.replace('T', " "))
}

/// Returns the days from 1970-01-01 to this date; `None` if the date does not exist.
#[must_use]
pub fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let midnight = humantime::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z")).ok()?;
    Some(midnight.duration_since(UNIX_EPOCH).ok()?.as_secs() / 86_400)
}

/// Formats a duration as `1:02:03`, rounded to the nearest second.
#[must_use]
pub fn clock(length: Duration) -> String {
    let seconds = (length.as_millis() + 500) / 1000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Formats a duration as `2 h 5 min`, rounded up to minutes.
#[must_use]
pub fn hours_and_minutes(length: Duration) -> String {
    let minutes = length.as_secs().div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Formats an age in one unit, rounded down: `45 s ago`, `10 min ago`, `3 h ago`, `6 days ago`.
#[must_use]
pub fn ago(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(parse_utc(&shown), Some(UNIX_EPOCH + Duration::from_secs(second)));
        }
    }

    #[test]
    fn a_wrong_clock_is_shown_too() {
        assert_eq!(Utc(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Utc(UNIX_EPOCH + 2 * LAST).to_string(), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn moments_are_rounded_up() {
        for (millis, shown) in [(0, "1970-01-01 00:00:00 UTC"), (1, "1970-01-01 00:00:01 UTC")] {
            assert_eq!(moment(UNIX_EPOCH + Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn days() {
        assert_eq!(days_since_1970(1970, 1, 1), Some(0));
        assert_eq!(days_since_1970(2000, 3, 1).map(|days| days * 86_400), Some(951_868_800));
        assert_eq!(days_since_1970(2100, 3, 1).map(|days| days * 86_400), Some(4_107_542_400));
        assert_eq!(days_since_1970(2026, 2, 30), None);
    }

    #[test]
    fn lengths() {
        let cases = [
            (0, "0:00:00"),
            (499, "0:00:00"),
            (59_500, "0:01:00"),
            (3_723_000, "1:02:03"),
            (360_000_000, "100:00:00"),
        ];
        for (millis, shown) in cases {
            assert_eq!(clock(Duration::from_millis(millis)), shown);
        }
        for (second, shown) in
            [(1, "1 min"), (60, "1 min"), (3600, "1 h"), (7261, "2 h 2 min"), (86_400, "24 h")]
        {
            assert_eq!(hours_and_minutes(Duration::from_secs(second)), shown);
        }
        for (second, shown) in [
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7200, "2 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(second)), shown);
        }
    }
}
