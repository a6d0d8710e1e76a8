//! Users without a role: the first try of each is logged, and few of their tries are answered.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Most strangers that are remembered; the tries of further ones are neither logged nor answered
/// until the next start.
const MOST: usize = 1000;
/// Most answers to one stranger.
const ANSWERS: u32 = 20;
/// Shortest time between two answers to strangers, all together, beyond [`AT_ONCE`].
const BETWEEN: Duration = Duration::from_secs(1);
/// Answers to strangers that may be given at once.
const AT_ONCE: u32 = 10;

/// The strangers since the start.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    answers: HashMap<i64, u32>,
    /// When the allowance of answers is full again.
    full: Option<Instant>,
}

impl Strangers {
    /// Records a try. Returns whether it is answered, if there is an answer (`answerable`).
    pub(super) fn on_try(&mut self, user_id: i64, answerable: bool, now: Instant) -> bool {
        if !self.answers.contains_key(&user_id) {
            if self.answers.len() >= MOST {
                return false;
            }
            log::warn!("user {user_id}, whom neither BOT_ADMINS nor BOT_VIEWERS names, writes to the bot");
            if self.answers.len() + 1 == MOST {
                log::warn!("{MOST} strangers have written to the bot; further ones are ignored");
            }
        }
        let answers = self.answers.entry(user_id).or_default();
        let full = self.full.map_or(now, |full| full.max(now)) + BETWEEN;
        if !answerable || *answers >= ANSWERS || full > now + BETWEEN * AT_ONCE {
            return false;
        }
        *answers += 1;
        self.full = Some(full);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_strangers_are_limited() {
        let mut strangers = Strangers::default();
        let mut now = Instant::now();
        let at_once = (0..100).filter(|id| strangers.on_try(*id, true, now)).count();
        assert_eq!(at_once, AT_ONCE as usize);
        assert!(!strangers.on_try(7, false, now));
        let mut of_one = 0;
        for _ in 0..100 {
            now += BETWEEN;
            of_one += u32::from(strangers.on_try(500, true, now));
        }
        assert_eq!(of_one, ANSWERS);
        for id in 1000..3000 {
            strangers.on_try(id, false, now);
        }
        assert_eq!(strangers.answers.len(), MOST);
    }
}
