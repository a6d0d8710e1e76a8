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

/// Offset of marked channel and supergroup IDs, as in Telegram's client libraries.
const CHANNEL_MARK: i64 = -1_000_000_000_000;

/// Dialogs per request.
const PAGE: i32 = 100;

/// Limits of a listing, because Telegram decides where the list ends.
const PAGES: usize = 200;
const TIME: Duration = Duration::from_mins(1);

/// The type of a chat.
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
    /// The type in words.
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
    /// The marked ID: −100… for channels and supergroups, negative for basic groups.
    pub id: i64,
    /// The title.
    pub title: String,
    /// The type.
    pub kind: ChatKind,
    /// The public username, without `@`.
    pub username: Option<String>,
    /// Whether the account may start a live stream in the chat.
    pub may_broadcast: bool,
    pub(crate) peer: InputPeer,
}

impl TelegramClient {
    /// Finds the chat of `id`. A number is looked up among the account's dialogs, because Telegram
    /// also requires the chat's access hash.
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
                    // Some programs show the ID without its mark.
                    if *number == chat.bare_id() {
                        nearly.get_or_insert(chat);
                    }
                    None
                })?;
                found.or(nearly).ok_or_else(|| TelegramError::no_chat(doing))
            }
        }
    }

    /// Lists the channels and groups among the account's dialogs, including archived ones.
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
            // Converted inside the call, because the conversion panics on a malformed answer.
            client.resolve_username(name).await.map(|peer| peer.map(Chat::of_peer))
        })?;
        match found {
            Some(chat) => chat.ok_or_else(|| TelegramError::not_a_chat(doing)),
            None => Err(TelegramError::named("USERNAME_NOT_OCCUPIED", doing)),
        }
    }

    /// Passes each chat of the dialogs to `look` until that returns a chat. grammers' own list ends
    /// at a short page and panics on a dialog without an access hash.
    fn each_chat(
        &mut self,
        doing: &'static str,
        look: &mut dyn FnMut(Chat) -> Option<Chat>,
    ) -> Result<Option<Chat>, TelegramError> {
        let mut request = tl::functions::messages::GetDialogs {
            exclude_pinned: false,
            folder_id: None,
            offset_date: 0,
            offset_id: 0,
            offset_peer: InputPeer::Empty,
            limit: PAGE,
            hash: 0,
        };
        let (mut seen, end) = (HashSet::new(), Instant::now() + TIME);
        for _ in 0..PAGES {
            if Instant::now() > end {
                break;
            }
            let (page, whole) = match self.call(doing, &request)? {
                tl::enums::messages::Dialogs::Dialogs(all) => (
                    Page { dialogs: all.dialogs, messages: all.messages, chats: all.chats, users: all.users },
                    true,
                ),
                tl::enums::messages::Dialogs::Slice(part) => (
                    Page {
                        dialogs: part.dialogs,
                        messages: part.messages,
                        chats: part.chats,
                        users: part.users,
                    },
                    false,
                ),
                // Unexpected: the request carries no hash of an earlier answer.
                tl::enums::messages::Dialogs::NotModified(_) => return Err(TelegramError::garbage(doing)),
            };
            let next = page.next_offset();
            // `page.chats` also contains chats that messages were forwarded from.
            let dialogs: HashSet<i64> = page.dialogs.iter().filter_map(id_of).collect();
            for chat in page.chats.into_iter().filter_map(Chat::of) {
                if dialogs.contains(&chat.id)
                    && seen.insert(chat.id)
                    && let Some(found) = look(chat)
                {
                    return Ok(Some(found));
                }
            }
            // A short page is not necessarily the last. A page without a message has no offset.
            match next.filter(|_| !whole) {
                Some((date, id, peer))
                    if (date, id) != (request.offset_date, request.offset_id)
                        || peer != request.offset_peer =>
                {
                    (request.offset_date, request.offset_id, request.offset_peer) = (date, id, peer);
                    request.exclude_pinned = true;
                }
                _ => return Ok(None),
            }
        }
        Err(TelegramError::endless(doing))
    }
}

