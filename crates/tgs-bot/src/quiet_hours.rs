//! The hours of the day in which the bot tells only what cannot wait.

use jiff::{Zoned, civil::Time};

/// A part of each day by the machine's clock; it may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuietHours {
    from: Time,
    to: Time,
}

/// Reads `9:00`.
pub(crate) fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let fits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| fits)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl QuietHours {
    /// Reads `23:00-07:00`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let times = text.split_once('-').and_then(|(from, to)| Some((time_of_day(from)?, time_of_day(to)?)));
        match times {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err("must be two different times of the day, as in 23:00-07:00".to_owned()),
        }
    }

    /// Whether it is such an hour now.
    pub(crate) fn is_now(self) -> bool {
        self.contains(Zoned::now().time())
    }

    fn contains(self, time: Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_pass_midnight() {
        for (text, inside, outside) in [
            ("23:00-07:00", [(23, 0), (6, 59)], [(7, 0), (22, 59)]),
            ("1:30-5:00", [(1, 30), (4, 59)], [(5, 0), (1, 29)]),
        ] {
            let quiet = QuietHours::parse(text).unwrap();
            let contains = |(hour, minute)| quiet.contains(Time::constant(hour, minute, 0, 0));
            assert!(inside.into_iter().all(contains) && !outside.into_iter().any(contains), "{text}");
        }
        for text in ["", "23:00", "23-7", "24:00-7:00", "1:00-1:00", "-1:00-2:00", "1:0x-2:00", "+1:00-2:00"]
        {
            assert!(QuietHours::parse(text).is_err(), "{text}");
        }
    }
}
