//! A value that must not be shown: stream key, session string, API hash, password.
//!
//! Prevents accidental display (`{:?}` of a struct, an error text), not reading from memory.

use std::fmt;

/// A value that prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for its use; never for a log, an error or an argument list.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_display_hide_the_secret() {
        let key = Secret::new("rtmp://host/app/key".to_owned());
        for shown in [format!("{key}"), format!("{key:?}"), format!("{key:#?}"), format!("{:?}", Some(&key))]
        {
            assert!(shown.contains("[redacted]") && !shown.contains("key"), "{shown}");
        }
        assert_eq!(key.expose(), "rtmp://host/app/key");
    }
}
