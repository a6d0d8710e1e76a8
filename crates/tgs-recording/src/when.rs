//! The times that operators write for a cut.

use jiff::civil::{DateTime, Time};
use tgs_control::Timestamp;
use tgs_core::units::parse_duration;

use crate::place::RecordingZone;

/// What a time looks like, for messages.
pub const FORMS: &str =
    "14:05, 14:05:30, \"2026-03-29 14:05\", 2026-03-29T14:05:00+02:00, or 10m for ten minutes ago";

/// The moment that `text` means: a local time of day (the last one), a local date with a time, RFC
/// 3339, a duration before `now`, or `now`.
#[must_use]
pub fn parse_moment(text: &str, now: Timestamp, zone: &RecordingZone) -> Option<Timestamp> {
    let text = text.trim();
    if text == "now" {
        return Some(now);
    }
    if let Ok(ago) = parse_duration(text) {
        return now.0.checked_sub(u64::try_from(ago.as_millis()).ok()?).map(Timestamp);
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(moment.as_millisecond()).ok().map(Timestamp);
    }
    // An offset that is no RFC 3339 would be dropped silently.
    if text.contains(['[', '+', 'Z', 'z']) {
        return None;
    }
    if !text.contains('-') {
        let time: Time = text.contains(':').then(|| text.parse().ok())??;
        let today = zone.local(now).date();
        let days = [Some(today), today.yesterday().ok()];
        return days
            .into_iter()
            .flatten()
            .filter_map(|date| zone.moment_of(date.to_datetime(time)))
            .find(|it| *it <= now);
    }
    zone.moment_of(text.parse::<DateTime>().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_local_or_carry_their_offset() {
        let zone = RecordingZone::named("Europe/Berlin").unwrap();
        let now = Timestamp::parse("2026-03-29T12:00:00Z").unwrap();
        for (text, expected) in [
            ("now", "2026-03-29T12:00:00Z"),
            ("10m", "2026-03-29T11:50:00Z"),
            ("13:30", "2026-03-29T11:30:00Z"),
            ("13:30:15", "2026-03-29T11:30:15Z"),
            // The last 23:00 was yesterday's, before the change of the clock.
            ("23:00", "2026-03-28T22:00:00Z"),
            ("2026-03-29 13:30", "2026-03-29T11:30:00Z"),
            ("2026-03-29T13:30:15.250", "2026-03-29T11:30:15.250Z"),
            ("2026-03-29", "2026-03-28T23:00:00Z"),
            ("2026-03-29T13:30:00+03:00", "2026-03-29T10:30:00Z"),
            ("2026-03-29T13:30:00Z", "2026-03-29T13:30:00Z"),
            ("2026-03-29 13:30:00+03", "2026-03-29T10:30:00Z"),
        ] {
            assert_eq!(parse_moment(text, now, &zone), Timestamp::parse(expected), "{text}");
        }
        for text in
            ["", "soon", "25:00", "2026-02-30 10:00", "10", "14", "-5m", "2026-03-29T10:00+99:00", "99999d"]
        {
            assert_eq!(parse_moment(text, now, &zone), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}|[0-9:TZ+ -]{0,30}") {
            let _ = parse_moment(&text, Timestamp(1_795_824_000_000), &RecordingZone::of_host());
        }
    }
}
