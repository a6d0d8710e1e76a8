//! What can go wrong at Telegram, by name: what it means and what the operator does about it.
//!
//! Only names are looked at: the numbers beside them vary. Of what the server says an error keeps the name alone.

use std::{borrow::Cow, fmt, io, time::Duration};

use grammers_mtproto::transport;
use grammers_mtsender::{InvocationError, RpcError};
use tgs_core::remedy;

use crate::{pinned_session::KeyRefused, pool::Abandoned};

/// What an error is about; it decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The session can never be used again: sign in anew.
    Session,
    /// The account is banned, frozen or deleted: only a person can help.
    Account,
    /// Telegram asks to wait.
    Flood,
    /// The network, or Telegram itself, fails for the moment. Says nothing about the session.
    Network,
    /// The account may not do this in the chat.
    Rights,
    /// The chat does not exist, or the account does not see it.
    Chat,
    /// The call is over, or another one is live.
    Call,
    /// People hold a call of their own in the chat.
    People,
    /// API_ID and API_HASH are not those of an application.
    App,
    /// A phone number, code or password was not taken; only where somebody signs in, so it is not counted.
    SignIn,
    /// The tool was told to stop.
    Stopped,
    /// A name that is not in the table.
    Other,
}

impl Class {
    /// Every class that is counted.
    pub const COUNTED: [Self; 10] = [
        Self::Session,
        Self::Account,
        Self::Flood,
        Self::Network,
        Self::Rights,
        Self::Chat,
        Self::Call,
        Self::People,
        Self::App,
        Self::Other,
    ];

    /// The name in metrics and health.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Account => "account",
            Self::Flood => "flood",
            Self::Network => "network",
            Self::Rights => "rights",
            Self::Chat => "chat",
            Self::Call => "call",
            Self::People => "people",
            Self::App => "app",
            Self::SignIn => "sign_in",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelegramError {
    /// What it is about.
    pub class: Class,
    /// Telegram's name of it, or ours: `AUTH_KEY_UNREGISTERED`, `FLOOD_WAIT`, `timeout`, `transport error 404`.
    pub name: String,
    /// What was tried, as it stands behind "failed to".
    pub doing: &'static str,
    /// How long Telegram asks to wait.
    pub wait: Option<Duration>,
}

impl std::error::Error for TelegramError {}

impl fmt::Display for TelegramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.name)?;
        if let Some(wait) = self.wait {
            let longer = if wait >= LONGEST_WAIT { " or longer" } else { "" };
            write!(f, " (wait {} s{longer})", wait.as_secs())?;
        }
        write!(f, ": {}", self.meaning())
    }
}

