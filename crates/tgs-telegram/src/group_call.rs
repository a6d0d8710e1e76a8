//! The RTMP group call (live stream) of a chat: state, start, title, end and ingest. Sends no
//! media.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grammers_tl_types as tl;
use tgs_core::secret::Secret;
use tl::enums::InputPeer;

use crate::{Chat, TelegramClient, TelegramError};

/// A group call whose media comes by RTMP.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupCall(tl::enums::InputGroupCall);

/// The state of a chat's group call.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupCallState {
    /// The chat has no group call.
    Absent,
    /// A live stream fed by RTMP.
    Rtmp {
        /// The call.
        call: GroupCall,
        /// The number of its participants; a broadcaster over RTMP does not count.
        viewers: u32,
        /// The DC that viewers get the stream from, if Telegram names one.
        stream_dc: Option<i32>,
    },
    /// A video chat, which tgs tools never end.
    VideoChat,
    /// A call that is scheduled for later.
    Scheduled {
        /// The call.
        call: GroupCall,
        /// Whether it is a live stream fed by RTMP.
        is_rtmp: bool,
        /// When it is due.
        due: SystemTime,
    },
}

/// The RTMP ingest of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// The server URL, `rtmps://…/s/`.
    pub url: String,
    /// The stream key of the chat. It remains valid after the call and the session end.
    pub key: Secret<String>,
}

impl Ingest {
    /// The publishing URL: server URL and stream key.
    #[must_use]
    pub fn output(&self) -> Secret<String> {
        Secret::new(format!("{}/{}", self.url.trim_end_matches('/'), self.key.expose()))
    }
}

impl GroupCall {
    /// The call as requests name it.
    pub(crate) fn input(&self) -> tl::enums::InputGroupCall {
        self.0.clone()
    }
}

impl TelegramClient {
    /// Requests the group call of `chat`.
    pub fn group_call(&mut self, chat: &Chat) -> Result<GroupCallState, TelegramError> {
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
        call.map_or(Ok(GroupCallState::Absent), |call| self.state_of(doing, GroupCall(call)))
    }

    /// Requests the state of a known call.
    pub fn group_call_state(&mut self, call: &GroupCall) -> Result<GroupCallState, TelegramError> {
        self.state_of("check the live stream", call.clone())
    }

    fn state_of(&mut self, doing: &'static str, call: GroupCall) -> Result<GroupCallState, TelegramError> {
        let request = tl::functions::phone::GetGroupCall { call: call.0.clone(), limit: 1 };
        let answer = match self.call(doing, &request) {
            Ok(tl::enums::phone::GroupCall::Call(answer)) => answer,
            Err(error) if matches!(error.name.as_str(), "GROUPCALL_INVALID" | "GROUPCALL_FORBIDDEN") => {
                return Ok(GroupCallState::Absent);
            }
            Err(error) => return Err(error),
        };
        Ok(match answer.call {
            tl::enums::GroupCall::Discarded(_) => GroupCallState::Absent,
            tl::enums::GroupCall::Call(it) => match it.schedule_date {
                Some(date) => GroupCallState::Scheduled {
                    call,
                    is_rtmp: it.rtmp_stream,
                    due: UNIX_EPOCH + Duration::from_secs(date.try_into().unwrap_or_default()),
                },
                None if it.rtmp_stream => GroupCallState::Rtmp {
                    call,
                    viewers: it.participants_count.try_into().unwrap_or_default(),
                    stream_dc: it.stream_dc_id,
                },
                None => GroupCallState::VideoChat,
            },
        })
    }

    /// Starts a live stream in `chat`. Call only after [`TelegramClient::group_call`] found none:
    /// Telegram ends an existing call.
    pub fn create_group_call(
        &mut self,
        chat: &Chat,
        title: Option<&str>,
    ) -> Result<GroupCall, TelegramError> {
        let doing = "start a live stream in the chat";
        let request = tl::functions::phone::CreateGroupCall {
            rtmp_stream: true,
            peer: chat.peer.clone(),
            random_id: fastrand::i32(..),
            title: title.map(str::to_owned),
            schedule_date: None,
        };
        // Not repeated: a video chat may have started since, and a second request would end it.
        let updates = self.call_once(doing, &request)?;
        created(updates).ok_or_else(|| TelegramError::named("CREATE_CALL_FAILED", doing))
    }

    /// Starts a scheduled live stream before its time or at it. One that was started meanwhile is
    /// not an error.
    pub fn start_scheduled(&mut self, call: &GroupCall) -> Result<(), TelegramError> {
        let request = tl::functions::phone::StartScheduledGroupCall { call: call.0.clone() };
        match self.call("start the scheduled live stream", &request) {
            Ok(_) => Ok(()),
            Err(error) if error.name == "GROUPCALL_ALREADY_STARTED" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets the title of the live stream; an empty title selects the chat's title.
    pub fn set_title(&mut self, call: &GroupCall, title: &str) -> Result<(), TelegramError> {
        let request =
            tl::functions::phone::EditGroupCallTitle { call: call.0.clone(), title: title.to_owned() };
        match self.call("change the live stream's title", &request) {
            Ok(_) => Ok(()),
            Err(error) if error.name == "GROUPCALL_NOT_MODIFIED" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends the live stream for all viewers. An ended call is not an error. Only for an operator's
    /// command.
    pub fn discard_group_call(&mut self, call: &GroupCall) -> Result<(), TelegramError> {
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

    /// Requests the RTMP ingest of `chat`.
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

/// The new call in the answer to its creation.
fn created(updates: tl::enums::Updates) -> Option<GroupCall> {
    let updates = match updates {
        tl::enums::Updates::Updates(all) => all.updates,
        tl::enums::Updates::Combined(all) => all.updates,
        tl::enums::Updates::UpdateShort(short) => vec![short.update],
        _ => return None,
    };
    updates.into_iter().find_map(|update| match update {
        tl::enums::Update::GroupCall(update) => match update.call {
            tl::enums::GroupCall::Call(it) if it.rtmp_stream => {
                Some(GroupCall(tl::types::InputGroupCall { id: it.id, access_hash: it.access_hash }.into()))
            }
            _ => None,
        },
        _ => None,
    })
}
