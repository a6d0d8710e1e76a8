//! The live stream of a chat: finding it, starting it, where its picture goes, and ending it where that is asked for.

use grammers_tl_types as tl;
use tgs_core::secret::Secret;
use tl::enums::InputPeer;

use crate::{Chat, Connection, TelegramError};

/// A call that takes its picture by RTMP.
#[derive(Debug, Clone, PartialEq)]
pub struct Call(tl::enums::InputGroupCall);

/// What goes on in a chat.
#[derive(Debug, Clone, PartialEq)]
pub enum Live {
    /// No call.
    Nothing,
    /// A live stream of the kind we feed.
    Rtmp(Call),
    /// A call of people among themselves. It is theirs.
    People,
    /// A call that is to begin later.
    Scheduled,
}

/// Where the picture goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// The server's address, `rtmps://…/s/`.
    pub url: String,
    /// The stream key of the chat. It outlives calls and sessions.
    pub key: Secret<String>,
}

impl Ingest {
    /// Address and key as one URL for a publisher.
    #[must_use]
    pub fn output(&self) -> Secret<String> {
        Secret::new(format!("{}/{}", self.url.trim_end_matches('/'), self.key.expose()))
    }
}

impl Connection {
    /// What goes on in `chat` now.
    pub fn live(&mut self, chat: &Chat) -> Result<Live, TelegramError> {
        let doing = "look for a live stream in the chat";
        let full = match &chat.peer {
            InputPeer::Channel(peer) => {
                let channel =
                    tl::types::InputChannel { channel_id: peer.channel_id, access_hash: peer.access_hash }
                        .into();
                self.call(doing, &tl::functions::channels::GetFullChannel { channel })?
            }
            InputPeer::Chat(peer) => {
                self.call(doing, &tl::functions::messages::GetFullChat { chat_id: peer.chat_id })?
            }
            _ => return Err(TelegramError::not_a_chat(doing)),
        };
        let tl::enums::messages::ChatFull::Full(full) = full;
        let call = match full.full_chat {
            tl::enums::ChatFull::ChannelFull(it) => it.call,
            tl::enums::ChatFull::Full(it) => it.call,
            tl::enums::ChatFull::CommunityFull(_) => None,
        };
        call.map_or(Ok(Live::Nothing), |call| self.look_at(doing, Call(call)))
    }

    /// What has become of a call that was live.
    pub fn still_live(&mut self, call: &Call) -> Result<Live, TelegramError> {
        self.look_at("look whether the live stream goes on", call.clone())
    }

    fn look_at(&mut self, doing: &'static str, call: Call) -> Result<Live, TelegramError> {
        let request = tl::functions::phone::GetGroupCall { call: call.0.clone(), limit: 1 };
        let answer = match self.call(doing, &request) {
            Ok(tl::enums::phone::GroupCall::Call(answer)) => answer,
            Err(error) if matches!(error.name.as_str(), "GROUPCALL_INVALID" | "GROUPCALL_FORBIDDEN") => {
                return Ok(Live::Nothing);
            }
            Err(error) => return Err(error),
        };
        Ok(match answer.call {
            tl::enums::GroupCall::Discarded(_) => Live::Nothing,
            tl::enums::GroupCall::Call(it) if it.schedule_date.is_some() => Live::Scheduled,
            tl::enums::GroupCall::Call(it) if it.rtmp_stream => Live::Rtmp(call),
            tl::enums::GroupCall::Call(_) => Live::People,
        })
    }

    /// Starts a live stream in `chat`. Only where [`Connection::live`] has found nothing: Telegram ends what is live.
    pub fn create_call(&mut self, chat: &Chat, title: Option<&str>) -> Result<Call, TelegramError> {
        let doing = "start a live stream in the chat";
        let request = tl::functions::phone::CreateGroupCall {
            rtmp_stream: true,
            peer: chat.peer.clone(),
            random_id: fastrand::i32(..),
            title: title.map(str::to_owned),
            schedule_date: None,
        };
        // Not sent twice: in between, people may have begun a call of their own, and creating ends it.
        let updates = self.call_once(doing, &request)?;
        created(updates).ok_or_else(|| TelegramError::named("CREATE_CALL_FAILED", doing))
    }

    /// Calls the live stream `title`; empty for the chat's own.
    pub fn edit_title(&mut self, call: &Call, title: &str) -> Result<(), TelegramError> {
        let request =
            tl::functions::phone::EditGroupCallTitle { call: call.0.clone(), title: title.to_owned() };
        match self.call("change the live stream's title", &request) {
            Ok(_) => Ok(()),
            Err(error) if error.name == "GROUPCALL_NOT_MODIFIED" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends the live stream for everybody. One that has ended meanwhile is fine. Only on an operator's own command.
    pub fn end_call(&mut self, call: &Call) -> Result<(), TelegramError> {
        let request = tl::functions::phone::DiscardGroupCall { call: call.0.clone() };
        match self.call("end the live stream", &request) {
            Ok(_) => Ok(()),
            Err(error)
                if ["GROUPCALL_ALREADY_DISCARDED", "GROUPCALL_INVALID", "GROUPCALL_FORBIDDEN"]
                    .contains(&error.name.as_str()) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Address and key of the chat's ingest.
    pub fn ingest(&mut self, chat: &Chat) -> Result<Ingest, TelegramError> {
        let request = tl::functions::phone::GetGroupCallStreamRtmpUrl {
            live_story: false,
            peer: chat.peer.clone(),
            revoke: false,
        };
        let tl::enums::phone::GroupCallStreamRtmpUrl::Url(answer) =
            self.call("ask for the stream key", &request)?;
        Ok(Ingest { url: answer.url, key: Secret::new(answer.key) })
    }
}

/// The call that was created, as the answer names it.
fn created(updates: tl::enums::Updates) -> Option<Call> {
    let updates = match updates {
        tl::enums::Updates::Updates(all) => all.updates,
        tl::enums::Updates::Combined(all) => all.updates,
        tl::enums::Updates::UpdateShort(short) => vec![short.update],
        _ => return None,
    };
    updates.into_iter().find_map(|update| match update {
        tl::enums::Update::GroupCall(update) => match update.call {
            tl::enums::GroupCall::Call(it) if it.rtmp_stream => {
                Some(Call(tl::types::InputGroupCall { id: it.id, access_hash: it.access_hash }.into()))
            }
            _ => None,
        },
        _ => None,
    })
}
