//! The viewer's side of an RTMP live stream: whether viewers get it, and how new it is.
//!
//! As the official clients do it: tgcalls' `StreamingMediaContext.cpp`, and `requestCurrentTime` of
//! Telegram Desktop's group call. Never tried against Telegram.

use grammers_mtsender::InvocationError;
use grammers_tl_types as tl;

use crate::{GroupCall, TelegramClient, TelegramError, client::ElsewhereError};

/// Bytes of a part that are asked for at once: the most that `upload.getFile` gives.
const PIECE: i32 = 1 << 20;

/// Bytes of a part that are fetched; a second at 10 Mbit/s has 1.25 MB.
const LONGEST_PART: usize = 4 << 20;

/// Telegram's answer to one who has not joined the call, or is no longer in it.
const NOT_JOINED: [&str; 2] = ["GROUPCALL_JOIN_MISSING", "GROUPCALL_FORBIDDEN"];

impl TelegramClient {
    /// Joins `call` as a listener who sends nothing. The account is one of its viewers from then
    /// on, until Telegram drops it for its silence.
    pub fn join_as_viewer(&mut self, call: &GroupCall) -> Result<(), TelegramError> {
        // What WebRTC would need. Only the number of the source counts: no WebRTC follows in a
        // stream.
        let data = format!(
            r#"{{"fingerprints":[],"pwd":"","ssrc":{},"ssrc-groups":[],"ufrag":""}}"#,
            fastrand::u32(1..)
        );
        let request = tl::functions::phone::JoinGroupCall {
            muted: true,
            video_stopped: true,
            call: call.input(),
            join_as: tl::enums::InputPeer::PeerSelf,
            invite_hash: None,
            public_key: None,
            block: None,
            params: tl::types::DataJson { data }.into(),
        };
        self.call("join the live stream as a viewer", &request).map(drop)
    }

    /// Requests the time of the newest second that viewers of `call` can get, in ms of the server's
    /// clock for this stream; `None` while nothing arrives there. `dc` is the call's DC, if
    /// Telegram has named one.
    ///
    /// Joins first if Telegram says that this account is not in the call.
    pub fn live_edge(&mut self, call: &GroupCall, dc: Option<i32>) -> Result<Option<u64>, TelegramError> {
        let doing = "ask for the newest second of the live stream";
        let request = tl::functions::phone::GetGroupCallStreamChannels { call: call.input() };
        let mut answer = self.call_elsewhere(doing, dc, &request);
        if matches!(&answer, Err(error) if NOT_JOINED.contains(&error.name.as_str())) {
            self.join_as_viewer(call)?;
            answer = self.call_elsewhere(doing, dc, &request);
        }
        let tl::enums::phone::GroupCallStreamChannels::Channels(answer) = answer?;
        let times = answer.channels.into_iter().map(|channel| {
            let tl::enums::GroupCallStreamChannel::Channel(channel) = channel;
            u64::try_from(channel.last_timestamp_ms).unwrap_or_default()
        });
        // A stream that has not begun has the time zero.
        Ok(times.max().filter(|newest| *newest > 0))
    }

    /// Fetches the second of `call` that begins at `at_ms`, in the best quality, as [`StreamPart`]
    /// reads it: at most 4 MiB. `None` where Telegram does not have it yet, or no longer.
    ///
    /// [`StreamPart`]: crate::StreamPart
    pub fn stream_part(
        &mut self,
        call: &GroupCall,
        dc: Option<i32>,
        at_ms: u64,
    ) -> Result<Option<Vec<u8>>, TelegramError> {
        let location = tl::types::InputGroupCallStream {
            call: call.input(),
            time_ms: i64::try_from(at_ms).unwrap_or(i64::MAX),
            scale: 0,
            video_channel: Some(1),
            video_quality: Some(2),
        };
        let mut part = Vec::new();
        while part.len() < LONGEST_PART {
            let request = tl::functions::upload::GetFile {
                precise: false,
                cdn_supported: false,
                location: location.clone().into(),
                offset: i64::try_from(part.len()).unwrap_or(i64::MAX),
                limit: PIECE,
            };
            match self.call_elsewhere("fetch a second of the live stream", dc, &request) {
                Ok(tl::enums::upload::File::File(file)) => {
                    let last = file.bytes.len() < PIECE as usize;
                    part.extend(file.bytes);
                    if last {
                        break;
                    }
                }
                Ok(tl::enums::upload::File::CdnRedirect(_)) => return Ok(None),
                Err(error) if error.name.starts_with("TIME_") => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(part))
    }

    /// Sends `request` to the DC of a stream or file. What that DC thinks of the session says
    /// nothing about the session: its refusals are errors of the network.
    pub(crate) fn call_elsewhere<R: tl::RemoteCall>(
        &mut self,
        doing: &'static str,
        dc: Option<i32>,
        request: &R,
    ) -> Result<R::Return, TelegramError> {
        let Some(dc) = dc.filter(|dc| *dc != self.home_dc()) else {
            return self.call(doing, request);
        };
        self.call_in(doing, dc, async |client| {
            match client.invoke_in_dc(dc, request).await {
                Err(InvocationError::Rpc(error)) if error.code == 401 => {}
                answer => return answer.map_err(ElsewhereError::There),
            }
            let export = tl::functions::auth::ExportAuthorization { dc_id: dc };
            let tl::enums::auth::ExportedAuthorization::Authorization(exported) =
                client.invoke(&export).await.map_err(ElsewhereError::AtHome)?;
            let import = tl::functions::auth::ImportAuthorization { id: exported.id, bytes: exported.bytes };
            client.invoke_in_dc(dc, &import).await.map_err(ElsewhereError::There)?;
            client.invoke_in_dc(dc, request).await.map_err(ElsewhereError::There)
        })
    }
}
