//! Dialogs, usernames, channels and groups, and the resolution of a peer to a chat or an error.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error};
use crate::{
    fault::Fault,
    objects,
    state::State,
    world::{Chat, ChatKind},
};

/// The named channel or supergroup. The access hash is checked before any other property of the
/// channel.
fn channel<'a>(state: &'a State, me: i64, input: &enums::InputChannel) -> Answer<&'a Chat> {
    let enums::InputChannel::Channel(input) = input else { return error("CHANNEL_INVALID") };
    by_hash(state, me, input.channel_id, input.access_hash)
}

fn by_hash(state: &State, me: i64, id: i64, access_hash: i64) -> Answer<&Chat> {
    match state.chat(id) {
        Some(chat) if chat.kind != ChatKind::Basic && access_hash == state.access_hash(me, id) => {
            // Accounts that are not members see public channels only.
            if chat.role(me).is_none() && chat.username.is_none() {
                return error("CHANNEL_PRIVATE");
            }
            Ok(chat)
        }
        _ => error("CHANNEL_INVALID"),
    }
}

/// The basic group of this id. It needs membership instead of an access hash.
fn group(state: &State, me: i64, id: i64) -> Answer<&Chat> {
    match state.chat(id) {
        Some(chat) if chat.kind == ChatKind::Basic && chat.role(me).is_some() => Ok(chat),
        _ => error("CHAT_ID_INVALID"),
    }
}

/// The chat of a peer; a user is refused.
pub(super) fn chat_of_peer<'a>(state: &'a State, me: i64, peer: &enums::InputPeer) -> Answer<&'a Chat> {
    match peer {
        enums::InputPeer::Channel(peer) => by_hash(state, me, peer.channel_id, peer.access_hash),
        enums::InputPeer::Chat(peer) => group(state, me, peer.chat_id),
        _ => error("PEER_ID_INVALID"),
    }
}

impl Method for functions::messages::GetDialogs {
    const PEOPLE_ONLY: bool = true;

    /// The account's chats, newest first, each with one message. Message ids and dates decrease
    /// from chat to chat, so that each kind of offset works.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::Dialogs> {
        /// Date of the newest message: 2025-01-01.
        const NEWEST: i32 = 1_735_689_600;
        let me = caller.me()?.user_id;
        let fault = caller.state.dialogs.take();
        let state = &*caller.state;
        let mine: Vec<_> = state.world.chats.iter().filter(|chat| chat.role(me).is_some()).collect();
        let total = mine.len();
        if let (Some(Fault::Endless), Some(chat)) = (&fault, mine.first()) {
            let id = if self.offset_id > 1 { self.offset_id - 1 } else { i32::MAX };
            let (dialog, message) = objects::dialog(chat, id, NEWEST);
            let (dialogs, messages, users) = (vec![dialog], vec![message], Vec::new());
            let chats = vec![objects::chat(state, me, chat)];
            return Ok(
                types::messages::DialogsSlice { count: i32::MAX, dialogs, messages, chats, users }.into()
            );
        }
        // Only the main folder has dialogs.
        let all = if self.folder_id.unwrap_or(0) == 0 { mine } else { Vec::new() };
        let dated = all.into_iter().enumerate().map(|(i, chat)| {
            let place = i as i32;
            (chat, 1000 - place, NEWEST - 60 * place)
        });
        let offset_chat = match &self.offset_peer {
            enums::InputPeer::Channel(peer) => Some(peer.channel_id),
            enums::InputPeer::Chat(peer) => Some(peer.chat_id),
            _ => None,
        };
        let mut rest: Vec<_> = dated
            .filter(|(_, id, date)| {
                (self.offset_date == 0 || *date <= self.offset_date)
                    && (self.offset_id == 0 || *id < self.offset_id)
            })
            .collect();
        if let Some(position) = rest.iter().position(|(chat, ..)| Some(chat.id) == offset_chat) {
            rest.drain(..=position);
        }
        // The server chooses the page size if the client sends none.
        let limit = if self.limit > 0 { self.limit.unsigned_abs() as usize } else { 20 };
        let odd = fault == Some(Fault::OddDialogs);
        let limit = limit.saturating_sub(match fault {
            Some(Fault::ShortPage) => 1,
            Some(Fault::OddDialogs) => objects::ODD_DIALOGS,
            _ => 0,
        });
        let page: Vec<_> = rest.iter().take(limit).collect();
        let chats = page.iter().map(|(chat, ..)| objects::chat(state, me, chat)).collect();
        let (dialogs, messages): (Vec<_>, Vec<_>) =
            page.iter().map(|(chat, id, date)| objects::dialog(chat, *id, *date)).unzip();
        let users = Vec::new();
        if dialogs.len() == total && !odd {
            return Ok(types::messages::Dialogs { dialogs, messages, chats, users }.into());
        }
        let count = total as i32;
        let mut slice = types::messages::DialogsSlice { count, dialogs, messages, chats, users };
        if odd {
            objects::add_odd_dialogs(&mut slice);
        }
        Ok(slice.into())
    }
}

