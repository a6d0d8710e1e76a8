//! API methods: unwraps a call, finds its method and writes its answer. The connection handles
//! faults and the request log.

mod account;
mod bots;
mod calls;
mod chats;
mod general;
mod media;
mod messages;
mod password;
mod qr;
mod sign_in;
mod updates;

use grammers_tl_types::{
    Cursor, Deserializable, Identifiable, RemoteCall, Serializable, deserialize, enums, functions, types,
};

use crate::{
    error::RpcError,
    state::{Client, ReplyLater, State},
    world::Account,
};

/// Longest accepted call in bytes. Known calls are short; the parser recurses into nested types.
const MAX_CALL: usize = 32 * 1024;
/// Longest accepted part of an upload, as a call.
const MAX_UPLOAD: usize = (512 << 10) + 1024;
/// Most wrappers around a call.
const MAX_WRAPPERS: usize = 8;
/// Deepest nesting of the JSON in `initConnection`.
const MAX_JSON_DEPTH: u32 = 8;

/// The result of a method.
pub(crate) type Answer<T> = Result<T, RpcError>;

/// The error of this name.
pub(crate) fn error<T>(name: &str) -> Answer<T> {
    Err(RpcError::named(name))
}

/// A call without its wrappers.
#[derive(Debug)]
pub(crate) struct Unwrapped<'a> {
    /// The method's constructor id.
    pub(crate) id: u32,
    /// The arguments.
    body: &'a [u8],
    /// The data of `initConnection`, if it wrapped the call.
    pub(crate) init: Option<Client>,
}

impl Unwrapped<'_> {
    /// The method's TL name, or its id in hexadecimal.
    pub(crate) fn method(&self) -> String {
        match grammers_tl_types::name_for_id(self.id) {
            "(unknown)" => format!("#{:x}", self.id),
            name => name.to_owned(),
        }
    }
}

/// Removes `invokeWithLayer`, `initConnection` and similar wrappers from a call.
pub(crate) fn unwrap(mut call: &[u8]) -> Answer<Unwrapped<'_>> {
    let broken = |_: deserialize::Error| RpcError::named("INPUT_FETCH_ERROR");
    let mut init = None;
    for _ in 0..MAX_WRAPPERS {
        let mut cursor = Cursor::from_slice(call);
        let id = u32::deserialize(&mut cursor).map_err(broken)?;
        match id {
            // invokeWithLayer#da9b0d0d layer:int query:!X
            functions::InvokeWithLayer::<()>::CONSTRUCTOR_ID => {
                i32::deserialize(&mut cursor).map_err(broken)?;
            }
            functions::InvokeWithoutUpdates::<()>::CONSTRUCTOR_ID => {}
            functions::InvokeAfterMsg::<()>::CONSTRUCTOR_ID => {
                i64::deserialize(&mut cursor).map_err(broken)?;
            }
            functions::InitConnection::<()>::CONSTRUCTOR_ID => {
                init = Some(init_connection(&mut cursor).map_err(broken)?);
            }
            _ => return Ok(Unwrapped { id, body: &call[cursor.pos()..], init }),
        }
        call = &call[cursor.pos()..];
    }
    error("INPUT_FETCH_ERROR")
}

/// Parses `initConnection#c1cd5ea9 flags:# api_id:int device_model:string system_version:string
/// app_version:string system_lang_code:string lang_pack:string lang_code:string
/// proxy:flags.0?InputClientProxy params:flags.1?JSONValue query:!X`, up to the query.
fn init_connection(cursor: &mut Cursor<'_>) -> deserialize::Result<Client> {
    let flags = u32::deserialize(cursor)?;
    let client = Client {
        api_id: i32::deserialize(cursor)?,
        device_model: String::deserialize(cursor)?,
        system_version: String::deserialize(cursor)?,
        app_version: String::deserialize(cursor)?,
    };
    for _ in ["system_lang_code", "lang_pack", "lang_code"] {
        String::deserialize(cursor)?;
    }
    if flags & 1 != 0 {
        enums::InputClientProxy::deserialize(cursor)?;
    }
    if flags & 2 != 0 {
        skip_json(cursor, 0)?;
    }
    Ok(client)
}

