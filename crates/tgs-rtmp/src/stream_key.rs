//! The stream key: the secret that names a stream and permits publishing it. Never displayed.

use std::fmt;

use ring::{hmac, rand::SystemRandom};

/// A stream key. `Debug` hides it; there is no `Display`.
///
/// ```
/// use tgs_rtmp::stream_key::StreamKey;
///
/// let key = StreamKey::new("live_s3cr3t");
/// assert!(key.matches("live_s3cr3t") && !key.matches("live_"));
/// assert_eq!(format!("{key:?}"), "StreamKey(***)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

impl StreamKey {
    /// Wraps `key`.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Compares with another key. The duration depends on the length of `other` only.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }

    /// Compares with a client's stream name. The duration depends on the length of `name` only.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // HMAC tags under a random key have equal length and compare in constant time.
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).is_ok_and(|key| {
            let tag = hmac::sign(&key, self.0.as_bytes());
            hmac::verify(&key, name.as_bytes(), tag.as_ref()).is_ok()
        })
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_matches() {
        let key = StreamKey::new("s3cr3t");
        assert!(key.matches("s3cr3t"));
        for name in ["", "s", "s3cr3", "s3cr3t ", "S3cr3t", "s3cr3ts3cr3t"] {
            assert!(!key.matches(name), "{name}");
        }
    }
}