/// Telegram is asked again after this long, however long it asks to wait: a longer wait is none for a flood but a limit on
/// the account, which may be lifted.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Names of each class with what they mean; the rest of a class has the class's own words.
const NAMES: &[(&str, Class, &str)] = &[
    ("AUTH_KEY_UNREGISTERED", Class::Session, "the session was ended, or was never signed in"),
    ("AUTH_KEY_INVALID", Class::Session, "Telegram does not know the session's key"),
    ("AUTH_KEY_PERM_EMPTY", Class::Session, "the session's key was never signed in"),
    ("SESSION_REVOKED", Class::Session, "somebody ended this session (\"terminate other sessions\")"),
    ("SESSION_EXPIRED", Class::Session, "the session was unused for too long"),
    (
        "SESSION_PASSWORD_NEEDED",
        Class::Session,
        "the sign-in of this session was never finished with its password",
    ),
    (
        "AUTH_KEY_DUPLICATED",
        Class::Session,
        "the session was used in two places at once; Telegram has ended it for good",
    ),
    (NO_KEY, Class::Session, "Telegram has no such key: the session is gone"),
    (NO_DC, Class::Session, "the session names a DC that does not exist"),
    (BOT, Class::Session, "the session belongs to a bot, and a bot cannot start a live stream"),
    ("USER_DEACTIVATED", Class::Account, "the account was deleted"),
    ("USER_DEACTIVATED_BAN", Class::Account, "the account was banned by Telegram"),
    ("PHONE_NUMBER_BANNED", Class::Account, "the phone number was banned by Telegram"),
    ("FROZEN_METHOD_INVALID", Class::Account, "the account is frozen by Telegram"),
    ("FLOOD_WAIT", Class::Flood, "too many requests; Telegram asks to wait"),
    ("FLOOD_PREMIUM_WAIT", Class::Flood, "too many requests; Telegram asks to wait"),
    (TOO_MANY, Class::Network, "too many connections from this address for the moment"),
    ("CONNECTION_NOT_INITED", Class::Network, "the connection was not set up; it is opened anew"),
    (LOST, Class::Network, "the connection to Telegram broke"),
    (TIMEOUT, Class::Network, "Telegram does not answer"),
    (PANIC, Class::Network, "an answer that the client library cannot read; the connection is opened anew"),
    (GARBAGE, Class::Network, "an answer that is not Telegram's protocol"),
    ("CHAT_ADMIN_REQUIRED", Class::Rights, "the account may not manage video chats there"),
    ("RIGHT_FORBIDDEN", Class::Rights, "the account lacks a right it needs there"),
    ("CHAT_FORBIDDEN", Class::Rights, "the account may not use this chat"),
    ("CHAT_WRITE_FORBIDDEN", Class::Rights, "the account may not write in this chat"),
    ("CHAT_RESTRICTED", Class::Rights, "the chat is restricted by Telegram"),
    ("USER_NOT_PARTICIPANT", Class::Rights, "the account is not a member of the chat"),
    ("USER_BANNED_IN_CHANNEL", Class::Rights, "the account is banned from the chat"),
    ("BROADCAST_CALLS_DISABLED", Class::Rights, "live streams are switched off in this channel"),
    ("PEER_ID_INVALID", Class::Chat, "there is no such chat for this account"),
    ("CHANNEL_INVALID", Class::Chat, "there is no such channel for this account"),
    ("CHANNEL_PRIVATE", Class::Chat, "the channel is private and the account is not in it"),
    ("CHANNEL_BANNED", Class::Chat, "the channel was banned by Telegram"),
    ("CHAT_ID_INVALID", Class::Chat, "there is no such group for this account"),
    ("USERNAME_INVALID", Class::Chat, "this cannot be a public name"),
    ("USERNAME_NOT_OCCUPIED", Class::Chat, "nobody has this public name"),
    (NO_CHAT, Class::Chat, "no such chat is among the account's dialogs"),
    (
        ENDLESS,
        Class::Chat,
        "Telegram's list of dialogs did not end within 200 pages or a minute; a public chat is found by its @name",
    ),
    (NOT_A_CHAT, Class::Chat, "this is a person, not a channel or a group"),
    ("GROUPCALL_INVALID", Class::Call, "the call is over"),
    ("GROUPCALL_FORBIDDEN", Class::Call, "the call is over"),
    ("GROUPCALL_ALREADY_STARTED", Class::Call, "another call is live already"),
    ("GROUPCALL_ALREADY_DISCARDED", Class::Call, "the call is over"),
    ("CREATE_CALL_FAILED", Class::Call, "Telegram could not create the call"),
    (PEOPLE, Class::People, "people hold a video chat of their own there, which is not ours to end"),
    (SCHEDULED, Class::People, "a call is scheduled there, which would be ended by ours"),
    ("API_ID_INVALID", Class::App, "API_ID and API_HASH do not belong together"),
    ("CONNECTION_API_ID_INVALID", Class::App, "Telegram knows no application of this API_ID"),
    ("API_ID_PUBLISHED_FLOOD", Class::App, "this API_ID was published and may not be used any more"),
];

