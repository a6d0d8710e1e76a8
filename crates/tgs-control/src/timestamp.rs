//! Times in events and in the as-run log: RFC 3339, UTC, milliseconds. Reads no clock.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tgs_core::time::{Utc, parse_utc};

/// A time of the wall clock, in milliseconds since 1970: `2026-02-28T23:59:59.123Z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time as the system knows it.
    #[must_use]
    pub fn as_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// Milliseconds from `earlier` to this time; 0 if it is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads a time in RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_utc(text).map(Self::from)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond the year 9999, which `Utc` clamps, the sum could overflow.
        Utc(UNIX_EPOCH + Duration::from_millis(self.0.min(1 << 48))).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("expected a time like 2026-02-28T23:59:59.123Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_millisecond_and_read_back() {
        for millis in [0, 1, 999, 1_000, 1_795_000_000_123] {
            let json = serde_json::to_string(&Timestamp(millis)).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), Timestamp(millis), "{json}");
        }
        assert_eq!(Timestamp(u64::MAX).to_string(), "9999-12-31T23:59:59.000Z");
        assert_eq!(Timestamp::parse("2026-02-28T23:59:59Z").map(|t| t.0 % 1000), Some(0));
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
