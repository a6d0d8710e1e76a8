//! Finds the chat that CHAT_ID names, and lists the account's channels and groups.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use grammers_client::peer::Peer;
use grammers_tl_types as tl;
use tgs_core::settings::ChatId;
use tl::enums::InputPeer;

use crate::{TelegramClient, TelegramError};

/// Marks the number of a channel or supergroup, as Telegram's client libraries do.
const CHANNEL_MARK: i64 = -1_000_000_000_000;

/// Limits of a listing: Telegram decides where the list ends. 200 pages of the client library.
const DIALOGS: usize = 200 * 100;
const TIME: Duration = Duration::from_mins(1);

/// The kind of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatKind {
    /// A broadcast channel.
    Channel,
    /// A supergroup.
    Supergroup,
    /// A basic group.
    Group,
}

impl ChatKind {
    /// The kind in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Supergroup => "supergroup",
            Self::Group => "group",
        }
    }
}

/// A channel or group, as the session sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// Its number in the marked form: −100… for channels and supergroups, negative for groups.
    pub id: i64,
    /// Its title.
    pub title: String,
    /// Its kind.
    pub kind: ChatKind,
    /// Its public name, without `@`.
    pub username: Option<String>,
    /// Whether the account's rights allow it to start a live stream there.
    pub may_broadcast: bool,
    pub(crate) peer: InputPeer,
}

impl TelegramClient {
    /// The chat that `id` names. A number is searched among the account's dialogs: Telegram
    /// requires the chat's access hash beside the number.
    pub fn chat(&mut self, id: &ChatId) -> Result<Chat, TelegramError> {
        let doing = "find the chat CHAT_ID names";
        match id {
            ChatId::Name(name) => self.named_chat(name, doing),
            ChatId::Number(number) => {
                let mut nearly = None;
                let found = self.each_chat(doing, &mut |chat| {
                    if chat.id == *number {
                        return Some(chat);
                    }
                    // Some programs show the number without its mark.
                    if *number == chat.bare_id() {
                        nearly.get_or_insert(chat);
                    }
                    None
                })?;
                found.or(nearly).ok_or_else(|| TelegramError::no_chat(doing))
            }
        }
    }

    /// The channels and groups among the account's dialogs, archived ones included.
    pub fn chats(&mut self) -> Result<Vec<Chat>, TelegramError> {
        let mut chats = Vec::new();
        self.each_chat("list the account's dialogs", &mut |chat| {
            chats.push(chat);
            None
        })?;
        Ok(chats)
    }

    fn named_chat(&mut self, name: &str, doing: &'static str) -> Result<Chat, TelegramError> {
        let found = self.call_client(doing, async |client| {
            // Converted here, because the conversion panics on a nonsensical answer.
            client.resolve_username(name).await.map(|peer| peer.map(Chat::of))
        })?;
        match found {
            Some(chat) => chat.ok_or_else(|| TelegramError::not_a_chat(doing)),
            None => Err(TelegramError::named("USERNAME_NOT_OCCUPIED", doing)),
        }
    }

    /// Passes each chat among the dialogs to `look` until that returns one.
    fn each_chat(
        &mut self,
        doing: &'static str,
        look: &mut dyn FnMut(Chat) -> Option<Chat>,
    ) -> Result<Option<Chat>, TelegramError> {
        let mut dialogs = self.client(doing)?.iter_dialogs();
        let (mut seen, end) = (HashSet::new(), Instant::now() + TIME);
        for _ in 0..DIALOGS {
            if Instant::now() > end {
                break;
            }
            let next = self.call_client(doing, async |_| dialogs.next().await)?;
            let Some(dialog) = next else { return Ok(None) };
            if let Some(chat) = Chat::of(dialog.peer)
                && seen.insert(chat.id)
                && let Some(found) = look(chat)
            {
                return Ok(Some(found));
            }
        }
        Err(TelegramError::endless(doing))
    }
}

impl Chat {
    /// A channel or group that the account is in or can see; `None` for anything else.
    fn of(peer: Peer) -> Option<Self> {
        match peer {
            Peer::Channel(channel) => Self::of_channel(channel.raw),
            Peer::Group(group) => match group.raw {
                tl::enums::Chat::Channel(it) => Self::of_channel(it),
                tl::enums::Chat::Chat(it) if it.migrated_to.is_none() && !it.deactivated => Some(Self {
                    id: it.id.wrapping_neg(),
                    kind: ChatKind::Group,
                    may_broadcast: it.creator || may_manage_calls(it.admin_rights.as_ref()),
                    peer: tl::types::InputPeerChat { chat_id: it.id }.into(),
                    title: it.title,
                    username: None,
                }),
                _ => None,
            },
            Peer::User(_) | Peer::Community(_) => None,
        }
    }

    fn of_channel(it: tl::types::Channel) -> Option<Self> {
        // The access hash of a `min` channel is valid for its photo alone. grammers makes a channel
        // without a date of a forbidden one.
        if it.min || it.date == 0 {
            return None;
        }
        let access_hash = it.access_hash?;
        Some(Self {
            id: CHANNEL_MARK.wrapping_sub(it.id),
            kind: if it.broadcast { ChatKind::Channel } else { ChatKind::Supergroup },
            may_broadcast: it.creator || may_manage_calls(it.admin_rights.as_ref()),
            peer: tl::types::InputPeerChannel { channel_id: it.id, access_hash }.into(),
            title: it.title,
            username: it.username,
        })
    }

    /// The number without its mark.
    fn bare_id(&self) -> i64 {
        match self.kind {
            ChatKind::Group => self.id.wrapping_neg(),
            ChatKind::Channel | ChatKind::Supergroup => CHANNEL_MARK.wrapping_sub(self.id),
        }
    }
}

fn may_manage_calls(rights: Option<&tl::enums::ChatAdminRights>) -> bool {
    rights.is_some_and(|tl::enums::ChatAdminRights::Rights(rights)| rights.manage_call)
}