/// What can go wrong with a sign-in: the name, what it means, and what to do.
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
        "codes were asked for too often for this phone number",
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
    ("PHONE_CODE_INVALID", "the code is wrong", "look at it again; it is not the code of an earlier try"),
    ("PHONE_CODE_EMPTY", "the code is wrong", "look at it again; it is not the code of an earlier try"),
    ("EMAIL_CODE_INVALID", "the code is wrong", "look at it again; it is not the code of an earlier try"),
    (
        "PHONE_CODE_EXPIRED",
        "the code has expired",
        "have a new one sent; do not forward a code inside Telegram, which ends it at once",
    ),
    ("SEND_CODE_UNAVAILABLE", "there is no other way to send this code", "wait for it, or sign in with --qr"),
    (
        "sentCodePaymentRequired",
        "Telegram wants to be paid for sending a code to this number",
        "sign in with --qr",
    ),
    (
        "sentCodeSuccess",
        "Telegram signed in without a code, which was not asked for",
        "try again, or sign in with --qr",
    ),
    ("AUTH_RESTART", "Telegram wants the sign-in to begin anew", "try again"),
    ("UPDATE_APP_TO_LOGIN", "Telegram signs nobody in with a program this old", UPDATE),
    (
        "PASSWORD_HASH_INVALID",
        "the password is wrong",
        "it is the one of Settings > Privacy > Two-Step Verification",
    ),
    ("PASSWORD_EMPTY", "the account has no password by now", "sign in again"),
    ("SRP_ID_INVALID", "Telegram has changed its question meanwhile", "try again"),
    ("SRP_PASSWORD_CHANGED", "the password was changed meanwhile", "try again"),
    (
        "passwordKdfAlgoUnknown",
        "Telegram wants the password proved in a way this version does not know",
        UPDATE,
    ),
    ("bad SRP parameters", "Telegram asks about the password in an unsafe way", UPDATE),
    ("no randomness", "the system has no random numbers", "try again"),
    ("AUTH_TOKEN_EXPIRED", "the QR code has expired", "scan the one that is shown now"),
    ("AUTH_TOKEN_INVALID", "Telegram does not know this QR code", "scan the one that is shown now"),
    ("AUTH_TOKEN_EXCEPTION", "Telegram does not take this QR code", "scan the one that is shown now"),
];

const SIGN_UP: &str = "check the number; an account is made in the Telegram app first";
const UPDATE: &str = "look for a newer version of this tool, or sign in without it and move the session here";

const NO_KEY: &str = "transport error 404";
const TOO_MANY: &str = "transport error 429";
const TIMEOUT: &str = "timeout";
const PANIC: &str = "client panic";
const GARBAGE: &str = "garbage";
const BOT: &str = "BOT_METHOD_INVALID";
const NO_CHAT: &str = "no such dialog";
const NOT_A_CHAT: &str = "not a chat";
const PEOPLE: &str = "video chat";
const SCHEDULED: &str = "scheduled call";
const ENDLESS: &str = "endless dialogs";
const STOPPED: &str = "stopped";
const NO_DC: &str = "unknown DC";
const LOST: &str = "connection lost";

impl TelegramError {
    /// The error of this name, of the class the table gives it.
    pub(crate) fn named(name: &str, doing: &'static str) -> Self {
        let known = NAMES.iter().find(|(known, ..)| *known == name).map(|(_, class, _)| *class);
        let class = known.unwrap_or(if sign_in(name).is_some() { Class::SignIn } else { Class::Other });
        Self { class, name: name.to_owned(), doing, wait: None }
    }

    pub(crate) fn stopped(doing: &'static str) -> Self {
        Self { class: Class::Stopped, ..Self::named(STOPPED, doing) }
    }

    pub(crate) fn timeout(doing: &'static str) -> Self {
        Self::named(TIMEOUT, doing)
    }

    /// A call that was ended from outside.
    pub(crate) fn abandoned(why: Abandoned, doing: &'static str) -> Self {
        match why {
            Abandoned::Stopped => Self::stopped(doing),
            Abandoned::TimedOut => Self::timeout(doing),
            Abandoned::Panicked => Self::named(PANIC, doing),
        }
    }

