//! The browsers that are signed in. Kept in memory: a restart signs all out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::hash::{self, HashError};

/// Most browsers that are signed in at once, and those of one user; beyond it the one unused for
/// longest is signed out.
const MOST: usize = 1000;
const OF_USER: usize = 50;

/// How long a browser stays signed in at most.
pub(crate) const LONGEST: Duration = Duration::from_hours(7 * 24);

/// The signed-in browsers, by the digest of their token.
#[derive(Debug)]
pub(crate) struct BrowserSessions {
    idle: Duration,
    all: Mutex<HashMap<[u8; 32], BrowserSession>>,
}

#[derive(Debug)]
struct BrowserSession {
    user: String,
    /// The digest of the password's hash at sign-in: a new password ends the session.
    password: [u8; 32],
    began: Instant,
    used: Instant,
}

impl BrowserSessions {
    /// Sessions that end after `idle` without a request.
    pub(crate) fn new(idle: Duration) -> Self {
        Self { idle, all: Mutex::default() }
    }

    /// Signs a browser in and returns its token.
    pub(crate) fn begin(&self, user: &str, password_hash: &str, now: Instant) -> Result<String, HashError> {
        let token = hash::token()?;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| !session.has_ended(self.idle, now));
        let own = all.values().filter(|session| session.user == user).count() >= OF_USER;
        if own || all.len() >= MOST {
            let others = all.iter().filter(|(_, session)| !own || session.user == user);
            if let Some(oldest) = others.min_by_key(|(_, session)| session.used).map(|(key, _)| *key) {
                all.remove(&oldest);
            }
        }
        let (user, password) = (user.to_owned(), hash::digest(password_hash));
        all.insert(hash::digest(&token), BrowserSession { user, password, began: now, used: now });
        Ok(token)
    }

    /// The user of a token; counts as a use of it. `password_hash` gives a user's present hash.
    pub(crate) fn user(
        &self,
        token: &str,
        password_hash: impl Fn(&str) -> Option<String>,
        now: Instant,
    ) -> Option<String> {
        let key = hash::digest(token);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get_mut(&key)?;
        let same = password_hash(&session.user).is_some_and(|hash| hash::digest(&hash) == session.password);
        if session.has_ended(self.idle, now) || !same {
            all.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.user.clone())
    }

    /// Signs a browser out.
    pub(crate) fn end(&self, token: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash::digest(token));
    }
}

impl BrowserSession {
    fn has_ended(&self, idle: Duration, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        since(self.used) >= idle || since(self.began) >= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(user: &str) -> Option<String> {
        (user != "gone").then(|| format!("hash of {user}"))
    }

    #[test]
    fn a_session_ends_unused_and_after_a_week() {
        let sessions = BrowserSessions::new(Duration::from_hours(12));
        let start = Instant::now();
        let at = |hours| start + Duration::from_hours(hours);
        let token = sessions.begin("anna", "hash of anna", start).unwrap();
        assert_eq!(sessions.user(&token, hash, at(11)).as_deref(), Some("anna"));
        assert_eq!(sessions.user(&token, hash, at(22)).as_deref(), Some("anna"));
        assert_eq!(sessions.user(&token, hash, at(34)), None);
        let token = sessions.begin("anna", "hash of anna", start).unwrap();
        for hour in (0..167).step_by(10) {
            assert!(sessions.user(&token, hash, at(hour)).is_some(), "{hour}");
        }
        assert_eq!(sessions.user(&token, hash, at(168)), None);
    }

    #[test]
    fn a_removed_user_a_new_password_and_a_guess_are_no_session() {
        let sessions = BrowserSessions::new(LONGEST);
        let now = Instant::now();
        let token = sessions.begin("gone", "x", now).unwrap();
        assert_eq!(sessions.user(&token, hash, now), None);
        let token = sessions.begin("anna", "hash of yesterday", now).unwrap();
        assert_eq!(sessions.user(&token, hash, now), None);
        let token = sessions.begin("anna", "hash of anna", now).unwrap();
        for guess in ["", "0", &token[1..], &token.to_uppercase(), &format!("{token}0")] {
            assert_eq!(sessions.user(guess, hash, now), None, "{guess}");
        }
        assert!(sessions.user(&token, hash, now).is_some());
        sessions.end(&token);
        assert_eq!(sessions.user(&token, hash, now), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let sessions = BrowserSessions::new(LONGEST);
        let now = Instant::now();
        let first = sessions.begin("ben", "hash of ben", now).unwrap();
        for n in 0..=OF_USER as u64 {
            sessions.begin("anna", "hash of anna", now + Duration::from_secs(1 + n)).unwrap();
        }
        assert_eq!(sessions.all.lock().unwrap().len(), 1 + OF_USER);
        assert!(sessions.user(&first, hash, now).is_some(), "anna has not signed ben out");
        for n in 0..MOST as u64 {
            let user = format!("user {n}");
            sessions.begin(&user, "", now + Duration::from_secs(100 + n)).unwrap();
        }
        assert_eq!(sessions.all.lock().unwrap().len(), MOST);
        assert_eq!(sessions.user(&first, hash, now), None);
    }
}