impl Method for functions::contacts::ResolveUsername {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::contacts::ResolvedPeer> {
        let me = caller.me()?.user_id;
        let state = &*caller.state;
        let wanted = self.username.trim_start_matches('@').to_lowercase();
        // https://core.telegram.org/method/contacts.resolveUsername
        if wanted.is_empty() || !wanted.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return error("USERNAME_INVALID");
        }
        let named = |name: &Option<String>| name.as_ref().is_some_and(|name| name.to_lowercase() == wanted);
        if let Some(chat) = state.world.chats.iter().find(|chat| named(&chat.username)) {
            let chats = vec![objects::chat(state, me, chat)];
            return Ok(
                types::contacts::ResolvedPeer { peer: objects::peer(chat), chats, users: Vec::new() }.into()
            );
        }
        if let Some(account) = state.world.accounts.iter().find(|account| named(&account.username)) {
            let peer = types::PeerUser { user_id: account.user_id }.into();
            let users = vec![objects::user(state, me, account)];
            return Ok(types::contacts::ResolvedPeer { peer, chats: Vec::new(), users }.into());
        }
        error("USERNAME_NOT_OCCUPIED")
    }
}

impl Method for functions::channels::GetFullChannel {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::ChatFull> {
        let me = caller.me()?.user_id;
        let chat = channel(caller.state, me, &self.channel)?;
        Ok(objects::chat_full(caller.state, me, chat))
    }
}

impl Method for functions::messages::GetFullChat {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::ChatFull> {
        let me = caller.me()?.user_id;
        let chat = group(caller.state, me, self.chat_id)?;
        Ok(objects::chat_full(caller.state, me, chat))
    }
}

impl Method for functions::channels::GetChannels {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::Chats> {
        let me = caller.me()?.user_id;
        let state = &*caller.state;
        let found: Answer<Vec<_>> = self.id.iter().map(|input| channel(state, me, input)).collect();
        let chats = found?.into_iter().map(|chat| objects::chat(state, me, chat)).collect();
        Ok(types::messages::Chats { chats }.into())
    }
}

impl Method for functions::messages::GetChats {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::Chats> {
        let me = caller.me()?.user_id;
        let state = &*caller.state;
        let found: Answer<Vec<_>> = self.id.iter().map(|&id| group(state, me, id)).collect();
        let chats = found?.into_iter().map(|chat| objects::chat(state, me, chat)).collect();
        Ok(types::messages::Chats { chats }.into())
    }
}

impl Method for functions::updates::GetChannelDifference {
    /// Chats have no updates.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::updates::ChannelDifference> {
        let me = caller.me()?.user_id;
        channel(caller.state, me, &self.channel)?;
        let pts = self.pts;
        Ok(types::updates::ChannelDifferenceEmpty { r#final: true, pts, timeout: None }.into())
    }
}