/// Skips a `JSONValue`. The schema's generated parser has no depth limit.
fn skip_json(cursor: &mut Cursor<'_>, depth: u32) -> deserialize::Result<()> {
    const JSON_NULL: u32 = 0x3f6d_7b68;
    const JSON_BOOL: u32 = types::JsonBool::CONSTRUCTOR_ID;
    const JSON_NUMBER: u32 = types::JsonNumber::CONSTRUCTOR_ID;
    const JSON_STRING: u32 = types::JsonString::CONSTRUCTOR_ID;
    const JSON_ARRAY: u32 = types::JsonArray::CONSTRUCTOR_ID;
    const JSON_OBJECT: u32 = types::JsonObject::CONSTRUCTOR_ID;
    const VECTOR: u32 = 0x1cb5_c415;
    let id = u32::deserialize(cursor)?;
    match id {
        JSON_NULL => {}
        JSON_BOOL => drop(bool::deserialize(cursor)?),
        JSON_NUMBER => drop(f64::deserialize(cursor)?),
        JSON_STRING => drop(String::deserialize(cursor)?),
        JSON_ARRAY | JSON_OBJECT if depth < MAX_JSON_DEPTH => {
            let vector = u32::deserialize(cursor)?;
            if vector != VECTOR {
                return Err(deserialize::Error::UnexpectedConstructor { id: vector });
            }
            for _ in 0..u32::deserialize(cursor)? {
                if id == JSON_OBJECT {
                    // jsonObjectValue key:string value:JSONValue, boxed
                    u32::deserialize(cursor)?;
                    String::deserialize(cursor)?;
                }
                skip_json(cursor, depth + 1)?;
            }
        }
        _ => return Err(deserialize::Error::UnexpectedConstructor { id }),
    }
    Ok(())
}

/// The caller of a method, and the state that the method may change.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) state: &'a mut State,
    /// The auth key's id.
    pub(crate) key: i64,
    /// The DC that received the call.
    pub(crate) dc_id: i32,
    /// Where an answer goes that is given later.
    pub(crate) later: ReplyLater,
}

impl Caller<'_> {
    /// The signed-in account.
    fn me(&self) -> Answer<Account> {
        self.state.signed_in(self.key, self.dc_id).cloned()
    }

    /// Fails unless `api_id` and `api_hash` are those of the world.
    fn check_app(&self, api_id: i32, api_hash: &str) -> Answer<()> {
        let world = &self.state.world;
        if world.api_id == api_id && world.api_hash == api_hash { Ok(()) } else { error("API_ID_INVALID") }
    }
}

/// A method that this DC implements.
trait Method: RemoteCall<Return: Serializable> + Deserializable {
    /// Whether the method works without a sign-in.
    const OPEN: bool = false;
    /// Whether the method is refused to bots.
    const PEOPLE_ONLY: bool = false;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<Self::Return>;
}

fn run<M: Method>(body: &[u8], caller: &mut Caller<'_>) -> Answer<Vec<u8>> {
    if !M::OPEN && caller.me()?.bot && M::PEOPLE_ONLY {
        return error("BOT_METHOD_INVALID");
    }
    let method = M::from_bytes(body).map_err(|_| RpcError::named("INPUT_FETCH_ERROR"))?;
    Ok(method.answer(caller)?.to_bytes())
}

/// Runs the method of the call, if it is one of these.
macro_rules! one_of {
    ($call:expr, $caller:expr, $($method:ty),* $(,)?) => {
        match $call.id {
            $(<$method>::CONSTRUCTOR_ID => Some(run::<$method>($call.body, $caller)),)*
            _ => None,
        }
    };
}

