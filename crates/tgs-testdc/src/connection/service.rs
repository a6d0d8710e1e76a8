//! Service messages of MTProto: which requests are some, their answers, and notices about frames
//! that are refused.

use std::time::Duration;

use grammers_tl_types::{Deserializable, Identifiable, Serializable, enums, functions, types};
use tokio::time::Instant;

use crate::{
    message::{Incoming, now, rpc_result, seconds_of},
    state::{Key, State},
};

/// Announced lifetime of a salt in seconds.
const SALT_LIFE: i32 = 86_400;

/// `bad_server_salt`: the salt is wrong; the client must resend with the right one.
const BAD_SALT: i32 = 48;
/// `bad_msg_notification`: the client's clock is behind or ahead.
const ID_TOO_LOW: i32 = 16;
const ID_TOO_HIGH: i32 = 17;
/// Limits of a message id's distance from the server's time, in seconds:
/// <https://core.telegram.org/mtproto/description#message-identifier-msg-id>
const MAX_AGE: i64 = 300;
const MAX_AHEAD: i64 = 30;

pub(super) fn bad_salt(key: &Key, frame: &Incoming) -> enums::BadMsgNotification {
    types::BadServerSalt {
        bad_msg_id: frame.outer,
        bad_msg_seqno: frame.outer_sequence,
        error_code: BAD_SALT,
        new_server_salt: key.salts[0],
    }
    .into()
}

/// The error of a frame as a whole: its salt or its time.
pub(super) fn bad_message(key: &Key, frame: &Incoming) -> Option<enums::BadMsgNotification> {
    let ahead = seconds_of(frame.outer) - i64::from(now());
    if !(-MAX_AGE..=MAX_AHEAD).contains(&ahead) {
        let error_code = if ahead > 0 { ID_TOO_HIGH } else { ID_TOO_LOW };
        let (bad_msg_id, bad_msg_seqno) = (frame.outer, frame.outer_sequence);
        return Some(types::BadMsgNotification { bad_msg_id, bad_msg_seqno, error_code }.into());
    }
    (!key.salts.contains(&frame.salt)).then(|| bad_salt(key, frame))
}

/// Whether MTProto itself defines the request, not the API.
pub(super) fn is_service(id: u32) -> bool {
    matches!(
        id,
        functions::Ping::CONSTRUCTOR_ID
            | functions::PingDelayDisconnect::CONSTRUCTOR_ID
            | functions::GetFutureSalts::CONSTRUCTOR_ID
            | functions::DestroySession::CONSTRUCTOR_ID
            | functions::RpcDropAnswer::CONSTRUCTOR_ID
    )
}

/// The answer to a service message; only one kind is an `rpc_result`.
pub(super) fn answer(
    state: &mut State,
    key: i64,
    msg_id: i64,
    id: u32,
    rest: &[u8],
    deadline: &mut Option<Instant>,
) -> Option<Vec<u8>> {
    match id {
        functions::Ping::CONSTRUCTOR_ID => {
            let ping_id = functions::Ping::from_bytes(rest).ok()?.ping_id;
            Some(enums::Pong::from(types::Pong { msg_id, ping_id }).to_bytes())
        }
        functions::PingDelayDisconnect::CONSTRUCTOR_ID => {
            let ping = functions::PingDelayDisconnect::from_bytes(rest).ok()?;
            let delay = Duration::from_secs(u64::from(ping.disconnect_delay.unsigned_abs().min(3600)));
            *deadline = Some(Instant::now() + delay);
            Some(enums::Pong::from(types::Pong { msg_id, ping_id: ping.ping_id }).to_bytes())
        }
        functions::GetFutureSalts::CONSTRUCTOR_ID => {
            // With fewer than two salts grammers asks again before each request.
            let salts = state.keys.get(&key)?.salts.iter().zip(0..);
            let now = now();
            let salts = salts.map(|(&salt, place)| types::FutureSalt {
                valid_since: now - 60 + place * SALT_LIFE,
                valid_until: now + (place + 1) * SALT_LIFE,
                salt,
            });
            let salts = grammers_tl_types::RawVec(salts.collect());
            Some(enums::FutureSalts::from(types::FutureSalts { req_msg_id: msg_id, now, salts }).to_bytes())
        }
        functions::DestroySession::CONSTRUCTOR_ID => {
            let session_id = functions::DestroySession::from_bytes(rest).ok()?.session_id;
            let key = state.keys.get_mut(&key)?;
            key.initialised.remove(&session_id);
            let answer = if key.sessions.remove(&session_id) {
                enums::DestroySessionRes::from(types::DestroySessionOk { session_id })
            } else {
                enums::DestroySessionRes::from(types::DestroySessionNone { session_id })
            };
            Some(answer.to_bytes())
        }
        functions::RpcDropAnswer::CONSTRUCTOR_ID => {
            Some(rpc_result(msg_id, &enums::RpcDropAnswer::RpcAnswerUnknown.to_bytes()))
        }
        _ => None,
    }
}
