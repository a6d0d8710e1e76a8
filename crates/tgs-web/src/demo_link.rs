//! The link with which the demo signs in: once, within ten minutes, from this machine.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::hash::{self, HashError};

/// The name of the user that the link signs in.
pub(crate) const USER: &str = "demo";

const VALID: Duration = Duration::from_mins(10);

/// The token of the link.
#[derive(Debug)]
pub(crate) struct DemoLink {
    token: Mutex<Option<[u8; 32]>>,
    made: Instant,
}

impl DemoLink {
    /// Makes a link, and returns its token for the URL.
    pub(crate) fn new(now: Instant) -> Result<(Self, String), HashError> {
        let token = hash::token()?;
        Ok((Self { token: Mutex::new(Some(hash::digest(&token))), made: now }, token))
    }

    /// Whether `token` signs in; it does so once.
    pub(crate) fn accept(&self, token: &str, now: Instant) -> bool {
        let mut own = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = now.saturating_duration_since(self.made) < VALID && *own == Some(hash::digest(token));
        if valid {
            *own = None;
        }
        valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_valid_once_and_for_ten_minutes() {
        let now = Instant::now();
        let (link, token) = DemoLink::new(now).unwrap();
        assert!(!link.accept("", now) && !link.accept(&token[1..], now));
        assert!(link.accept(&token, now + Duration::from_secs(599)));
        assert!(!link.accept(&token, now));
        let (link, token) = DemoLink::new(now).unwrap();
        assert!(!link.accept(&token, now + Duration::from_mins(10)));
    }
}
