//! The table of error names, Telegram's and the client's own, with class, meaning and remedy.

use super::class::ErrorClass;

/// Error names with their class and meaning.
pub(super) const NAMES: &[(&str, ErrorClass, &str)] = &[
    ("AUTH_KEY_UNREGISTERED", ErrorClass::Session, "the session was ended, or was never signed in"),
    ("AUTH_KEY_INVALID", ErrorClass::Session, "Telegram does not know the session's key"),
    ("AUTH_KEY_PERM_EMPTY", ErrorClass::Session, "the session's key was never signed in"),
    ("SESSION_REVOKED", ErrorClass::Session, "this session was ended (\"terminate other sessions\")"),
    ("SESSION_EXPIRED", ErrorClass::Session, "the session was unused for too long"),
    (
        "SESSION_PASSWORD_NEEDED",
        ErrorClass::Session,
        "the sign-in of this session was never finished with its password",
    ),
    (
        "AUTH_KEY_DUPLICATED",
        ErrorClass::Session,
        "the session was used in two places at once; Telegram has ended it for good",
    ),
    (NO_KEY, ErrorClass::Session, "Telegram does not know the session's key: the session is dead"),
    (NO_ADDRESS, ErrorClass::Network, "the DC of the live stream has no known address"),
    (NO_DC, ErrorClass::Session, "the session names a DC that does not exist"),
    (BOT, ErrorClass::Session, "the session belongs to a bot, and a bot cannot start a live stream"),
    ("USER_DEACTIVATED", ErrorClass::Account, "the account was deleted"),
    ("USER_DEACTIVATED_BAN", ErrorClass::Account, "the account was banned by Telegram"),
    ("PHONE_NUMBER_BANNED", ErrorClass::Account, "the phone number was banned by Telegram"),
    ("FROZEN_METHOD_INVALID", ErrorClass::Account, "the account is frozen by Telegram"),
    ("FLOOD_WAIT", ErrorClass::Flood, "too many requests; Telegram asks to wait"),
    ("FLOOD_PREMIUM_WAIT", ErrorClass::Flood, "too many requests; Telegram asks to wait"),
    (TOO_MANY, ErrorClass::Network, "too many connections from this address"),
    (
        "CONNECTION_NOT_INITED",
        ErrorClass::Network,
        "the connection was not initialised; the next call opens a new one",
    ),
    (LOST, ErrorClass::Network, "the connection to Telegram was lost"),
    (TIMEOUT, ErrorClass::Network, "Telegram does not answer"),
    (PROXY, ErrorClass::Network, "no proxy leads to Telegram"),
    (
        PANIC,
        ErrorClass::Network,
        "the client library panicked on an answer; the next call opens a new connection",
    ),
    (GARBAGE, ErrorClass::Network, "the answer is not valid in Telegram's protocol"),
    ("CHAT_ADMIN_REQUIRED", ErrorClass::Rights, "the account may not manage video chats there"),
    ("RIGHT_FORBIDDEN", ErrorClass::Rights, "the account lacks a right it needs there"),
    ("CHAT_FORBIDDEN", ErrorClass::Rights, "the account may not use this chat"),
    ("CHAT_WRITE_FORBIDDEN", ErrorClass::Rights, "the account may not write in this chat"),
    ("CHAT_RESTRICTED", ErrorClass::Rights, "the chat is restricted by Telegram"),
    ("USER_NOT_PARTICIPANT", ErrorClass::Rights, "the account is not a member of the chat"),
    ("USER_BANNED_IN_CHANNEL", ErrorClass::Rights, "the account is banned from the chat"),
    ("BROADCAST_CALLS_DISABLED", ErrorClass::Rights, "live streams are switched off in this channel"),
    ("PEER_ID_INVALID", ErrorClass::Chat, "the account sees no such chat"),
    ("CHANNEL_INVALID", ErrorClass::Chat, "the account sees no such channel"),
    ("CHANNEL_PRIVATE", ErrorClass::Chat, "the channel is private and the account is not in it"),
    ("CHANNEL_BANNED", ErrorClass::Chat, "the channel was banned by Telegram"),
    ("CHAT_ID_INVALID", ErrorClass::Chat, "the account sees no such group"),
    ("USERNAME_INVALID", ErrorClass::Chat, "this is not a valid public name"),
    ("USERNAME_NOT_OCCUPIED", ErrorClass::Chat, "no chat or user has this public name"),
    (NO_CHAT, ErrorClass::Chat, "the account's dialogs contain no such chat"),
    (
        ENDLESS,
        ErrorClass::Chat,
        "Telegram's list of dialogs did not end within 200 pages or a minute; a public chat is found by its @name",
    ),
    (NOT_A_CHAT, ErrorClass::Chat, "this is a user, not a channel or a group"),
    ("USER_IS_BLOCKED", ErrorClass::Chat, "the user has blocked the bot"),
    ("INPUT_USER_DEACTIVATED", ErrorClass::Chat, "the user's account was deleted"),
    ("GROUPCALL_INVALID", ErrorClass::Call, "the call is over"),
    ("GROUPCALL_FORBIDDEN", ErrorClass::Call, "the call is over"),
    ("GROUPCALL_ALREADY_STARTED", ErrorClass::Call, "another call is live already"),
    ("GROUPCALL_ALREADY_DISCARDED", ErrorClass::Call, "the call is over"),
    ("CREATE_CALL_FAILED", ErrorClass::Call, "Telegram could not create the call"),
    (VIDEO_CHAT, ErrorClass::VideoChat, "people hold a video chat there, which tgs-stream does not end"),
    (SCHEDULED, ErrorClass::VideoChat, "a call is scheduled there, which a live stream would replace"),
    ("API_ID_INVALID", ErrorClass::App, "API_ID and API_HASH do not belong together"),
    ("CONNECTION_API_ID_INVALID", ErrorClass::App, "Telegram knows no application of this API_ID"),
    ("API_ID_PUBLISHED_FLOOD", ErrorClass::App, "this API_ID was published, so Telegram refuses it"),
];