fn account_method(call: &Unwrapped<'_>, caller: &mut Caller<'_>) -> Option<Answer<Vec<u8>>> {
    use functions::{account, auth, bots, help, updates, users};

    one_of!(
        call,
        caller,
        account::GetAuthorizations,
        account::GetPassword,
        account::ResetAuthorization,
        account::SetAuthorizationTtl,
        account::UpdateStatus,
        auth::AcceptLoginToken,
        auth::CancelCode,
        auth::CheckPassword,
        auth::ExportAuthorization,
        auth::ExportLoginToken,
        auth::ImportAuthorization,
        auth::ImportBotAuthorization,
        auth::ImportLoginToken,
        auth::LogOut,
        auth::ResendCode,
        auth::ResetAuthorizations,
        auth::SendCode,
        auth::SignIn,
        bots::SetBotCommands,
        help::GetConfig,
        help::GetNearestDc,
        updates::GetChannelDifference,
        updates::GetDifference,
        updates::GetState,
        users::GetFullUser,
        users::GetUsers,
    )
}

fn chat_method(call: &Unwrapped<'_>, caller: &mut Caller<'_>) -> Option<Answer<Vec<u8>>> {
    use functions::{channels, contacts, messages, phone, upload};

    one_of!(
        call,
        caller,
        channels::GetChannels,
        channels::GetFullChannel,
        contacts::ResolveUsername,
        messages::EditMessage,
        messages::ForwardMessages,
        messages::GetBotCallbackAnswer,
        messages::GetChats,
        messages::GetDialogs,
        messages::GetFullChat,
        messages::GetHistory,
        messages::GetMessages,
        messages::SendMedia,
        messages::SendMessage,
        messages::SetBotCallbackAnswer,
        phone::CreateGroupCall,
        phone::DiscardGroupCall,
        phone::EditGroupCallTitle,
        phone::GetGroupCall,
        phone::GetGroupCallStreamChannels,
        phone::GetGroupCallStreamRtmpUrl,
        phone::JoinGroupCall,
        phone::StartScheduledGroupCall,
        upload::GetFile,
        upload::SaveBigFilePart,
        upload::SaveFilePart,
    )
}

/// Answers a call.
pub(crate) fn answer(call: &Unwrapped<'_>, caller: &mut Caller<'_>) -> Answer<Vec<u8>> {
    use functions::upload::{SaveBigFilePart, SaveFilePart};

    let is_upload = [SaveFilePart::CONSTRUCTOR_ID, SaveBigFilePart::CONSTRUCTOR_ID].contains(&call.id);
    if call.body.len() > if is_upload { MAX_UPLOAD } else { MAX_CALL } {
        return error("INPUT_REQUEST_TOO_LONG");
    }
    let answer = account_method(call, caller).or_else(|| chat_method(call, caller));
    answer.unwrap_or_else(|| {
        log::warn!("no such method here: {}", call.method());
        error("METHOD_INVALID")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(params: Option<enums::Jsonvalue>) -> Vec<u8> {
        functions::InvokeWithLayer {
            layer: grammers_tl_types::LAYER,
            query: functions::InitConnection {
                api_id: 7,
                device_model: "a model".into(),
                system_version: "1".into(),
                app_version: "2".into(),
                system_lang_code: "en".into(),
                lang_pack: String::new(),
                lang_code: "en".into(),
                proxy: None,
                params,
                query: functions::InvokeWithoutUpdates { query: functions::help::GetConfig {} },
            },
        }
        .to_bytes()
    }

    #[test]
    fn wrappers_come_off() {
        let number = types::JsonObjectValue {
            key: "tz_offset".into(),
            value: types::JsonNumber { value: 3600.0 }.into(),
        };
        let object = types::JsonObject { value: vec![number.into()] };
        for params in [None, Some(object.into())] {
            let bytes = wrapped(params);
            let call = unwrap(&bytes).unwrap();
            assert_eq!(call.method(), "help.getConfig");
            assert_eq!(call.init.unwrap().api_id, 7);
        }
    }

    #[test]
    fn nests_without_end_are_refused() {
        let layers = functions::InvokeWithLayer { layer: 1, query: functions::help::GetConfig {} }.to_bytes();
        assert!(unwrap(&layers[..8].repeat(1000)).is_err());
        let mut json = enums::Jsonvalue::JsonNull;
        for _ in 0..100 {
            json = types::JsonArray { value: vec![json] }.into();
        }
        assert!(unwrap(&wrapped(Some(json))).is_err());
        assert!(unwrap(&[1, 2]).is_err());
    }
}