    pub(crate) fn no_key(doing: &'static str) -> Self {
        Self::named(NO_KEY, doing)
    }

    pub(crate) fn garbage(doing: &'static str) -> Self {
        Self::named(GARBAGE, doing)
    }

    pub(crate) fn bot(doing: &'static str) -> Self {
        Self::named(BOT, doing)
    }

    pub(crate) fn no_chat(doing: &'static str) -> Self {
        Self::named(NO_CHAT, doing)
    }

    pub(crate) fn endless(doing: &'static str) -> Self {
        Self::named(ENDLESS, doing)
    }

    pub(crate) fn not_a_chat(doing: &'static str) -> Self {
        Self::named(NOT_A_CHAT, doing)
    }

    /// A call of people among themselves is live in the chat.
    #[must_use]
    pub fn people() -> Self {
        Self::named(PEOPLE, "start a live stream in the chat")
    }

    /// Nobody is signed in.
    #[must_use]
    pub fn not_signed_in() -> Self {
        Self::named(LOST, "speak to Telegram")
    }

    /// A call is scheduled in the chat.
    #[must_use]
    pub fn scheduled() -> Self {
        Self::named(SCHEDULED, "start a live stream in the chat")
    }

    pub(crate) fn no_dc(doing: &'static str) -> Self {
        Self::named(NO_DC, doing)
    }

    /// Whether Telegram does not know the key.
    pub(crate) fn is_no_key(&self) -> bool {
        self.name == NO_KEY
    }

    /// The DC that the account or the phone number lives on, where that is what was said.
    pub(crate) fn moved_to(&self) -> Option<u8> {
        let dc = ["PHONE_MIGRATE_", "USER_MIGRATE_", "NETWORK_MIGRATE_"]
            .iter()
            .find_map(|before| self.name.strip_prefix(before))?;
        dc.parse().ok()
    }

    /// Whether the connection had gone.
    pub(crate) fn is_lost_connection(&self) -> bool {
        self.name == LOST
    }

    /// What the client library says.
    pub(crate) fn of(error: &InvocationError, doing: &'static str) -> Self {
        match error {
            InvocationError::Rpc(error) => Self::of_rpc(error, doing),
            // The pool was refused a new key in place of one that Telegram does not know.
            InvocationError::Session(error) if error.is::<KeyRefused>() => Self::no_key(doing),
            InvocationError::Transport(transport::Error::BadStatus { status }) => match status {
                404 => Self::no_key(doing),
                429 => Self::named(TOO_MANY, doing),
                other => {
                    Self { class: Class::Network, ..Self::named(&format!("transport error {other}"), doing) }
                }
            },
            InvocationError::Io(error) if is_lost(error.kind()) => Self::named(LOST, doing),
            InvocationError::Io(error) => {
                Self { class: Class::Network, ..Self::named(&error.kind().to_string(), doing) }
            }
            InvocationError::Transport(_) | InvocationError::Deserialize(_) => Self::garbage(doing),
            _ => Self::named(LOST, doing),
        }
    }

    fn of_rpc(error: &RpcError, doing: &'static str) -> Self {
        // A number that fits into no second of ours is left in the name by the library.
        let flood =
            ["FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"].into_iter().find(|name| error.name.starts_with(name));
        let known = Self::named(flood.unwrap_or(&error.name), doing);
        let class = match known.class {
            // Telegram's own trouble: every 5xx, and negative codes.
            Class::Other if error.code >= 500 || error.code < 0 => Class::Network,
            class => class,
        };
        let unreadable = flood.is_some_and(|name| error.name != name);
        let wait = (class == Class::Flood).then(|| match error.value {
            None if unreadable => LONGEST_WAIT,
            value => Duration::from_secs(value.unwrap_or(30).into()).min(LONGEST_WAIT),
        });
        // A digit in a name was taken out of it (PHONE_MIGRATE_2), but belongs to what is shown.
        let name = match error.value {
            Some(value) if class == Class::Other => format!("{}_{value}", error.name),
            _ => known.name.clone(),
        };
        Self { class, name, wait, ..known }
    }

