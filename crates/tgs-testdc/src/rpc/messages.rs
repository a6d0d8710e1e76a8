//! Messages of private chats between a user and a bot: sent, edited, listed, and pushed to both.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error};
use crate::{
    mailbox::{Change, PrivateMessage},
    message::now,
    objects,
    world::Account,
};

/// Longest text, in UTF-16 units: `message_length_max` of `help.getConfig`.
const LONGEST_TEXT: usize = 4096;
/// Longest data of a button in bytes: <https://core.telegram.org/bots/api#inlinekeyboardbutton>
const LONGEST_DATA: usize = 64;
/// Most buttons of a message: observed; more are `REPLY_MARKUP_TOO_LONG`.
const MOST_BUTTONS: usize = 100;

/// The other user of a private chat with a bot. A bot needs no access hash, but a user who wrote
/// first: <https://core.telegram.org/bots/faq#why-doesn-39t-my-bot-see-messages>
pub(super) fn other_side(caller: &Caller<'_>, me: &Account, peer: &enums::InputPeer) -> Answer<i64> {
    let enums::InputPeer::User(peer) = peer else { return error("PEER_ID_INVALID") };
    let Some(other) = caller.state.account(peer.user_id) else { return error("PEER_ID_INVALID") };
    let begun =
        caller.state.mail.get(&me.user_id).is_some_and(|mail| mail.chat(peer.user_id).next().is_some());
    match (me.bot, other.bot) {
        (true, true) => error("USER_IS_BOT"),
        (true, false) if begun => Ok(other.user_id),
        (false, true) if peer.access_hash == caller.state.access_hash(me.user_id, other.user_id) => {
            Ok(other.user_id)
        }
        _ => error("PEER_ID_INVALID"),
    }
}

fn check_text(text: &str) -> Answer<()> {
    match text.encode_utf16().count() {
        0 => error("MESSAGE_EMPTY"),
        1..=LONGEST_TEXT => Ok(()),
        _ => error("MESSAGE_TOO_LONG"),
    }
}

/// Only bots send keyboards.
fn check_markup(me: &Account, markup: Option<&enums::ReplyMarkup>) -> Answer<()> {
    let Some(enums::ReplyMarkup::ReplyInlineMarkup(inline)) = markup else { return Ok(()) };
    if !me.bot {
        return error("REPLY_MARKUP_INVALID");
    }
    let rows = inline.rows.iter().map(|enums::KeyboardInlineButtonRow::Row(row)| row);
    let buttons: Vec<_> =
        rows.flat_map(|row| &row.buttons).map(|enums::KeyboardInlineButton::Button(it)| it).collect();
    let too_long = |button: &&types::KeyboardInlineButton| matches!(&button.r#type, enums::InlineButtonType::Callback(it) if it.data.len() > LONGEST_DATA);
    match () {
        () if buttons.len() > MOST_BUTTONS => error("REPLY_MARKUP_TOO_LONG"),
        () if buttons.iter().any(too_long) => error("BUTTON_DATA_INVALID"),
        () if buttons.iter().any(|button| button.text.is_empty()) => error("BUTTON_TEXT_INVALID"),
        () => Ok(()),
    }
}

fn update(message: enums::Message, change: Change) -> enums::Update {
    let (pts, pts_count) = (change.pts, 1);
    if change.is_edit {
        types::UpdateEditMessage { message, pts, pts_count }.into()
    } else {
        types::UpdateNewMessage { message, pts, pts_count }.into()
    }
}

impl Caller<'_> {
    /// Puts a message into both mailboxes and pushes it. Returns the update for the sender.
    fn deliver(&mut self, me: i64, sent: PrivateMessage) -> enums::Update {
        let other = sent.other;
        let received = PrivateMessage {
            id: sent.id_of_other,
            other: me,
            id_of_other: sent.id,
            out: !sent.out,
            ..sent.clone()
        };
        let date = sent.edited.unwrap_or(sent.date);
        let seen_by_me = objects::private_message(&sent);
        let seen_by_other = objects::private_message(&received);
        let change = self.state.mail.entry(other).or_default().put(received);
        let pushed =
            objects::private_updates(self.state, other, me, vec![update(seen_by_other, change)], date);
        self.push(other, None, &pushed);
        let change = self.state.mail.entry(me).or_default().put(sent);
        let own = update(seen_by_me, change);
        let pushed = objects::private_updates(self.state, me, other, vec![own.clone()], date);
        self.push(me, Some(self.key), &pushed);
        own
    }

    fn push(&self, user_id: i64, except: Option<i64>, updates: &enums::Updates) {
        self.state.push_to_account(user_id, except, &grammers_tl_types::Serializable::to_bytes(updates));
    }
}

impl Method for functions::messages::SendMessage {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?;
        let other = other_side(caller, &me, &self.peer)?;
        check_text(&self.message)?;
        check_markup(&me, self.reply_markup.as_ref())?;
        let mailbox = caller.state.mail.entry(me.user_id).or_default();
        if !mailbox.is_new(self.random_id) {
            return Err(crate::error::RpcError { code: 500, name: "RANDOM_ID_DUPLICATE".to_owned() });
        }
        let id = mailbox.next_id();
        let id_of_other = caller.state.mail.entry(other).or_default().next_id();
        let date = now();
        let sent = PrivateMessage {
            id,
            other,
            id_of_other,
            out: true,
            text: self.message,
            entities: self.entities,
            markup: self.reply_markup,
            date,
            edited: None,
        };
        let own = caller.deliver(me.user_id, sent);
        let named = types::UpdateMessageId { id, random_id: self.random_id }.into();
        Ok(objects::private_updates(caller.state, me.user_id, other, vec![named, own], date))
    }
}

impl Method for functions::messages::EditMessage {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?;
        let other = other_side(caller, &me, &self.peer)?;
        let mailbox = caller.state.mail.get(&me.user_id);
        let Some(old) = mailbox.and_then(|mailbox| mailbox.get(self.id)).filter(|old| old.other == other)
        else {
            return error("MESSAGE_ID_INVALID");
        };
        if !old.out {
            return error("MESSAGE_AUTHOR_REQUIRED");
        }
        check_markup(&me, self.reply_markup.as_ref())?;
        let text = self.message.unwrap_or_else(|| old.text.clone());
        check_text(&text)?;
        if text == old.text && self.reply_markup == old.markup {
            return error("MESSAGE_NOT_MODIFIED");
        }
        let date = now();
        let edited = PrivateMessage {
            text,
            entities: self.entities,
            markup: self.reply_markup,
            edited: Some(date),
            ..old.clone()
        };
        let own = caller.deliver(me.user_id, edited);
        Ok(objects::private_updates(caller.state, me.user_id, other, vec![own], date))
    }
}

impl Method for functions::messages::GetHistory {
    const PEOPLE_ONLY: bool = true;

    /// The newest messages of a chat; no offset but `offset_id` is supported.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::Messages> {
        let me = caller.me()?;
        let other = other_side(caller, &me, &self.peer)?;
        let limit = if self.limit > 0 { self.limit.unsigned_abs() as usize } else { 20 };
        let mailbox = caller.state.mail.entry(me.user_id).or_default();
        let older = mailbox.chat(other).filter(|message| self.offset_id == 0 || message.id < self.offset_id);
        let messages = older.take(limit.min(100)).map(objects::private_message).collect();
        let users = objects::pair(caller.state, me.user_id, other);
        let (topics, chats) = (Vec::new(), Vec::new());
        Ok(types::messages::Messages { messages, topics, chats, users }.into())
    }
}
