//! The classes of errors.

/// The class of an error; callers decide by it how to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// The session is dead; a new sign-in is needed.
    Session,
    /// The account is banned, frozen or deleted; only its owner can act.
    Account,
    /// FLOOD_WAIT: Telegram requires a wait.
    Flood,
    /// A temporary failure of the network or of Telegram, independent of the session.
    Network,
    /// The account lacks the right to do this in the chat.
    Rights,
    /// The chat does not exist, or the account cannot see it.
    Chat,
    /// The call has ended, or another call is live.
    Call,
    /// A video chat is live in the chat.
    VideoChat,
    /// API_ID and API_HASH belong to no application.
    App,
    /// Telegram refused a phone number, code or password. Not counted, because it occurs only in an
    /// interactive sign-in.
    SignIn,
    /// The stop flag was set.
    Stopped,
    /// An unknown name.
    Other,
}

impl ErrorClass {
    /// The classes that metrics count.
    pub const COUNTED: [Self; 10] = [
        Self::Session,
        Self::Account,
        Self::Flood,
        Self::Network,
        Self::Rights,
        Self::Chat,
        Self::Call,
        Self::VideoChat,
        Self::App,
        Self::Other,
    ];

    /// The name in metrics and `/healthz`.
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
            Self::VideoChat => "people",
            Self::App => "app",
            Self::SignIn => "sign_in",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}
