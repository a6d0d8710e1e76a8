//! What a test DC holds when it starts: accounts, chats, and who may do what in them. Data only.

use std::time::Duration;

/// The accounts and chats of a test DC.
#[derive(Debug, Clone)]
pub struct World {
    /// Who can sign in.
    pub accounts: Vec<Account>,
    /// Channels and groups.
    pub chats: Vec<Chat>,
    /// The application that may connect.
    pub api_id: i32,
    /// Its hash: a dummy.
    pub api_hash: String,
    /// How long a QR token can be accepted.
    pub login_token_life: Duration,
    /// Where `phone.getGroupCallStreamRtmpUrl` points.
    pub ingest: String,
    /// How many seconds the time that `help.getConfig` tells is ahead of this machine's.
    pub clock_ahead: i32,
}

/// Somebody who can sign in.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account's id.
    pub user_id: i64,
    /// The DC it lives on: 1 or 2.
    pub dc_id: i32,
    /// With `+` and country code.
    pub phone: String,
    /// The login code that it is sent, each time the same.
    pub code: String,
    /// How the first code reaches it.
    pub code_by: CodeBy,
    /// The 2FA password, if it has one.
    pub password: Option<String>,
    /// The name shown.
    pub first_name: String,
    /// The name without `@`.
    pub username: Option<String>,
    /// A bot: what only people may do answers `BOT_METHOD_INVALID`.
    pub bot: bool,
}

/// How a login code reaches its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeBy {
    /// As a message inside Telegram.
    App,
    /// As a text message.
    Sms,
    /// By a voice.
    Call,
    /// The code is the end of a number that calls.
    MissedCall,
    /// By email.
    Email,
    /// On Fragment.
    Fragment,
}

/// A channel or a group.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The bare id, without `-100`.
    pub id: i64,
    /// What it is.
    pub kind: ChatKind,
    /// Its title.
    pub title: String,
    /// The name without `@`; a chat without one is private.
    pub username: Option<String>,
    /// What accounts are in it; all others are strangers to it.
    pub roles: Vec<(i64, Role)>,
    /// The call that is live at the start.
    pub call: Option<CallKind>,
}

/// What a chat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatKind {
    /// One speaks, many listen.
    Broadcast,
    /// A group with channel ids.
    Supergroup,
    /// A small old-style group.
    Basic,
}

/// What an account is in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It made the chat, and may do everything.
    Creator,
    /// It administers the chat.
    Admin {
        /// Whether that includes live streams.
        manage_call: bool,
    },
    /// It reads.
    Member,
}

/// What kind of call is live in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// A live stream that takes RTMP.
    Rtmp,
    /// A video chat of people.
    WebRtc,
}

impl Chat {
    /// The id that users and `CHAT_ID` give: −100… for channels and supergroups, −… for basic
    /// groups.
    #[must_use]
    pub fn marked_id(&self) -> i64 {
        match self.kind {
            ChatKind::Basic => -self.id,
            ChatKind::Broadcast | ChatKind::Supergroup => -1_000_000_000_000 - self.id,
        }
    }

    /// What the account is in this chat; `None` for a stranger.
    #[must_use]
    pub fn role(&self, user_id: i64) -> Option<Role> {
        self.roles.iter().find(|(id, _)| *id == user_id).map(|(_, role)| *role)
    }
}

impl World {
    /// Alice's user id: lives on DC 2, has a 2FA password, made [`World::CHANNEL`].
    pub const ALICE: i64 = 5_000_000_001;
    /// Bob's user id: lives on DC 1, has no password.
    pub const BOB: i64 = 5_000_000_002;
    /// The broadcast channel `@tgs_demo`, made by Alice; Bob reads it.
    pub const CHANNEL: i64 = 2_000_000_001;
    /// A private supergroup that Alice administers without the right to manage calls; Bob made it.
    pub const SUPERGROUP: i64 = 2_000_000_002;
    /// A basic group that Alice made; Bob is a member.
    pub const GROUP: i64 = 4_000_001;
    /// The public channel `@tgs_elsewhere`, made by Bob: Alice is not in it.
    pub const ELSEWHERE: i64 = 2_000_000_003;
    /// A private channel, made by Bob: Alice is not in it.
    pub const PRIVATE: i64 = 2_000_000_004;

    /// Two accounts and five chats; see the constants of this type.
    #[must_use]
    pub fn example() -> Self {
        let account = |user_id, dc_id, phone: &str, password: Option<&str>, name: &str| Account {
            user_id,
            dc_id,
            phone: phone.to_owned(),
            code: "22222".to_owned(),
            code_by: CodeBy::App,
            password: password.map(str::to_owned),
            first_name: name.to_owned(),
            username: Some(format!("tgs_{}", name.to_lowercase())),
            bot: false,
        };
        let chat = |id, kind, title: &str, username: Option<&str>, roles: &[(i64, Role)]| Chat {
            id,
            kind,
            title: title.to_owned(),
            username: username.map(str::to_owned),
            roles: roles.to_vec(),
            call: None,
        };
        let without_calls = Role::Admin { manage_call: false };
        Self {
            accounts: vec![
                account(Self::ALICE, 2, "+15550100001", Some("correct horse"), "Alice"),
                account(Self::BOB, 1, "+15550100002", None, "Bob"),
            ],
            chats: vec![
                chat(
                    Self::CHANNEL,
                    ChatKind::Broadcast,
                    "Demo channel",
                    Some("tgs_demo"),
                    &[(Self::ALICE, Role::Creator), (Self::BOB, Role::Member)],
                ),
                chat(
                    Self::SUPERGROUP,
                    ChatKind::Supergroup,
                    "Supergroup without calls",
                    None,
                    &[(Self::BOB, Role::Creator), (Self::ALICE, without_calls)],
                ),
                chat(
                    Self::GROUP,
                    ChatKind::Basic,
                    "Basic group",
                    None,
                    &[(Self::ALICE, Role::Creator), (Self::BOB, Role::Member)],
                ),
                chat(
                    Self::ELSEWHERE,
                    ChatKind::Broadcast,
                    "Somebody else's channel",
                    Some("tgs_elsewhere"),
                    &[(Self::BOB, Role::Creator)],
                ),
                chat(
                    Self::PRIVATE,
                    ChatKind::Broadcast,
                    "Private channel",
                    None,
                    &[(Self::BOB, Role::Creator)],
                ),
            ],
            api_id: 12345,
            api_hash: "0123456789abcdef0123456789abcdef".to_owned(),
            login_token_life: Duration::from_secs(30),
            ingest: "rtmp://127.0.0.1:1935/live".to_owned(),
            clock_ahead: 0,
        }
    }
}
