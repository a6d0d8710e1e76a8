//! `phone.*`: live streams, their calls, URL and key. No media: publishers send to the ingest.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, chats::chat_of_peer, error};
use crate::{
    message::now,
    objects,
    state::Call,
    world::{CallKind, Chat, Role},
};

/// Fails unless the account may start and manage calls.
fn manages_calls(chat: &Chat, me: i64) -> Answer<()> {
    match chat.role(me) {
        Some(Role::Creator | Role::Admin { manage_call: true }) => Ok(()),
        _ => error("CHAT_ADMIN_REQUIRED"),
    }
}

/// The index of the named call, live or ended.
fn find(caller: &Caller<'_>, input: &enums::InputGroupCall) -> Answer<usize> {
    let enums::InputGroupCall::Call(input) = input else { return error("GROUPCALL_INVALID") };
    let calls = &caller.state.calls;
    let found = calls.iter().position(|call| call.id == input.id && call.access_hash == input.access_hash);
    found.map_or_else(|| error("GROUPCALL_INVALID"), Ok)
}

/// The named call, which must be live.
fn live<'a>(caller: &'a mut Caller<'_>, input: &enums::InputGroupCall) -> Answer<&'a mut Call> {
    let position = find(caller, input)?;
    let call = &mut caller.state.calls[position];
    if call.live { Ok(call) } else { error("GROUPCALL_FORBIDDEN") }
}

/// The named call, which must be live, for an account that may manage it.
fn managed<'a>(caller: &'a mut Caller<'_>, me: i64, input: &enums::InputGroupCall) -> Answer<&'a mut Call> {
    let chat_id = live(caller, input)?.chat_id;
    let chat = caller.state.chat(chat_id);
    chat.map_or_else(|| error("GROUPCALL_INVALID"), |chat| manages_calls(chat, me))?;
    live(caller, input)
}

/// The updates that announce a changed call.
fn updates(caller: &Caller<'_>, me: i64, call: &Call) -> enums::Updates {
    let state = &*caller.state;
    let chat = state.chat(call.chat_id);
    let update = types::UpdateGroupCall {
        live_story: false,
        peer: chat.map(objects::peer),
        call: objects::call(state, call, me),
    };
    let chats = chat.map(|chat| objects::chat(state, me, chat)).into_iter().collect();
    objects::updates(vec![update.into()], chats, now())
}

impl Method for functions::phone::CreateGroupCall {
    const PEOPLE_ONLY: bool = true;

    /// Ends the live call: <https://core.telegram.org/method/phone.createGroupCall> allows one per
    /// chat.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?.user_id;
        let chat = chat_of_peer(caller.state, me, &self.peer)?;
        manages_calls(chat, me)?;
        let chat_id = chat.id;
        if self.schedule_date.is_some_and(|date| date <= now()) {
            return error("SCHEDULE_DATE_INVALID");
        }
        let kind = if self.rtmp_stream { CallKind::Rtmp } else { CallKind::WebRtc };
        let call = caller.state.start_call(chat_id, kind, self.title);
        call.scheduled = self.schedule_date;
        let call = call.clone();
        Ok(updates(caller, me, &call))
    }
}

impl Method for functions::phone::DiscardGroupCall {
    const PEOPLE_ONLY: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?.user_id;
        let position = find(caller, &self.call)?;
        let call = &caller.state.calls[position];
        if !call.live {
            return error("GROUPCALL_ALREADY_DISCARDED");
        }
        let chat_id = call.chat_id;
        caller
            .state
            .chat(chat_id)
            .map_or_else(|| error("GROUPCALL_INVALID"), |chat| manages_calls(chat, me))?;
        caller.state.end_call(chat_id);
        let call = caller.state.calls[position].clone();
        Ok(updates(caller, me, &call))
    }
}

impl Method for functions::phone::StartScheduledGroupCall {
    const PEOPLE_ONLY: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?.user_id;
        let call = managed(caller, me, &self.call)?;
        if call.scheduled.take().is_none() {
            return error("GROUPCALL_ALREADY_STARTED");
        }
        let call = call.clone();
        Ok(updates(caller, me, &call))
    }
}

