//! Messages of private chats between a user and a bot: sent, edited, forwarded, listed, and pushed
//! to both.

use std::sync::Arc;

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error, media::input_media};
use crate::{
    files::StoredFile,
    mailbox::{Change, PrivateMessage},
    message::now,
    objects,
    world::Account,
};

/// Longest text, in UTF-16 units: `message_length_max` of `help.getConfig`.
const LONGEST_TEXT: usize = 4096;
/// Longest text of a message with a photo or document: `caption_length_max` of `help.getConfig`.
const LONGEST_CAPTION: usize = 1024;
/// Most messages that one call names.
const MOST_MESSAGES: usize = 100;
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

fn check_text(text: &str, is_caption: bool) -> Answer<()> {
    match text.encode_utf16().count() {
        0 if !is_caption => error("MESSAGE_EMPTY"),
        units if is_caption && units > LONGEST_CAPTION => error("MEDIA_CAPTION_TOO_LONG"),
        0..=LONGEST_TEXT => Ok(()),
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
        let seen_by_me = objects::private_message(self.state, &sent);
        let seen_by_other = objects::private_message(self.state, &received);
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

/// What a new message consists of.
struct NewMessage {
    other: i64,
    random_id: i64,
    text: String,
    entities: Option<Vec<enums::MessageEntity>>,
    markup: Option<enums::ReplyMarkup>,
    media: Option<Arc<StoredFile>>,
    forwarded: Option<(i32, String)>,
}

impl Caller<'_> {
    /// Sends a message of `me`. Returns the updates for the sender, and the date.
    fn send_new(&mut self, me: i64, new: NewMessage) -> Answer<([enums::Update; 2], i32)> {
        let mailbox = self.state.mail.entry(me).or_default();
        if !mailbox.is_new(new.random_id) {
            return Err(crate::error::RpcError { code: 500, name: "RANDOM_ID_DUPLICATE".to_owned() });
        }
        let id = mailbox.next_id();
        let id_of_other = self.state.mail.entry(new.other).or_default().next_id();
        let date = now();
        let sent = PrivateMessage {
            id,
            other: new.other,
            id_of_other,
            out: true,
            text: new.text,
            entities: new.entities,
            markup: new.markup,
            media: new.media,
            forwarded: new.forwarded,
            date,
            edited: None,
        };
        let own = self.deliver(me, sent);
        let named = types::UpdateMessageId { id, random_id: new.random_id }.into();
        Ok(([named, own], date))
    }
}

impl Method for functions::messages::SendMessage {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let (random_id, text, entities) = (self.random_id, self.message, self.entities);
        send(caller, &self.peer, random_id, text, entities, self.reply_markup, None)
    }
}

impl Method for functions::messages::SendMedia {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let (random_id, text, entities) = (self.random_id, self.message, self.entities);
        send(caller, &self.peer, random_id, text, entities, self.reply_markup, Some(&self.media))
    }
}

/// Sends a message, with a photo or document if `media` is given.
fn send(
    caller: &mut Caller<'_>,
    peer: &enums::InputPeer,
    random_id: i64,
    text: String,
    entities: Option<Vec<enums::MessageEntity>>,
    markup: Option<enums::ReplyMarkup>,
    media: Option<&enums::InputMedia>,
) -> Answer<enums::Updates> {
    let me = caller.me()?;
    let other = other_side(caller, &me, peer)?;
    check_text(&text, media.is_some())?;
    check_markup(&me, markup.as_ref())?;
    let media = media.map(|media| input_media(caller, me.user_id, media)).transpose()?;
    let new = NewMessage { other, random_id, text, entities, markup, media, forwarded: None };
    let (updates, date) = caller.send_new(me.user_id, new)?;
    Ok(objects::private_updates(caller.state, me.user_id, other, updates.to_vec(), date))
}

