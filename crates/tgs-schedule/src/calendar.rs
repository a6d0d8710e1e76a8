//! The days of a slot: `daily`, `mon-fri`, `sat,sun`, `2026-12-31`, `first mon`, `last fri`.

use std::fmt;

use jiff::civil::{Date, Weekday};

use crate::likely::{choice, likely, shown};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const LONG: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const ORDINALS: [(&str, Nth); 5] = [
    ("first", Nth::Of(1)),
    ("second", Nth::Of(2)),
    ("third", Nth::Of(3)),
    ("fourth", Nth::Of(4)),
    ("last", Nth::Last),
];
/// Every day of the week: a bit a day, Monday the lowest.
const ALL: u8 = 0x7f;
/// The most parts between commas.
const MOST: usize = 100;

/// The days on which a slot begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    rules: Vec<Rule>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Weekdays(u8),
    Date(Date),
    Nth(Nth, usize),
}

/// Which of the weekdays of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nth {
    Of(i8),
    Last,
}

impl Days {
    /// Every day, which is the default.
    #[must_use]
    pub fn daily() -> Self {
        Self { rules: vec![Rule::Weekdays(ALL)], text: "daily".to_owned() }
    }

    /// An unquoted date, as TOML has it.
    pub(crate) fn from_toml(date: toml_edit::Date) -> Result<Self, String> {
        Self::parse(&date.to_string())
    }

    /// Parses the value of `days`. The message follows the key's name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(',').map(str::trim).collect();
        if parts.len() > MOST {
            return Err(format!("has more than {MOST} parts; write several slots"));
        }
        let rules = parts.into_iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Self { rules, text: text.trim().to_owned() })
    }

    /// Whether the slot begins on `date`.
    #[must_use]
    pub fn contains(&self, date: Date) -> bool {
        self.rules.iter().any(|rule| rule.contains(date))
    }

    /// The last day there is; `None` if the days never end.
    pub(crate) fn last(&self) -> Option<Date> {
        let dates = self.rules.iter().map(|rule| match rule {
            Rule::Date(date) => Some(*date),
            Rule::Weekdays(_) | Rule::Nth(..) => None,
        });
        dates.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Rule {
    fn contains(self, date: Date) -> bool {
        match self {
            Self::Weekdays(set) => set & 1 << index(date.weekday()) != 0,
            Self::Date(one) => one == date,
            Self::Nth(nth, weekday) => weekday == index(date.weekday()) && nth.contains(date),
        }
    }
}

impl Nth {
    fn contains(self, date: Date) -> bool {
        match self {
            Self::Of(number) => (date.day() - 1) / 7 + 1 == number,
            Self::Last => date.day() + 7 > date.days_in_month(),
        }
    }
}

fn index(weekday: Weekday) -> usize {
    weekday.to_monday_zero_offset() as usize
}

fn rule(part: &str) -> Result<Rule, String> {
    let lower = part.to_ascii_lowercase();
    if lower == "daily" {
        return Ok(Rule::Weekdays(ALL));
    }
    if lower.starts_with(|c: char| c.is_ascii_digit()) {
        return parse_date(&lower).map(Rule::Date).map_err(|error| error.to_string());
    }
    if let Some((from, to)) = lower.split_once('-') {
        let (from, to) = (weekday(from.trim())?, weekday(to.trim())?);
        // From Friday to Monday goes over the end of the week.
        let length = (to + 7 - from) % 7;
        return Ok(Rule::Weekdays((0..=length).fold(0, |set, day| set | 1 << ((from + day) % 7))));
    }
    if let Some((nth, day)) = lower.split_once(char::is_whitespace) {
        let Some((_, found)) = ORDINALS.iter().find(|(word, _)| *word == nth) else {
            let words = ORDINALS.map(|(word, _)| word);
            let hint = likely(nth, words).map_or_else(|| format!("write {}", choice(words)), did_you_mean);
            return Err(format!("has {} before a weekday; {hint}", shown(nth, "a word")));
        };
        return Ok(Rule::Nth(*found, weekday(day.trim())?));
    }
    weekday(&lower).map(|day| Rule::Weekdays(1 << day))
}

fn did_you_mean(word: &str) -> String {
    format!("did you mean {word}?")
}

/// A weekday from 0, Monday.
fn weekday(word: &str) -> Result<usize, String> {
    if let Some(day) = WEEKDAYS.iter().position(|known| *known == word) {
        return Ok(day);
    }
    let full = likely(word, LONG).and_then(|long| LONG.iter().position(|known| *known == long));
    let found = full.map(|day| WEEKDAYS[day]).or_else(|| likely(word, WEEKDAYS.into_iter().chain(["daily"])));
    let hint = found.map_or_else(
        || "write daily, mon-fri, \"sat,sun\", 2026-12-31, \"first mon\" or \"last fri\"".to_owned(),
        did_you_mean,
    );
    Err(format!("has {}, which is no day; {hint}", shown(word, "a word")))
}

/// Why a text names no day. The message follows the name of a key or flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// It is written differently.
    #[error("has {0}, which is no date; write it like 2026-12-31")]
    Form(String),
    /// The month or the day does not exist.
    #[error("has {0}, a date that does not exist")]
    Unknown(String),
    /// The calendar ends before it.
    #[error("is out of range")]
    OutOfRange,
}

