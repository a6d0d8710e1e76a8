//! What of Telegram's updates concerns a bot in private chats. All other updates are dropped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grammers_tl_types as tl;

use super::file::BotFile;

/// What a user of the bot did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BotUpdate {
    /// A user wrote to the bot.
    Message(PrivateMessage),
    /// A user pressed a button.
    Press(ButtonPress),
}

/// A message in a private chat with the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateMessage {
    /// The sender, who is the other side of the chat.
    pub user_id: i64,
    /// The message's ID.
    pub message_id: i32,
    /// The text, or that below a file; empty for a message without one.
    pub text: String,
    /// The file.
    pub file: Option<BotFile>,
    /// When Telegram received it.
    pub sent: SystemTime,
    /// Whether it was requested after a gap, and may be old.
    pub is_late: bool,
    /// The language of the sender's app, if known: `en`, `pt-br`.
    pub lang_code: Option<String>,
}

/// A pressed button below a message in a private chat with the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonPress {
    /// Names the press in the answer to it.
    pub press_id: i64,
    /// Who pressed it, and is the other side of the chat.
    pub user_id: i64,
    /// The message with the button.
    pub message_id: i32,
    /// The data of the button, as the app states it: a modified app sends any data.
    pub data: Vec<u8>,
    /// The language of the user's app, if known.
    pub lang_code: Option<String>,
}

pub(super) fn convert(
    update: tl::enums::Update,
    is_late: bool,
    language: impl Fn(i64) -> Option<String>,
) -> Option<BotUpdate> {
    match update {
        tl::enums::Update::NewMessage(tl::types::UpdateNewMessage {
            message: tl::enums::Message::Message(message),
            ..
        }) => {
            let tl::enums::Peer::User(peer) = message.peer_id else { return None };
            // An own message, or a forged sender.
            if message.out || message.from_id.is_some_and(|from| from != peer.clone().into()) {
                return None;
            }
            Some(BotUpdate::Message(PrivateMessage {
                user_id: peer.user_id,
                message_id: message.id,
                text: message.message,
                file: BotFile::of(message.id, message.media),
                sent: UNIX_EPOCH + Duration::from_secs(message.date.max(0).unsigned_abs().into()),
                is_late,
                lang_code: language(peer.user_id),
            }))
        }
        tl::enums::Update::BotCallbackQuery(press) => {
            // In a private chat the peer is the user.
            let private = tl::enums::Peer::from(tl::types::PeerUser { user_id: press.user_id });
            (press.peer == private).then(|| {
                BotUpdate::Press(ButtonPress {
                    press_id: press.query_id,
                    user_id: press.user_id,
                    message_id: press.msg_id,
                    data: press.data.unwrap_or_default(),
                    lang_code: language(press.user_id),
                })
            })
        }
        _ => None,
    }
}

/// The ID of a message that was just sent.
pub(super) fn sent_id(answer: &tl::enums::Updates, random_id: i64) -> Option<i32> {
    use tl::enums::{Update, Updates};
    let named = |update: &Update| match update {
        Update::MessageId(it) if it.random_id == random_id => Some(it.id),
        _ => None,
    };
    match answer {
        Updates::UpdateShortSentMessage(sent) => Some(sent.id),
        Updates::Updates(all) => all.updates.iter().find_map(named),
        Updates::Combined(all) => all.updates.iter().find_map(named),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(user_id: i64, peer: tl::enums::Peer) -> tl::enums::Update {
        tl::types::UpdateBotCallbackQuery {
            query_id: 1,
            user_id,
            peer,
            msg_id: 2,
            chat_instance: 3,
            data: None,
            game_short_name: None,
        }
        .into()
    }

    #[test]
    fn only_private_chats_are_heard() {
        let user = tl::types::PeerUser { user_id: 5 }.into();
        let found = convert(press(5, user), false, |_| Some("ru".to_owned()));
        let Some(BotUpdate::Press(found)) = found else { panic!("{found:?}") };
        assert_eq!((found.user_id, found.message_id, found.lang_code.as_deref()), (5, 2, Some("ru")));
        for peer in [
            tl::types::PeerUser { user_id: 6 }.into(),
            tl::types::PeerChat { chat_id: 5 }.into(),
            tl::types::PeerChannel { channel_id: 5 }.into(),
        ] {
            assert_eq!(convert(press(5, peer), false, |_| None), None);
        }
    }
}