impl Method for functions::phone::EditGroupCallTitle {
    const PEOPLE_ONLY: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?.user_id;
        let call = managed(caller, me, &self.call)?;
        let title = Some(self.title).filter(|title| !title.is_empty());
        if call.title == title {
            return error("GROUPCALL_NOT_MODIFIED");
        }
        call.title = title;
        let call = call.clone();
        Ok(updates(caller, me, &call))
    }
}

impl Method for functions::phone::GetGroupCall {
    const PEOPLE_ONLY: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::phone::GroupCall> {
        let me = caller.me()?.user_id;
        let call = live(caller, &self.call)?.clone();
        let state = &*caller.state;
        let chats = state.chat(call.chat_id).map(|chat| objects::chat(state, me, chat)).into_iter().collect();
        let answer = types::phone::GroupCall {
            call: objects::call(state, &call, me),
            participants: Vec::new(),
            participants_next_offset: String::new(),
            chats,
            users: Vec::new(),
        };
        Ok(answer.into())
    }
}

impl Method for functions::phone::GetGroupCallStreamRtmpUrl {
    const PEOPLE_ONLY: bool = true;

    /// Returns the same key until the owner revokes it.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::phone::GroupCallStreamRtmpUrl> {
        let me = caller.me()?.user_id;
        let chat = chat_of_peer(caller.state, me, &self.peer)?;
        manages_calls(chat, me)?;
        if self.revoke && chat.role(me) != Some(Role::Creator) {
            return error("CHAT_ADMIN_REQUIRED");
        }
        let chat_id = chat.id;
        let key = caller.state.stream_key(chat_id, self.revoke);
        Ok(types::phone::GroupCallStreamRtmpUrl { url: caller.state.stream_url(), key }.into())
    }
}

impl Method for functions::phone::JoinGroupCall {
    const PEOPLE_ONLY: bool = true;

    /// Marks the caller as a viewer; the test DC serves no media.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Updates> {
        let me = caller.me()?.user_id;
        let call = live(caller, &self.call)?;
        call.joined.insert(me);
        let call = call.clone();
        Ok(updates(caller, me, &call))
    }
}

impl Method for functions::phone::GetGroupCallStreamChannels {
    const PEOPLE_ONLY: bool = true;

    /// Empty while nothing is published:
    /// <https://core.telegram.org/method/phone.getGroupCallStreamChannels>
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::phone::GroupCallStreamChannels> {
        let me = caller.me()?.user_id;
        let call = live(caller, &self.call)?;
        if !call.joined.contains(&me) {
            return error("GROUPCALL_JOIN_MISSING");
        }
        let channel = |last_timestamp_ms| {
            types::GroupCallStreamChannel { channel: 1, scale: 0, last_timestamp_ms }.into()
        };
        let channels = call.last_frame_ms.map(channel).into_iter().collect();
        Ok(types::phone::GroupCallStreamChannels { channels }.into())
    }
}

/// A second of a live stream; see `upload.getFile`.
pub(super) fn stream_part(
    caller: &mut Caller<'_>,
    wanted: &types::InputGroupCallStream,
    offset: i64,
    limit: i32,
) -> Answer<enums::upload::File> {
    let me = caller.me()?.user_id;
    let call = live(caller, &wanted.call)?;
    if !call.joined.contains(&me) {
        return error("GROUPCALL_JOIN_MISSING");
    }
    if wanted.scale != 0 || wanted.time_ms % 1000 != 0 {
        return error("TIME_INVALID");
    }
    let newest = call.last_frame_ms.unwrap_or_default();
    let part = match &call.part {
        Some(part) if wanted.time_ms <= newest => part,
        _ => return error("TIME_TOO_BIG"),
    };
    let from = usize::try_from(offset).unwrap_or_default().min(part.len());
    let to = from.saturating_add(usize::try_from(limit).unwrap_or_default()).min(part.len());
    let bytes = part[from..to].to_vec();
    Ok(types::upload::File { r#type: enums::storage::FileType::FilePartial, mtime: now(), bytes }.into())
}
