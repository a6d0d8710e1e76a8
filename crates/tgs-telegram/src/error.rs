//! Telegram errors by name, with class, meaning and remedy. The numeric code of a known name is
//! ignored because it varies. An error keeps only the name of the server's answer.

mod class;
mod names;

use std::{borrow::Cow, fmt, io, time::Duration};

use grammers_mtproto::transport;
use grammers_mtsender::{InvocationError, RpcError};
use tgs_core::{proxy::UpstreamProxy, remedy};

pub use self::class::ErrorClass;
use self::names::{
    BOT, ENDLESS, GARBAGE, LOST, NAMES, NO_ADDRESS, NO_CHAT, NO_DC, NO_KEY, NOT_A_CHAT, PANIC, PROXY,
    SCHEDULED, STOPPED, TIMEOUT, TOO_MANY, VIDEO_CHAT, sign_in,
};
use crate::{
    pinned_session::KeyReplacementRefused,
    pool::CallAborted,
    proxy::{ProxyFailure, ProxyProblem},
};

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelegramError {
    /// The error's class.
    pub class: ErrorClass,
    /// Telegram's error name or the client's own: `AUTH_KEY_UNREGISTERED`, `FLOOD_WAIT`, `timeout`,
    /// `transport error 404`.
    pub name: String,
    /// The failed action; follows "failed to".
    pub doing: &'static str,
    /// The wait that Telegram requires.
    pub wait: Option<Duration>,
    /// For a failure of the network: the proxy as scheme, host and port, and why it leads nowhere
    /// if that is known.
    pub proxy: Option<(String, Option<ProxyProblem>)>,
}

impl std::error::Error for TelegramError {}

impl fmt::Display for TelegramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.name)?;
        if let Some(wait) = self.wait {
            let longer = if wait >= LONGEST_WAIT { " or longer" } else { "" };
            write!(f, " (wait {} s{longer})", wait.as_secs())?;
        }
        match &self.proxy {
            Some((proxy, Some(problem))) => write!(f, ": {proxy}: {problem}"),
            Some((proxy, None)) => write!(f, ": {} (through the proxy {proxy})", self.meaning()),
            None => write!(f, ": {}", self.meaning()),
        }
    }
}

/// Upper bound of a wait. A longer FLOOD_WAIT limits the account and may be lifted early, so the
/// next attempt comes after a day.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

impl TelegramError {
    /// The error with this name, of the class in the table.
    pub(crate) fn named(name: &str, doing: &'static str) -> Self {
        let known = NAMES.iter().find(|(known, ..)| *known == name).map(|(_, class, _)| *class);
        let class =
            known.unwrap_or(if sign_in(name).is_some() { ErrorClass::SignIn } else { ErrorClass::Other });
        Self { class, name: name.to_owned(), doing, wait: None, proxy: None }
    }

    pub(crate) fn stopped(doing: &'static str) -> Self {
        Self { class: ErrorClass::Stopped, ..Self::named(STOPPED, doing) }
    }

    pub(crate) fn timeout(doing: &'static str) -> Self {
        Self::named(TIMEOUT, doing)
    }

    /// A call that was aborted before its answer.
    pub(crate) fn aborted(why: CallAborted, doing: &'static str) -> Self {
        match why {
            CallAborted::Stopped => Self::stopped(doing),
            CallAborted::TimedOut => Self::timeout(doing),
            CallAborted::Panicked => Self::named(PANIC, doing),
        }
    }

    /// The failure to open a connection, for which no proxy leads to Telegram: whatever the client
    /// made of it, it is one of the network.
    pub(crate) fn because_of(self, failure: ProxyFailure) -> Self {
        let ProxyFailure { proxy, problem } = failure;
        Self { proxy: Some((proxy, Some(problem))), ..Self::named(PROXY, self.doing) }
    }

    /// Names the proxy in use, if the network has failed.
    pub(crate) fn through(self, proxy: Option<&UpstreamProxy>) -> Self {
        let proxy = proxy.filter(|_| self.class == ErrorClass::Network);
        Self { proxy: proxy.map(|proxy| (proxy.to_string(), None)), ..self }
    }

    pub(crate) fn no_key(doing: &'static str) -> Self {
        Self::named(NO_KEY, doing)
    }

