//! Durations with a unit, as in settings, and days.

use std::time::Duration;

use tgs_core::units::{DurationError, parse_duration};

/// Parses a whole number with one of the units ms, s, m, h and d.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    match text.strip_suffix('d') {
        Some(days) => {
            let day = parse_duration(&format!("{days}h"))?;
            day.checked_mul(24).ok_or(DurationError::TooLong)
        }
        None => parse_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_understood_too() {
        assert_eq!(parse("7d"), Ok(Duration::from_hours(168)));
        assert_eq!(parse("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(parse("d"), Err(DurationError::Malformed));
        assert_eq!(parse("1dd"), Err(DurationError::Malformed));
        assert_eq!(parse("5000000000000000d"), Err(DurationError::TooLong));
    }
}
