//! The initial content of a test DC: accounts, chats, and rights in them. Data only.

use std::time::Duration;

/// The accounts and chats of a test DC.
#[derive(Debug, Clone)]
pub struct World {
    /// Accounts that can sign in.
    pub accounts: Vec<Account>,
    /// Channels and groups.
    pub chats: Vec<Chat>,
    /// The `api_id` that clients must send.
    pub api_id: i32,
    /// The `api_hash` of that application: a dummy.
    pub api_hash: String,
    /// Lifetime of a QR login token.
    pub login_token_life: Duration,
    /// The URL that `phone.getGroupCallStreamRtmpUrl` returns.
    pub ingest: String,
    /// Seconds by which the time in `help.getConfig` is ahead of this machine's clock.
    pub clock_ahead: i32,
}

/// An account that can sign in.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user id.
    pub user_id: i64,
    /// The account's home DC: 1 or 2.
    pub dc_id: i32,
    /// The phone number with `+` and country code.
    pub phone: String,
    /// The login code, the same for each sign-in.
    pub code: String,
    /// How the first login code is sent.
    pub code_by: CodeBy,
    /// The 2FA password, if set.
    pub password: Option<String>,
    /// The first name.
    pub first_name: String,
    /// The username without `@`.
    pub username: Option<String>,
    /// Whether the account is a bot: user-only methods answer `BOT_METHOD_INVALID`.
    pub bot: bool,
    /// The token with which a bot signs in: a dummy.
    pub bot_token: Option<String>,
    /// The language of the user's app, as bots see it: `en`, `ru`.
    pub lang_code: Option<String>,
}

/// The delivery type of a login code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeBy {
    /// As a message inside Telegram.
    App,
    /// As a text message.
    Sms,
    /// By a voice call.
    Call,
    /// By a call whose number ends with the code.
    MissedCall,
    /// By email.
    Email,
    /// By Fragment.
    Fragment,
}

/// A channel or a group.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The bare id, without `-100`.
    pub id: i64,
    /// The type of the chat.
    pub kind: ChatKind,
    /// The title.
    pub title: String,
    /// The username without `@`; a chat without username is private.
    pub username: Option<String>,
    /// The members' roles; all other accounts are not in the chat.
    pub roles: Vec<(i64, Role)>,
    /// The call that is live at the start.
    pub call: Option<CallKind>,
}

/// The type of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatKind {
    /// A broadcast channel.
    Broadcast,
    /// A supergroup.
    Supergroup,
    /// A basic group.
    Basic,
}

/// The role of an account in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The creator, with all rights.
    Creator,
    /// An administrator.
    Admin {
        /// Whether the rights include live streams.
        manage_call: bool,
    },
    /// A member without rights.
    Member,
}

/// The type of a live call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// An RTMP live stream.
    Rtmp,
    /// A video chat.
    WebRtc,
}

impl Chat {
    /// The id used by operators and `CHAT_ID`: −100… for channels and supergroups, −… for basic
    /// groups.
    #[must_use]
    pub fn marked_id(&self) -> i64 {
        match self.kind {
            ChatKind::Basic => -self.id,
            ChatKind::Broadcast | ChatKind::Supergroup => -1_000_000_000_000 - self.id,
        }
    }

    /// The account's role in this chat; `None` if it is not a member.
    #[must_use]
    pub fn role(&self, user_id: i64) -> Option<Role> {
        self.roles.iter().find(|(id, _)| *id == user_id).map(|(_, role)| *role)
    }
}

impl World {
    /// Alice's user id: home DC 2, has a 2FA password, created [`World::CHANNEL`].
    pub const ALICE: i64 = 5_000_000_001;
    /// Bob's user id: home DC 1, no password.
    pub const BOB: i64 = 5_000_000_002;
    /// The broadcast channel `@tgs_demo`, created by Alice; Bob is a member.
    pub const CHANNEL: i64 = 2_000_000_001;
    /// A private supergroup, created by Bob; Alice is an administrator without `manage_call`.
    pub const SUPERGROUP: i64 = 2_000_000_002;
    /// A basic group, created by Alice; Bob is a member.
    pub const GROUP: i64 = 4_000_001;
    /// The public channel `@tgs_elsewhere`, created by Bob; Alice is not a member.
    pub const ELSEWHERE: i64 = 2_000_000_003;
    /// A private channel, created by Bob; Alice is not a member.
    pub const PRIVATE: i64 = 2_000_000_004;

    /// The bot's user id, in a world [`World::with_bot`]: `@tgs_demo_bot`, home DC 1.
    pub const BOT: i64 = 7_000_000_001;

    /// Adds a bot with a token.
    #[must_use]
    pub fn with_bot(mut self) -> Self {
        self.accounts.push(Account {
            user_id: Self::BOT,
            dc_id: 1,
            phone: String::new(),
            code: String::new(),
            code_by: CodeBy::App,
            password: None,
            first_name: "Bot".to_owned(),
            username: Some("tgs_demo_bot".to_owned()),
            bot: true,
            bot_token: Some(format!("{}:AAtestdc0123456789abcdefghijklmnopq", Self::BOT)),
            lang_code: None,
        });
        self
    }

    /// Two accounts and five chats; see the constants of this type.
    #[must_use]
    pub fn example() -> Self {
        Self {
            accounts: Self::example_accounts(),
            chats: Self::example_chats(),
            api_id: 12345,
            api_hash: "0123456789abcdef0123456789abcdef".to_owned(),
            login_token_life: Duration::from_secs(30),
            ingest: "rtmp://127.0.0.1:1935/live".to_owned(),
            clock_ahead: 0,
        }
    }

    fn example_accounts() -> Vec<Account> {
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
            bot_token: None,
            lang_code: Some("en".to_owned()),
        };
        vec![
            account(Self::ALICE, 2, "+15550100001", Some("correct horse"), "Alice"),
            account(Self::BOB, 1, "+15550100002", None, "Bob"),
        ]
    }

    fn example_chats() -> Vec<Chat> {
        let chat = |id, kind, title: &str, username: Option<&str>, roles: &[(i64, Role)]| Chat {
            id,
            kind,
            title: title.to_owned(),
            username: username.map(str::to_owned),
            roles: roles.to_vec(),
            call: None,
        };
        let without_calls = Role::Admin { manage_call: false };
        vec![
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
            chat(Self::PRIVATE, ChatKind::Broadcast, "Private channel", None, &[(Self::BOB, Role::Creator)]),
        ]
    }
}