/// Parses a date like `2026-12-31`.
pub(crate) fn parse_date(text: &str) -> Result<Date, DateError> {
    let parts: Vec<_> = text.split('-').collect();
    let quoted = || shown(text, "a text");
    let [year, month, day] = parts[..] else { return Err(DateError::Form(quoted())) };
    let is_form = [(year, 4), (month, 2), (day, 2)]
        .iter()
        .all(|(part, length)| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_form {
        return Err(DateError::Form(quoted()));
    }
    let parsed = || Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok();
    parsed().ok_or_else(|| DateError::Unknown(quoted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The days of a March that begins on a Sunday, 2026.
    fn march(text: &str) -> Vec<i8> {
        let days = Days::parse(text).unwrap();
        (1..=31).filter(|day| days.contains(Date::constant(2026, 3, *day))).collect()
    }

    #[test]
    fn table() {
        for (text, expected) in [
            ("mon", vec![2, 9, 16, 23, 30]),
            ("sat,sun", vec![1, 7, 8, 14, 15, 21, 22, 28, 29]),
            ("Fri - Mon", vec![1, 2, 6, 7, 8, 9, 13, 14, 15, 16, 20, 21, 22, 23, 27, 28, 29, 30]),
            ("tue-tue", vec![3, 10, 17, 24, 31]),
            ("first mon", vec![2]),
            ("fourth sun", vec![22]),
            ("last sun", vec![29]),
            ("last  tue, first sun", vec![1, 31]),
            ("2026-03-31,2026-04-01", vec![31]),
        ] {
            assert_eq!(march(text), expected, "{text}");
        }
        assert_eq!(march("daily").len(), 31);
        assert_eq!(march("mon-sun"), march("daily"));
        assert!(Days::parse("2028-02-29").unwrap().contains(Date::constant(2028, 2, 29)));
    }

    #[test]
    fn only_dates_have_a_last() {
        assert_eq!(Days::parse("2026-03-31,2026-01-01").unwrap().last(), Some(Date::constant(2026, 3, 31)));
        assert_eq!(Days::parse("2026-03-31,mon").unwrap().last(), None);
    }

    #[test]
    fn what_is_no_day_is_refused_with_the_likely_one() {
        let texts = [
            "",
            "monday",
            "Mo",
            "thurs",
            "mon-",
            "mon-fir",
            "mon;tue",
            "dayly",
            "frist mon",
            "fifth mon",
            "last day",
            "2026-02-29",
            "2026-2-3",
            "31.12.2026",
            "2026-12-31T00:00",
            "mon,,tue",
            "http://h/?t=secret",
        ];
        let shown: Vec<_> =
            texts.map(|text| format!("{text}: days {}", Days::parse(text).unwrap_err())).into();
        insta::assert_snapshot!(shown.join("\n"));
        assert!(Days::parse(&"mon,".repeat(101)).is_err());
    }
}
