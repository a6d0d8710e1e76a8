//! Accounts, chats and calls as TL objects, from the view of one account. Callers check the
//! visibility.
//!
//! TL objects have dozens of optional fields: `plain!` parses an object without them from bytes,
//! and the available fields are set afterwards.

use grammers_tl_types::{Deserializable, Serializable, enums, types};

use crate::{
    files::{FileKind, StoredFile},
    mailbox::PrivateMessage,
    state::{Call, State},
    world::{Account, Chat, ChatKind, Role},
};

/// Parses an object from its required fields in schema order, with each `flags` field 0.
macro_rules! plain {
    ($($field:expr),* $(,)?) => {{
        let mut bytes = Vec::new();
        $($field.serialize(&mut bytes);)*
        Deserializable::from_bytes(&bytes).expect("the schema's fields in the schema's order")
    }};
}

/// A `flags` field with no flag set.
const NO_FLAGS: u32 = 0;

pub(crate) fn notify_settings() -> enums::PeerNotifySettings {
    let settings: types::PeerNotifySettings = plain!(NO_FLAGS);
    settings.into()
}

/// An account as `viewer` sees it.
pub(crate) fn user(state: &State, viewer: i64, account: &Account) -> enums::User {
    let base: types::User = plain!(NO_FLAGS, NO_FLAGS, account.user_id);
    let own = viewer == account.user_id;
    types::User {
        is_self: own,
        bot: account.bot,
        bot_info_version: account.bot.then_some(1),
        access_hash: Some(state.access_hash(viewer, account.user_id)),
        first_name: Some(account.first_name.clone()),
        username: account.username.clone(),
        // https://core.telegram.org/constructor/user: the language is for bots only.
        lang_code: account
            .lang_code
            .clone()
            .filter(|_| state.account(viewer).is_some_and(|viewer| viewer.bot)),
        phone: own.then(|| account.phone.trim_start_matches('+').to_owned()),
        ..base
    }
    .into()
}

/// The inner object of `users.getFullUser`.
pub(crate) fn user_full(account: &Account) -> enums::UserFull {
    let settings: types::PeerSettings = plain!(NO_FLAGS);
    let settings = enums::PeerSettings::from(settings);
    let full: types::UserFull =
        plain!(NO_FLAGS, NO_FLAGS, account.user_id, settings, notify_settings(), 0_i32);
    full.into()
}

/// The peer of a chat, for dialogs and updates.
pub(crate) fn peer(chat: &Chat) -> enums::Peer {
    match chat.kind {
        ChatKind::Basic => types::PeerChat { chat_id: chat.id }.into(),
        ChatKind::Broadcast | ChatKind::Supergroup => types::PeerChannel { channel_id: chat.id }.into(),
    }
}

/// The rights of an administrator.
fn admin_rights(role: Option<Role>) -> Option<enums::ChatAdminRights> {
    let none: types::ChatAdminRights = plain!(NO_FLAGS);
    let rights = match role? {
        Role::Creator => types::ChatAdminRights {
            change_info: true,
            post_messages: true,
            edit_messages: true,
            delete_messages: true,
            ban_users: true,
            invite_users: true,
            pin_messages: true,
            add_admins: true,
            manage_call: true,
            other: true,
            ..none
        },
        Role::Admin { manage_call } => {
            types::ChatAdminRights { delete_messages: true, manage_call, other: true, ..none }
        }
        Role::Member => return None,
    };
    Some(rights.into())
}

/// Creation date of all chats: 2024-01-01.
const LONG_AGO: i32 = 1_704_067_200;

/// A chat as `viewer` sees it.
pub(crate) fn chat(state: &State, viewer: i64, chat: &Chat) -> enums::Chat {
    let role = chat.role(viewer);
    let live = state.live_call(chat.id).is_some();
    let members = chat.roles.len() as i32;
    let creator = role == Some(Role::Creator);
    let photo = enums::ChatPhoto::Empty;
    match chat.kind {
        ChatKind::Basic => {
            let base: types::Chat =
                plain!(NO_FLAGS, chat.id, chat.title.clone(), photo, members, LONG_AGO, 1_i32);
            let rights = admin_rights(role);
            types::Chat { creator, left: role.is_none(), call_active: live, admin_rights: rights, ..base }
                .into()
        }
        ChatKind::Broadcast | ChatKind::Supergroup => {
            let base: types::Channel =
                plain!(NO_FLAGS, NO_FLAGS, chat.id, chat.title.clone(), photo, LONG_AGO);
            types::Channel {
                creator,
                left: role.is_none(),
                broadcast: chat.kind == ChatKind::Broadcast,
                megagroup: chat.kind == ChatKind::Supergroup,
                call_active: live,
                access_hash: Some(state.access_hash(viewer, chat.id)),
                username: chat.username.clone(),
                admin_rights: admin_rights(role),
                participants_count: Some(members),
                ..base
            }
            .into()
        }
    }
}

