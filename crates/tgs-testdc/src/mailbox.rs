//! Private chats: each account's own copies of its messages, and the changes that its clients can
//! request again. Data only.
//!
//! Both sides of a chat have ids of their own for a message, and a counter `pts` of their own:
//! <https://core.telegram.org/api/updates#message-related-event-sequences>

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use grammers_tl_types::enums;

use crate::files::StoredFile;

/// The messages of one account.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The number of the last change; 1 before the first.
    pub(crate) pts: i32,
    messages: BTreeMap<i32, PrivateMessage>,
    changes: Vec<Change>,
    random_ids: HashSet<i64>,
}

/// A message in one account's mailbox.
#[derive(Debug, Clone)]
pub(crate) struct PrivateMessage {
    /// The message id in this mailbox.
    pub(crate) id: i32,
    /// The other user of the chat.
    pub(crate) other: i64,
    /// The message id in the other user's mailbox.
    pub(crate) id_of_other: i32,
    /// Whether the mailbox's owner has sent it.
    pub(crate) out: bool,
    pub(crate) text: String,
    pub(crate) entities: Option<Vec<enums::MessageEntity>>,
    pub(crate) markup: Option<enums::ReplyMarkup>,
    /// The photo or document.
    pub(crate) media: Option<Arc<StoredFile>>,
    /// When the message was sent that this one forwards, and by whom.
    pub(crate) forwarded: Option<(i32, String)>,
    pub(crate) date: i32,
    pub(crate) edited: Option<i32>,
}

/// A change of a mailbox; each raises `pts` by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) pts: i32,
    pub(crate) message: i32,
    pub(crate) is_edit: bool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { pts: 1, messages: BTreeMap::new(), changes: Vec::new(), random_ids: HashSet::new() }
    }
}

impl Mailbox {
    /// The id of the next message.
    pub(crate) fn next_id(&self) -> i32 {
        self.messages.last_key_value().map_or(1, |(id, _)| id + 1)
    }

    /// Whether `random_id` is new; a repeated request has a known one.
    pub(crate) fn is_new(&mut self, random_id: i64) -> bool {
        self.random_ids.insert(random_id)
    }

    /// Adds a message or replaces it. Returns the change.
    pub(crate) fn put(&mut self, message: PrivateMessage) -> Change {
        self.pts += 1;
        let is_edit = message.edited.is_some();
        let change = Change { pts: self.pts, message: message.id, is_edit };
        self.messages.insert(message.id, message);
        self.changes.push(change);
        change
    }

    pub(crate) fn get(&self, id: i32) -> Option<&PrivateMessage> {
        self.messages.get(&id)
    }

    /// The messages of the chat with `other`, newest first.
    pub(crate) fn chat(&self, other: i64) -> impl Iterator<Item = &PrivateMessage> {
        self.messages.values().rev().filter(move |message| message.other == other)
    }

    /// The changes after `pts`, oldest first.
    pub(crate) fn since(&self, pts: i32) -> &[Change] {
        &self.changes[self.changes.partition_point(|change| change.pts <= pts)..]
    }
}