/// Errors of a sign-in: name, meaning, remedy.
const SIGN_IN: &[(&str, &str, &str)] = &[
    (
        "PHONE_NUMBER_INVALID",
        "Telegram does not know such a phone number",
        "write it with + and the country code, as in +491701234567",
    ),
    ("PHONE_NUMBER_UNOCCUPIED", "no account has this phone number", SIGN_UP),
    ("SIGN_UP_REQUIRED", "no account has this phone number", SIGN_UP),
    (
        "PHONE_NUMBER_FLOOD",
        "too many codes were requested for this phone number",
        "wait a day, or sign in with --qr",
    ),
    (
        "PHONE_PASSWORD_FLOOD",
        "there were too many sign-ins with this phone number",
        "wait a day, or sign in with --qr",
    ),
    (
        "PHONE_NUMBER_APP_SIGNUP_FORBIDDEN",
        "this application may not sign this phone number in",
        "sign in with --qr",
    ),
    ("PHONE_CODE_INVALID", "the code is wrong", "enter the newest code again"),
    ("PHONE_CODE_EMPTY", "the code is wrong", "enter the newest code again"),
    ("EMAIL_CODE_INVALID", "the code is wrong", "enter the newest code again"),
    (
        "PHONE_CODE_EXPIRED",
        "the code has expired",
        "request a new one; a code that is forwarded inside Telegram expires at once",
    ),
    (
        "SEND_CODE_UNAVAILABLE",
        "Telegram cannot send this code in another way",
        "wait for it, or sign in with --qr",
    ),
    ("sentCodePaymentRequired", "Telegram charges for a code to this number", "sign in with --qr"),
    ("sentCodeSuccess", "Telegram signed in without a code", "try again, or sign in with --qr"),
    ("AUTH_RESTART", "Telegram restarted the sign-in", "try again"),
    ("UPDATE_APP_TO_LOGIN", "Telegram refuses sign-ins by this version", UPDATE),
    (
        "PASSWORD_HASH_INVALID",
        "the password is wrong",
        "use the password of Settings > Privacy > Two-Step Verification",
    ),
    ("PASSWORD_EMPTY", "the account no longer has a password", "sign in again"),
    ("SRP_ID_INVALID", "Telegram has changed the password challenge", "try again"),
    ("SRP_PASSWORD_CHANGED", "the password was changed during the sign-in", "try again"),
    ("passwordKdfAlgoUnknown", "this version does not support Telegram's password algorithm", UPDATE),
    ("bad SRP parameters", "Telegram sent unsafe password parameters", UPDATE),
    ("no randomness", "the system provides no random numbers", "try again"),
    ("ACCESS_TOKEN_INVALID", "Telegram knows no bot with this BOT_TOKEN", TOKEN),
    ("ACCESS_TOKEN_EXPIRED", "this BOT_TOKEN was revoked", TOKEN),
    ("AUTH_TOKEN_EXPIRED", "the QR code has expired", "scan the one that is shown now"),
    ("AUTH_TOKEN_INVALID", "Telegram does not know this QR code", "scan the one that is shown now"),
    ("AUTH_TOKEN_EXCEPTION", "Telegram does not accept this QR code", "scan the one that is shown now"),
];

const SIGN_UP: &str = "check the number; an account is made in the Telegram app first";
const TOKEN: &str = "copy the token again from @BotFather";
const UPDATE: &str =
    "install a newer version of this tool, or sign in with another tool and copy the session here";

pub(super) const NO_KEY: &str = "transport error 404";
pub(super) const TOO_MANY: &str = "transport error 429";
pub(super) const TIMEOUT: &str = "timeout";
pub(super) const PROXY: &str = "proxy failed";
pub(super) const PANIC: &str = "client panic";
pub(super) const GARBAGE: &str = "garbage";
pub(super) const BOT: &str = "BOT_METHOD_INVALID";
pub(super) const NO_CHAT: &str = "no such dialog";
pub(super) const NOT_A_CHAT: &str = "not a chat";
pub(super) const VIDEO_CHAT: &str = "video chat";
pub(super) const SCHEDULED: &str = "scheduled call";
pub(super) const ENDLESS: &str = "endless dialogs";
pub(super) const STOPPED: &str = "stopped";
pub(super) const NO_ADDRESS: &str = "no address of the DC";
pub(super) const NO_DC: &str = "unknown DC";
pub(super) const LOST: &str = "connection lost";

/// Meaning and remedy of a sign-in error.
pub(super) fn sign_in(name: &str) -> Option<(&'static str, &'static str)> {
    SIGN_IN.iter().find(|(known, ..)| *known == name).map(|(_, meaning, remedy)| (*meaning, *remedy))
}