impl Method for functions::messages::ForwardMessages {
    /// Within private chats with bots, whose messages alone exist here.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?;
        let from = other_side(caller, &me, &self.from_peer)?;
        let other = other_side(caller, &me, &self.to_peer)?;
        if self.id.len() != self.random_id.len() || !(1..=MOST_MESSAGES).contains(&self.id.len()) {
            return error("RANDOM_ID_INVALID");
        }
        let (mut updates, mut date) = (Vec::new(), now());
        for (id, random_id) in self.id.into_iter().zip(self.random_id) {
            let mailbox = caller.state.mail.get(&me.user_id);
            let Some(old) =
                mailbox.and_then(|mailbox| mailbox.get(id)).filter(|old| old.other == from).cloned()
            else {
                return error("MESSAGE_ID_INVALID");
            };
            let author = if old.out { me.user_id } else { from };
            let name = caller.state.account(author).map_or_else(String::new, |it| it.first_name.clone());
            let new = NewMessage {
                other,
                random_id,
                text: old.text,
                entities: old.entities,
                markup: None,
                media: old.media,
                forwarded: Some(old.forwarded.unwrap_or((old.date, name))),
            };
            let (of_this, at) = caller.send_new(me.user_id, new)?;
            updates.extend(of_this);
            date = at;
        }
        Ok(objects::private_updates(caller.state, me.user_id, other, updates, date))
    }
}

impl Method for functions::messages::EditMessage {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?;
        let other = other_side(caller, &me, &self.peer)?;
        let mailbox = caller.state.mail.get(&me.user_id);
        let old = mailbox.and_then(|mailbox| mailbox.get(self.id)).filter(|old| old.other == other);
        let Some(old) = old.cloned() else {
            return error("MESSAGE_ID_INVALID");
        };
        if !old.out {
            return error("MESSAGE_AUTHOR_REQUIRED");
        }
        check_markup(&me, self.reply_markup.as_ref())?;
        let text = self.message.unwrap_or_else(|| old.text.clone());
        let media = match &self.media {
            Some(media) => Some(input_media(caller, me.user_id, media)?),
            None => old.media.clone(),
        };
        check_text(&text, media.is_some())?;
        if text == old.text && self.reply_markup == old.markup && media == old.media {
            return error("MESSAGE_NOT_MODIFIED");
        }
        let date = now();
        let edited = PrivateMessage {
            text,
            entities: self.entities,
            markup: self.reply_markup,
            media,
            edited: Some(date),
            ..old
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
        let mailbox = caller.state.mail.get(&me.user_id);
        let all = mailbox.into_iter().flat_map(|mailbox| mailbox.chat(other));
        let older = all.filter(|message| self.offset_id == 0 || message.id < self.offset_id);
        let shown = older.take(limit.min(100)).map(|message| objects::private_message(caller.state, message));
        let messages = shown.collect();
        let users = objects::pair(caller.state, me.user_id, other);
        let (topics, chats) = (Vec::new(), Vec::new());
        Ok(types::messages::Messages { messages, topics, chats, users }.into())
    }
}

impl Method for functions::messages::GetMessages {
    /// Messages of the account's own private chats. Omits unknown ones.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::Messages> {
        let me = caller.me()?;
        if self.id.len() > MOST_MESSAGES {
            return error("LIMIT_INVALID");
        }
        let Some(mailbox) = caller.state.mail.get(&me.user_id) else { return error("MESSAGE_IDS_EMPTY") };
        let found = self.id.iter().filter_map(|id| match id {
            enums::InputMessage::Id(id) => mailbox.get(id.id),
            _ => None,
        });
        let found: Vec<_> = found.collect();
        let messages = found.iter().map(|message| objects::private_message(caller.state, message)).collect();
        let mut people: Vec<i64> = found.iter().map(|message| message.other).chain([me.user_id]).collect();
        people.sort_unstable();
        people.dedup();
        let accounts = people.iter().filter_map(|id| caller.state.account(*id));
        let users = accounts.map(|account| objects::user(caller.state, me.user_id, account)).collect();
        let (topics, chats) = (Vec::new(), Vec::new());
        Ok(types::messages::Messages { messages, topics, chats, users }.into())
    }
}