/// One page of dialogs.
struct Page {
    dialogs: Vec<tl::enums::Dialog>,
    messages: Vec<tl::enums::Message>,
    chats: Vec<tl::enums::Chat>,
    users: Vec<tl::enums::User>,
}

impl Page {
    /// The date, ID and peer of the last message that has all three, as the offset of the next
    /// page.
    fn next_offset(&self) -> Option<(i32, i32, InputPeer)> {
        self.dialogs.iter().rev().find_map(|dialog| {
            let tl::enums::Dialog::Dialog(dialog) = dialog else { return None };
            let date = self.messages.iter().find_map(|message| {
                let (id, peer, date) = match message {
                    tl::enums::Message::Message(it) => (it.id, &it.peer_id, it.date),
                    tl::enums::Message::Service(it) => (it.id, &it.peer_id, it.date),
                    tl::enums::Message::Empty(_) => return None,
                };
                (id == dialog.top_message && *peer == dialog.peer).then_some(date)
            })?;
            Some((date, dialog.top_message, self.input_peer(&dialog.peer)?))
        })
    }

    /// The peer with its access hash, if the page contains a valid hash.
    fn input_peer(&self, peer: &tl::enums::Peer) -> Option<InputPeer> {
        match peer {
            tl::enums::Peer::User(peer) => self.users.iter().find_map(|user| match user {
                tl::enums::User::User(user) if user.id == peer.user_id && !user.min => {
                    let access_hash = user.access_hash?;
                    Some(tl::types::InputPeerUser { user_id: user.id, access_hash }.into())
                }
                _ => None,
            }),
            tl::enums::Peer::Chat(peer) => Some(tl::types::InputPeerChat { chat_id: peer.chat_id }.into()),
            tl::enums::Peer::Channel(peer) => self.chats.iter().find_map(|chat| {
                let (channel_id, access_hash) = match chat {
                    tl::enums::Chat::Channel(it) if !it.min => (it.id, it.access_hash?),
                    tl::enums::Chat::ChannelForbidden(it) => (it.id, it.access_hash),
                    _ => return None,
                };
                (channel_id == peer.channel_id)
                    .then(|| tl::types::InputPeerChannel { channel_id, access_hash }.into())
            }),
        }
    }
}

impl Chat {
    /// A channel or group that the account can see; `None` for anything else.
    fn of(chat: tl::enums::Chat) -> Option<Self> {
        match chat {
            // The access hash of a `min` channel is valid only for its photo.
            tl::enums::Chat::Channel(it) if !it.min => {
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
            tl::enums::Chat::Chat(it) if it.migrated_to.is_none() && !it.deactivated => Some(Self {
                id: it.id.wrapping_neg(),
                kind: ChatKind::Group,
                may_broadcast: it.creator || may_manage_calls(it.admin_rights.as_ref()),
                peer: tl::types::InputPeerChat { chat_id: it.id }.into(),
                title: it.title,
                username: None,
            }),
            _ => None,
        }
    }

    /// The chat of a resolved username.
    fn of_peer(peer: Peer) -> Option<Self> {
        match peer {
            // grammers turns a forbidden channel into a channel without a date.
            Peer::Channel(channel) if channel.raw.date != 0 => Self::of(channel.raw.into()),
            Peer::Group(group) => match group.raw {
                tl::enums::Chat::Channel(it) if it.date == 0 => None,
                raw => Self::of(raw),
            },
            Peer::Channel(_) | Peer::User(_) | Peer::Community(_) => None,
        }
    }

    /// The ID without its mark.
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

/// The marked ID of a dialog's chat; `None` for a user or a folder.
fn id_of(dialog: &tl::enums::Dialog) -> Option<i64> {
    let tl::enums::Dialog::Dialog(dialog) = dialog else { return None };
    match &dialog.peer {
        tl::enums::Peer::User(_) => None,
        tl::enums::Peer::Chat(it) => Some(it.chat_id.wrapping_neg()),
        tl::enums::Peer::Channel(it) => Some(CHANNEL_MARK.wrapping_sub(it.channel_id)),
    }
}