    pub(crate) fn lost(doing: &'static str) -> Self {
        Self::named(LOST, doing)
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

    /// A video chat is live in the chat.
    #[must_use]
    pub fn video_chat() -> Self {
        Self::named(VIDEO_CHAT, "start a live stream in the chat")
    }

    /// No session is signed in.
    #[must_use]
    pub fn not_signed_in() -> Self {
        Self::lost("speak to Telegram")
    }

    /// A call is scheduled in the chat.
    #[must_use]
    pub fn scheduled() -> Self {
        Self::named(SCHEDULED, "start a live stream in the chat")
    }

    /// Another DC than the session's own has no known address.
    pub(crate) fn no_address(doing: &'static str) -> Self {
        Self::named(NO_ADDRESS, doing)
    }

    pub(crate) fn no_dc(doing: &'static str) -> Self {
        Self::named(NO_DC, doing)
    }

    /// Whether this is transport error 404: Telegram does not know the auth key.
    pub(crate) fn is_no_key(&self) -> bool {
        self.name == NO_KEY
    }

    /// The target DC, if the error is a redirect.
    pub(crate) fn moved_to(&self) -> Option<u8> {
        let dc = ["PHONE_MIGRATE_", "USER_MIGRATE_", "NETWORK_MIGRATE_"]
            .iter()
            .find_map(|before| self.name.strip_prefix(before))?;
        dc.parse().ok()
    }

    /// Whether the connection was lost.
    pub(crate) fn is_lost_connection(&self) -> bool {
        self.name == LOST
    }

    /// Converts an error of grammers.
    pub(crate) fn of(error: &InvocationError, doing: &'static str) -> Self {
        match error {
            InvocationError::Rpc(error) => Self::of_rpc(error, doing),
            // The session refused a new auth key in place of one that Telegram does not know.
            InvocationError::Session(error) if error.is::<KeyReplacementRefused>() => Self::no_key(doing),
            InvocationError::Transport(transport::Error::BadStatus { status }) => match status {
                404 => Self::no_key(doing),
                429 => Self::named(TOO_MANY, doing),
                other => Self {
                    class: ErrorClass::Network,
                    ..Self::named(&format!("transport error {other}"), doing)
                },
            },
            InvocationError::Io(error) if is_lost(error.kind()) => Self::lost(doing),
            InvocationError::Io(error) => {
                Self { class: ErrorClass::Network, ..Self::named(&error.kind().to_string(), doing) }
            }
            InvocationError::Transport(_) | InvocationError::Deserialize(_) => Self::garbage(doing),
            _ => Self::lost(doing),
        }
    }

    /// Converts an error of another DC than the session's own, which cannot tell whether the
    /// session is good.
    pub(crate) fn of_other_dc(error: &InvocationError, doing: &'static str) -> Self {
        let error = match error {
            InvocationError::Authentication(_) => Self::lost(doing),
            error => Self::of(error, doing),
        };
        match error.class {
            ErrorClass::Session | ErrorClass::Account => Self { class: ErrorClass::Network, ..error },
            _ => error,
        }
    }

    fn of_rpc(error: &RpcError, doing: &'static str) -> Self {
        // grammers leaves a number above 32 bits in the name.
        let flood =
            ["FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"].into_iter().find(|name| error.name.starts_with(name));
        let known = Self::named(flood.unwrap_or(&error.name), doing);
        let class = match known.class {
            // An internal error of Telegram.
            ErrorClass::Other if error.code >= 500 || error.code < 0 => ErrorClass::Network,
            class => class,
        };
        let unreadable = flood.is_some_and(|name| error.name != name);
        let wait = (class == ErrorClass::Flood).then(|| match error.value {
            None if unreadable => LONGEST_WAIT,
            value => Duration::from_secs(value.unwrap_or(30).into()).min(LONGEST_WAIT),
        });
        // grammers splits the number from the name (PHONE_MIGRATE_2); restore it.
        let name = match error.value {
            Some(value) if class == ErrorClass::Other => format!("{}_{value}", error.name),
            _ => known.name.clone(),
        };
        Self { class, name, wait, ..known }
    }

    /// The meaning of the error, for the operator.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        if self.wait.is_some_and(|wait| wait >= LONGEST_WAIT) {
            return "Telegram asks to wait a day or longer, which limits the account; the next try is in a day";
        }
        if let Some((.., meaning)) = NAMES.iter().find(|(name, ..)| *name == self.name) {
            return meaning;
        }
        if let Some((meaning, _)) = sign_in(&self.name) {
            return meaning;
        }
        match self.class {
            ErrorClass::Network => "a temporary failure of the network or of Telegram",
            ErrorClass::Stopped => "the tool is stopping",
            _ => "unknown to this version",
        }
    }

    /// The remedy; empty if the operator need not act.
    #[must_use]
    pub fn remedy(&self) -> Cow<'static, str> {
        let remedy = match self.class {
            ErrorClass::Session => {
                return format!("run: {}", remedy::command("tgs-session --write-env")).into();
            }
            ErrorClass::Chat => {
                let list = remedy::command("tgs-session --list-dialogs");
                return format!("check CHAT_ID; {list} shows what the account sees").into();
            }
            ErrorClass::Account => {
                "contact Telegram from the account's phone, or sign in with another account"
            }
            ErrorClass::Flood | ErrorClass::Stopped => "",
            ErrorClass::Network if self.proxy.is_some() => {
                let diag = remedy::command("tgs-diag");
                return format!("check TELEGRAM_PROXY; this tries each of its proxies: {diag}").into();
            }
            ErrorClass::Network => "if this lasts, check that this machine reaches Telegram (port 443)",
            ErrorClass::Rights => {
                "make the account an administrator of the chat with the right to manage video chats"
            }
            ErrorClass::Call => "look at the chat's video chat in Telegram",
            ErrorClass::VideoChat => "end it in Telegram, or wait for its end",
            ErrorClass::App => "copy API_ID and API_HASH again from https://my.telegram.org",
            ErrorClass::SignIn => sign_in(&self.name).map_or("", |(_, remedy)| remedy),
            ErrorClass::Other => "report this name; RUST_LOG=debug tells more",
        };
        remedy.into()
    }
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
            assert_eq!((error.class, error.wait), (ErrorClass::Flood, Some(wait)), "{message}");
            assert!(error.to_string().contains(words), "{message}: {error}");
        }
        assert_eq!(of("PHONE_MIGRATE_4294967295").moved_to(), None);
        assert_eq!(of("AUTH_KEY_UNREGISTERED").wait, None);
    }
}