/// `messages.chatFull` of a chat of any type.
pub(crate) fn chat_full(state: &State, viewer: i64, of: &Chat) -> enums::messages::ChatFull {
    let call = state.live_call(of.id).map(input_call);
    let about = String::new();
    let full_chat = match of.kind {
        ChatKind::Basic => {
            let participants =
                types::ChatParticipants { chat_id: of.id, participants: Vec::new(), version: 1 };
            let participants = enums::ChatParticipants::from(participants);
            let base: types::ChatFull = plain!(NO_FLAGS, of.id, about, participants, notify_settings());
            types::ChatFull { call, ..base }.into()
        }
        ChatKind::Broadcast | ChatKind::Supergroup => {
            let photo = enums::Photo::from(types::PhotoEmpty { id: 0 });
            let bots = Vec::<enums::BotInfo>::new();
            let (read_in, read_out, unread, pts) = (1_i32, 1_i32, 0_i32, 1_i32);
            let base: types::ChannelFull = plain!(
                NO_FLAGS,
                NO_FLAGS,
                of.id,
                about,
                read_in,
                read_out,
                unread,
                photo,
                notify_settings(),
                bots,
                pts
            );
            types::ChannelFull { participants_count: Some(of.roles.len() as i32), call, ..base }.into()
        }
    };
    types::messages::ChatFull { full_chat, chats: vec![chat(state, viewer, of)], users: Vec::new() }.into()
}

/// The reference to a call.
pub(crate) fn input_call(call: &Call) -> enums::InputGroupCall {
    types::InputGroupCall { id: call.id, access_hash: call.access_hash }.into()
}

/// A call, live or ended.
pub(crate) fn call(state: &State, call: &Call, viewer: i64) -> enums::GroupCall {
    if !call.live {
        let (id, access_hash) = (call.id, call.access_hash);
        return types::GroupCallDiscarded { id, access_hash, duration: 0 }.into();
    }
    let people = (call.joined.len() + call.viewers) as i32;
    let base: types::GroupCall = plain!(NO_FLAGS, call.id, call.access_hash, people, 1000_i32, 1_i32);
    let owner = state.chat(call.chat_id).and_then(|chat| chat.role(viewer)) == Some(Role::Creator);
    types::GroupCall {
        rtmp_stream: call.kind == crate::world::CallKind::Rtmp,
        creator: owner,
        title: call.title.clone(),
        schedule_date: call.scheduled,
        stream_dc_id: state.dcs.keys().next_back().copied(),
        ..base
    }
    .into()
}

/// A dialog and its last message.
pub(crate) fn dialog(chat: &Chat, message_id: i32, date: i32) -> (enums::Dialog, enums::Message) {
    let base: types::Dialog = plain!(
        NO_FLAGS,
        peer(chat),
        message_id,
        message_id,
        0_i32,
        0_i32,
        0_i32,
        0_i32,
        0_i32,
        notify_settings()
    );
    let pts = (chat.kind != ChatKind::Basic).then_some(1);
    let text = format!("Welcome to {}", chat.title);
    let message: types::Message = plain!(NO_FLAGS, NO_FLAGS, message_id, peer(chat), date, text);
    let post = chat.kind == ChatKind::Broadcast;
    (types::Dialog { pts, ..base }.into(), types::Message { post, ..message }.into())
}

/// Adds dialogs that a client cannot use: a channel without access hash, a `min` channel, an empty
/// user, and a user missing from the page's list of users.
pub(crate) fn add_odd_dialogs(page: &mut types::messages::DialogsSlice) {
    let (Some(enums::Dialog::Dialog(dialog)), Some(enums::Message::Message(message))) =
        (page.dialogs.last().cloned(), page.messages.last().cloned())
    else {
        return;
    };
    let (no_hash, min, empty, missing) = (3_900_000_001, 3_900_000_002, 5_900_000_001, 5_900_000_002);
    for peer in [
        types::PeerChannel { channel_id: no_hash }.into(),
        types::PeerChannel { channel_id: min }.into(),
        types::PeerUser { user_id: empty }.into(),
        types::PeerUser { user_id: missing }.into(),
    ] {
        let peer: enums::Peer = peer;
        page.dialogs.push(types::Dialog { peer: peer.clone(), ..dialog.clone() }.into());
        page.messages.push(types::Message { peer_id: peer, ..message.clone() }.into());
    }
    let channel = |id: i64| -> types::Channel {
        plain!(NO_FLAGS, NO_FLAGS, id, "Odd".to_owned(), enums::ChatPhoto::Empty, LONG_AGO)
    };
    page.chats.push(channel(no_hash).into());
    page.chats.push(types::Channel { min: true, access_hash: Some(1), ..channel(min) }.into());
    page.users.push(types::UserEmpty { id: empty }.into());
}

