//! Service messages of MTProto: which requests are some, and notices about frames that are refused.

use grammers_tl_types::{Identifiable, Serializable, enums, functions, types};

use crate::{
    error::RpcError,
    message::{Incoming, now, seconds_of},
    state::Key,
};

/// `bad_server_salt`: the salt is wrong; the client must resend with the right one.
const BAD_SALT: i32 = 48;
/// `bad_msg_notification`: the client's clock is behind or ahead.
const ID_TOO_LOW: i32 = 16;
const ID_TOO_HIGH: i32 = 17;
/// Limits of a message id's distance from the server's time, in seconds:
/// <https://core.telegram.org/mtproto/description#message-identifier-msg-id>
const MAX_AGE: i64 = 300;
const MAX_AHEAD: i64 = 30;

pub(super) fn rpc_error(error: &RpcError) -> Vec<u8> {
    let error = types::RpcError { error_code: error.code, error_message: error.name.clone() };
    enums::RpcError::from(error).to_bytes()
}

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
