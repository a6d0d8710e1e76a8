//! Times of day: `20:00` and `20:00:00`.

use jiff::civil::Time;

/// Parses a time of day. The message follows the key's name.
pub(crate) fn parse(text: &str) -> Result<Time, String> {
    read(text).ok_or_else(|| match text.strip_prefix("24:00") {
        Some("" | ":00") => "is 24:00; write 00:00, which is the first moment of the next day".to_owned(),
        _ => "is no time of day; write it like 20:00 or 20:00:00".to_owned(),
    })
}

fn read(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(two_digits);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

fn two_digits(text: &str) -> Option<i8> {
    let fits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// Reads an unquoted time, as TOML has it.
pub(crate) fn from_toml(time: toml_edit::Time) -> Option<Time> {
    if time.nanosecond.unwrap_or(0) != 0 {
        return None;
    }
    let signed = |part: u8| i8::try_from(part).ok();
    Time::new(signed(time.hour)?, signed(time.minute)?, signed(time.second.unwrap_or(0))?, 0).ok()
}

/// `20:00`, or `20:00:30` if it is not at a whole minute.
pub(crate) fn short(time: Time) -> String {
    match time.second() {
        0 => format!("{:02}:{:02}", time.hour(), time.minute()),
        second => format!("{:02}:{:02}:{second:02}", time.hour(), time.minute()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, expected) in [
            ("20:00", "20:00"),
            ("20:00:00", "20:00"),
            ("9:05:07", "09:05:07"),
            ("0:0", "00:00"),
            ("23:59:59", "23:59:59"),
        ] {
            assert_eq!(parse(text).map(short), Ok(expected.to_owned()), "{text}");
        }
        for text in [
            "",
            "20",
            "20:",
            ":20",
            "20:60",
            "24:00",
            "24:00:00",
            "20:00:60",
            "20:00:00:00",
            "+1:00",
            "8pm",
            "020:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
