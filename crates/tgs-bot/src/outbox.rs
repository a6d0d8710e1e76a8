//! What is to be sent to Telegram, in order and bounded. While Telegram asks to wait, or cannot be
//! reached, entries wait; what is outdated by then is replaced or dropped.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tgs_telegram::{ErrorClass, TelegramError, bot::BotClient};

use crate::conversation::{BotAction, Conversation};

/// Most entries; a further one drops the oldest.
const MOST: usize = 128;
/// Most pictures that wait; earlier ones are sent as text.
const MOST_PICTURES: usize = 4;
/// How long an app waits for the answer to a button.
const PRESS_LIFE: Duration = Duration::from_secs(10);

/// The entries that wait.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Instant, BotAction)>,
    /// Telegram accepts no request before this time.
    quiet_until: Option<Instant>,
    dropped: u64,
}

impl Outbox {
    /// Adds an entry. An edit replaces an earlier one of the same message, a panel an earlier one
    /// for the same user.
    pub(crate) fn push(&mut self, action: BotAction, now: Instant) {
        self.waiting.retain(|(_, earlier)| !replaces(&action, earlier));
        if matches!(
            &action,
            BotAction::Send { picture: Some(_), .. } | BotAction::Edit { picture: Some(_), .. }
        ) {
            self.drop_pictures();
        }
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                log::warn!("{} messages were dropped: more than {MOST} wait for Telegram", self.dropped);
            }
        }
        self.waiting.push_back((now, action));
    }

    /// Keeps the newest pictures only: each has up to 2 MiB.
    fn drop_pictures(&mut self) {
        let pictures = self.waiting.iter_mut().rev().filter_map(|(_, action)| match action {
            BotAction::Send { picture, .. } | BotAction::Edit { picture, .. } => Some(picture),
            _ => None,
        });
        for picture in pictures.filter(|picture| picture.is_some()).skip(MOST_PICTURES - 1) {
            *picture = None;
        }
    }

    /// When entries can be sent; `None` if none waits.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.quiet_until.unwrap_or(now).max(now))
    }

    /// Whether Telegram has asked to wait.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.quiet_until.is_some_and(|until| until > now)
    }

    /// Sends nothing for as long as a FLOOD_WAIT asks.
    pub(crate) fn wait(&mut self, flood: &TelegramError) {
        log::warn!("failed to {flood}; messages wait until then");
        self.quiet_until = Some(Instant::now() + flood.wait.unwrap_or_default());
    }

    /// Sends what waits. Fails if Telegram cannot be reached; the entries then go on waiting.
    pub(crate) fn flush(
        &mut self,
        client: &mut BotClient,
        conversation: &mut Conversation,
        beat: impl Fn(),
    ) -> Result<(), TelegramError> {
        while !self.is_quiet(Instant::now())
            && let Some((since, action)) = self.waiting.pop_front()
        {
            beat();
            let outdated = matches!(action, BotAction::AnswerPress { .. }) && since.elapsed() > PRESS_LIFE;
            if outdated {
                continue;
            }
            let Err(error) = send(client, conversation, &action) else { continue };
            match error.class {
                ErrorClass::Flood => {
                    self.wait(&error);
                    self.waiting.push_front((since, action));
                }
                ErrorClass::Network | ErrorClass::Session | ErrorClass::Account | ErrorClass::Stopped => {
                    self.waiting.push_front((since, action));
                    return Err(error);
                }
                // Of this message alone: the user has blocked the bot, or has deleted the message.
                _ => log::info!("failed to {error}"),
            }
        }
        Ok(())
    }
}

fn replaces(new: &BotAction, earlier: &BotAction) -> bool {
    match (new, earlier) {
        (
            BotAction::Edit { user_id, message_id, .. },
            BotAction::Edit { user_id: user, message_id: message, .. },
        ) => (user_id, message_id) == (user, message),
        (
            BotAction::Send { user_id, is_panel: true, .. },
            BotAction::Send { user_id: user, is_panel: true, .. },
        ) => user_id == user,
        _ => false,
    }
}

fn send(
    client: &mut BotClient,
    conversation: &mut Conversation,
    action: &BotAction,
) -> Result<(), TelegramError> {
    match action {
        BotAction::Send { user_id, text, keyboard, picture, is_panel } => {
            let sent = match picture {
                Some(picture) => client.send_picture(*user_id, picture, text, keyboard)?,
                None => client.send(*user_id, text, keyboard)?,
            };
            if let (Some(id), true) = (sent, *is_panel) {
                conversation.panel_sent(*user_id, id, picture.is_some());
            }
            Ok(())
        }
        BotAction::Edit { user_id, message_id, text, keyboard, picture } => match picture {
            Some(picture) => client.edit_picture(*user_id, *message_id, picture, text, keyboard),
            None => client.edit(*user_id, *message_id, text, keyboard),
        },
        BotAction::AnswerPress { press_id, text, alert } => client.answer_press(*press_id, text, *alert),
        BotAction::Announce { user_id, commands } => client.set_commands(*user_id, commands),
        // Not for Telegram; the daemon never puts it here.
        BotAction::Ask(_) | BotAction::Fetch(_) | BotAction::CancelFetch(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tgs_telegram::bot::{BotText, Keyboard};

    use super::*;

    #[test]
    fn the_newest_edit_counts_and_the_queue_is_bounded() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        let edit = |message_id, text: &str| BotAction::Edit {
            user_id: 1,
            message_id,
            text: BotText::plain(text),
            keyboard: Keyboard::default(),
            picture: None,
        };
        outbox.push(edit(1, "a"), now);
        outbox.push(edit(2, "b"), now);
        outbox.push(edit(1, "c"), now);
        let kept: Vec<_> = outbox.waiting.drain(..).map(|(_, action)| action).collect();
        assert_eq!(kept, [edit(2, "b"), edit(1, "c")]);
        assert_eq!(outbox.due(now), None);
        for message_id in 0..1000 {
            outbox.push(edit(message_id, "x"), now);
        }
        assert_eq!((outbox.waiting.len(), outbox.dropped), (MOST, 1000 - MOST as u64));
        assert_eq!(outbox.due(now), Some(now));
    }
}
