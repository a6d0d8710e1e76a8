//! Durations with a unit, as in settings and flags: `500ms`, `10s`, `2m`, `1h`, `7d`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No leading digits, or more than a number and a unit.
    #[error("is not a duration; write it like 500ms, 10s, 2m, 1h or 7d")]
    Malformed,
    /// A bare number, which could mean seconds or milliseconds.
    #[error("has no unit; write it like 500ms, 10s, 2m, 1h or 7d")]
    NoUnit,
    /// The value exceeds a `Duration`.
    #[error("is too long a duration")]
    TooLong,
}

/// Parses a whole number with one of the units ms, s, m, h and d.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::Malformed);
    }
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs).ok_or(DurationError::TooLong);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        "" => Err(DurationError::NoUnit),
        _ => Err(DurationError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        let cases = [
            ("500ms", Ok(Duration::from_millis(500))),
            ("10s", Ok(Duration::from_secs(10))),
            ("2m", Ok(Duration::from_mins(2))),
            ("1h", Ok(Duration::from_hours(1))),
            ("0s", Ok(Duration::ZERO)),
            ("10", Err(DurationError::NoUnit)),
            ("", Err(DurationError::Malformed)),
            ("s", Err(DurationError::Malformed)),
            ("-1s", Err(DurationError::Malformed)),
            ("1.5s", Err(DurationError::Malformed)),
            ("1 s", Err(DurationError::Malformed)),
            ("1m30s", Err(DurationError::Malformed)),
            ("400d", Ok(Duration::from_hours(9600))),
            ("1w", Err(DurationError::Malformed)),
            ("18446744073709551616s", Err(DurationError::TooLong)),
            ("18446744073709551615h", Err(DurationError::TooLong)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".*|[0-9]{0,25}(ms|s|m|h|d)?") {
            let _ = parse_duration(&text);
        }
    }
}
