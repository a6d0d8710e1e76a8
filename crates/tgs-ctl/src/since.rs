//! The time of `asrun --since`: a date, a date and time of day, or a duration before now.

use std::time::SystemTime;

use tgs_core::{
    time::{Utc, parse_utc},
    units::parse_duration,
};

/// Parses the time and returns it as RFC 3339.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    parse_at(text, SystemTime::now())
}

fn parse_at(text: &str, now: SystemTime) -> Result<String, String> {
    let ago = parse_duration(text).ok();
    let time = match ago {
        Some(ago) => now.checked_sub(ago),
        None => parse_utc(&completed(text)),
    };
    time.map(|time| Utc(time).to_string())
        .ok_or_else(|| "is no time; write it like 2026-02-28, \"2026-02-28 18:30\", 24h or 7d".to_owned())
}

/// RFC 3339 of a date with or without a time of day.
fn completed(text: &str) -> String {
    let text = text.trim_end_matches('Z').replacen(' ', "T", 1);
    match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => format!("{text}Z"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn table() {
        let now = UNIX_EPOCH + Duration::from_hours(48);
        for (text, expected) in [
            ("2026-02-28", "2026-02-28T00:00:00.000Z"),
            ("2026-02-28 18:30", "2026-02-28T18:30:00.000Z"),
            ("2026-02-28T18:30:05Z", "2026-02-28T18:30:05.000Z"),
            ("2026-02-28T18:30:05.123Z", "2026-02-28T18:30:05.123Z"),
            ("24h", "1970-01-02T00:00:00.000Z"),
            ("1d", "1970-01-02T00:00:00.000Z"),
            ("900d", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse_at(text, now).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-02-30", "2026-02-28 25:00", "24", "Z", "ä"] {
            assert!(parse_at(text, now).is_err(), "{text}");
        }
    }
}
