//! What a bot keeps over a restart: its session, and up to where its updates were received. As
//! text, which is as secret as the token.

use grammers_session::{types::UpdatesState, updates::MessageBoxes};
use tgs_core::secret::Secret;

use crate::session::string::SessionString;

/// The first line, so that another file is not taken for one of ours.
const HEAD: &str = "tgs-bot 1";

/// The session of a bot and the state of its updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotState {
    pub(super) session: SessionString,
    pub(super) bot_id: i64,
    /// `pts`, `qts`, `date` and `seq` of <https://core.telegram.org/api/updates>; zeros before the
    /// first.
    updates: [i32; 4],
}

/// The text is not the state of a bot. Contains no part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the session of a bot that tgs-bot writes")]
pub struct InvalidBotState;

impl BotState {
    pub(super) fn new(session: SessionString, bot_id: i64) -> Self {
        Self { session, bot_id, updates: [0; 4] }
    }

    pub(super) fn with_updates(self, state: &UpdatesState) -> Self {
        Self { updates: [state.pts, state.qts, state.date, state.seq], ..self }
    }

    /// Continues with the updates of an earlier session of the same bot: their numbers are those of
    /// the account.
    #[must_use]
    pub fn continuing(self, earlier: &Self) -> Self {
        if earlier.bot_id == self.bot_id { Self { updates: earlier.updates, ..self } } else { self }
    }

    /// The bot's user ID, with which its token begins.
    #[must_use]
    pub fn bot_id(&self) -> i64 {
        self.bot_id
    }

    pub(super) fn boxes(&self) -> MessageBoxes {
        let [pts, qts, date, seq] = self.updates;
        if pts == 0 {
            return MessageBoxes::new();
        }
        MessageBoxes::load(UpdatesState { pts, qts, date, seq, channels: Vec::new() })
    }

    /// The state as text; `None` for a session without an address, which no sign-in makes.
    #[must_use]
    pub fn to_text(&self) -> Option<Secret<String>> {
        let session = self.session.to_telethon(self.session.socket_addr()?);
        let [pts, qts, date, seq] = self.updates;
        let bot = self.bot_id;
        Some(Secret::new(format!("{HEAD}\n{}\n{bot} {pts} {qts} {date} {seq}\n", session.expose())))
    }

    /// Reads what [`BotState::to_text`] wrote.
    pub fn parse(text: &str) -> Result<Self, InvalidBotState> {
        let mut lines = text.lines();
        let (Some(HEAD), Some(session), Some(numbers), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(InvalidBotState);
        };
        let session = SessionString::decode(session).map_err(|_| InvalidBotState)?;
        let numbers: Vec<i64> =
            numbers.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| InvalidBotState)?;
        let [bot_id, rest @ ..] = &*numbers else { return Err(InvalidBotState) };
        let rest: Vec<i32> =
            rest.iter().map(|&n| n.try_into()).collect::<Result<_, _>>().map_err(|_| InvalidBotState)?;
        let updates = rest.try_into().map_err(|_| InvalidBotState)?;
        Ok(Self { session, bot_id: *bot_id, updates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::string::AuthKey;

    #[test]
    fn the_state_is_read_back() {
        let mut key = [1; 256];
        key[0] = 7;
        let session = SessionString::new(2, "127.0.0.1:4001".parse().unwrap(), AuthKey::new(key)).unwrap();
        let state = UpdatesState { pts: 5, qts: 0, date: 9, seq: 1, channels: Vec::new() };
        let state = BotState::new(session, 77).with_updates(&state);
        let text = state.to_text().unwrap();
        let read = BotState::parse(text.expose()).unwrap();
        assert_eq!((read.bot_id(), read.updates), (77, [5, 0, 9, 1]));
        assert_eq!(read.to_text(), Some(text.clone()));
        assert!(!read.boxes().is_empty() && BotState::new(read.session.clone(), 1).boxes().is_empty());
        let fresh = BotState::new(read.session.clone(), 77);
        assert_eq!(
            (fresh.clone().continuing(&read), BotState::new(read.session.clone(), 1).updates),
            (read.clone(), [0; 4])
        );
        let lines: Vec<_> = text.expose().lines().collect();
        for other in
            ["", "x", lines[0], lines[1], &lines[..2].join("\n"), &text.expose().replace("77 5", "77")]
        {
            assert_eq!(BotState::parse(other), Err(InvalidBotState), "{other}");
        }
    }
}