    /// What it means, in words.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        if self.wait.is_some_and(|wait| wait >= LONGEST_WAIT) {
            return "Telegram asks to wait a day or longer, which limits the account; it is asked again after a day";
        }
        if let Some((.., meaning)) = NAMES.iter().find(|(name, ..)| *name == self.name) {
            return meaning;
        }
        if let Some((meaning, _)) = sign_in(&self.name) {
            return meaning;
        }
        match self.class {
            Class::Network => "the network or Telegram fails for the moment",
            Class::Stopped => "the tool was told to stop",
            _ => "an error this version does not know",
        }
    }

    /// What the operator does about it; empty where nothing is to be done.
    #[must_use]
    pub fn remedy(&self) -> Cow<'static, str> {
        let remedy = match self.class {
            Class::Session => return format!("run: {}", remedy::command("tgs-session --write-env")).into(),
            Class::Chat => {
                let list = remedy::command("tgs-session --list-dialogs");
                return format!("check CHAT_ID; {list} shows what the account sees").into();
            }
            Class::Account => "write to Telegram from the account's phone, or sign in with another account",
            Class::Flood | Class::Stopped => "",
            Class::Network => "if this lasts, check that this machine reaches Telegram (port 443)",
            Class::Rights => {
                "make the account an administrator of the chat with the right to manage video chats"
            }
            Class::Call => "look at the chat's video chat in Telegram",
            Class::People => "end it in Telegram, or wait for its end",
            Class::App => "copy API_ID and API_HASH again from https://my.telegram.org",
            Class::SignIn => sign_in(&self.name).map_or("", |(_, remedy)| remedy),
            Class::Other => "report this name; RUST_LOG=debug tells more",
        };
        remedy.into()
    }
}

/// Meaning and remedy of what a sign-in met.
fn sign_in(name: &str) -> Option<(&'static str, &'static str)> {
    SIGN_IN.iter().find(|(known, ..)| *known == name).map(|(_, meaning, remedy)| (*meaning, *remedy))
}

fn is_lost(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use grammers_tl_types as tl;

    use super::*;

    fn of(message: &str) -> TelegramError {
        let error = tl::types::RpcError { error_code: 420, error_message: message.into() };
        TelegramError::of(&InvocationError::Rpc(error.into()), "try")
    }

    #[test]
    fn no_wait_is_longer_than_a_day() {
        let day = Duration::from_hours(24);
        let table = [
            ("FLOOD_WAIT_7", Duration::from_secs(7), "try: FLOOD_WAIT (wait 7 s): too many requests"),
            ("FLOOD_WAIT_0", Duration::ZERO, "(wait 0 s)"),
            ("FLOOD_WAIT", Duration::from_secs(30), "(wait 30 s)"),
            ("FLOOD_WAIT_86399", Duration::from_secs(86_399), "(wait 86399 s): too many"),
            ("FLOOD_WAIT_86400", day, "(wait 86400 s or longer): Telegram asks to wait a day or longer"),
            ("FLOOD_WAIT_4294967295", day, "try: FLOOD_WAIT (wait 86400 s or longer)"),
            ("FLOOD_WAIT_99999999999999999999", day, "try: FLOOD_WAIT (wait 86400 s or longer)"),
            ("FLOOD_PREMIUM_WAIT_4294967296", day, "try: FLOOD_PREMIUM_WAIT (wait 86400 s or longer)"),
        ];
        for (message, wait, words) in table {
            let error = of(message);
            assert_eq!((error.class, error.wait), (Class::Flood, Some(wait)), "{message}");
            assert!(error.to_string().contains(words), "{message}: {error}");
        }
        assert_eq!(of("PHONE_MIGRATE_4294967295").moved_to(), None);
        assert_eq!(of("AUTH_KEY_UNREGISTERED").wait, None);
    }
}