/// Number of dialogs that [`add_odd_dialogs`] adds.
pub(crate) const ODD_DIALOGS: usize = 4;

/// The only size of photos here.
pub(crate) const PHOTO_SIZE: &str = "x";

/// A file as part of a message.
fn message_media(file: &StoredFile, file_reference: Vec<u8>) -> enums::MessageMedia {
    let (id, access_hash, date, dc_id) = (file.id, file.access_hash, file.date, file.dc_id);
    match &file.kind {
        &FileKind::Photo(w, h) => {
            let size =
                types::PhotoSize { r#type: PHOTO_SIZE.to_owned(), w, h, size: file.bytes.len() as i32 };
            let photo = types::Photo {
                has_stickers: false,
                id,
                access_hash,
                file_reference,
                date,
                sizes: vec![size.into()],
                video_sizes: None,
                dc_id,
            };
            types::MessageMediaPhoto {
                spoiler: false,
                live_photo: false,
                photo: Some(photo.into()),
                ttl_seconds: None,
                video: None,
            }
            .into()
        }
        FileKind::Document { mime_type, attributes } => {
            let is_video = attributes.iter().any(|it| matches!(it, enums::DocumentAttribute::Video(_)));
            let document = types::Document {
                id,
                access_hash,
                file_reference,
                date,
                mime_type: mime_type.clone(),
                size: file.bytes.len() as i64,
                thumbs: None,
                video_thumbs: None,
                dc_id,
                attributes: attributes.clone(),
            };
            types::MessageMediaDocument {
                nopremium: false,
                spoiler: false,
                video: is_video,
                round: false,
                voice: false,
                document: Some(document.into()),
                alt_documents: None,
                video_cover: None,
                video_timestamp: None,
                ttl_seconds: None,
            }
            .into()
        }
    }
}

/// A message of a private chat, as the owner of the mailbox sees it. As in the real server's
/// messages of private chats, the sender follows from `out`.
pub(crate) fn private_message(state: &State, message: &PrivateMessage) -> enums::Message {
    let reference = || state.files.reference();
    let forwarded = |(date, from_name): &(i32, String)| {
        let header: types::MessageFwdHeader = plain!(NO_FLAGS, *date);
        types::MessageFwdHeader { from_name: Some(from_name.clone()), ..header }.into()
    };
    let peer = enums::Peer::from(types::PeerUser { user_id: message.other });
    let base: types::Message =
        plain!(NO_FLAGS, NO_FLAGS, message.id, peer, message.date, message.text.clone());
    types::Message {
        out: message.out,
        fwd_from: message.forwarded.as_ref().map(forwarded),
        media: message.media.as_ref().map(|file| message_media(file, reference())),
        entities: message.entities.clone(),
        reply_markup: message.markup.clone(),
        edit_date: message.edited,
        ..base
    }
    .into()
}

/// Updates of a private chat, with both its users as `viewer` sees them.
pub(crate) fn private_updates(
    state: &State,
    viewer: i64,
    other: i64,
    updates: Vec<enums::Update>,
    date: i32,
) -> enums::Updates {
    types::Updates { updates, users: pair(state, viewer, other), chats: Vec::new(), date, seq: 0 }.into()
}

/// Both users of a private chat, as `viewer` sees them.
pub(crate) fn pair(state: &State, viewer: i64, other: i64) -> Vec<enums::User> {
    let accounts = [viewer, other].into_iter().filter_map(|id| state.account(id));
    accounts.map(|account| user(state, viewer, account)).collect()
}

/// Combines updates into one object.
pub(crate) fn updates(updates: Vec<enums::Update>, chats: Vec<enums::Chat>, date: i32) -> enums::Updates {
    types::Updates { updates, users: Vec::new(), chats, date, seq: 0 }.into()
}
