//! A bot account: sign-in by token, private messages with keyboards, pressed buttons, pictures and
//! files, and updates without gaps.
//!
//! A [`BotClient`] keeps the updates that arrive between its calls in a bounded queue and requests
//! what was lost (`updates.getDifference`), also what arrived while it was away. It decides
//! nothing: who may do what is the caller's matter.

mod file;
mod keyboard;
mod state;
mod text;
mod transfer;
mod updates;

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc, time::Duration};

use grammers_session::updates::{MessageBoxes, UpdatesLike};
use grammers_tl_types as tl;
use tgs_core::{cancel::Cancel, secret::Secret};
use tokio::sync::Notify;

use crate::{app::App, client::TelegramClient, error::TelegramError, session::string::SessionString};

pub use self::{
    file::BotFile,
    keyboard::{Button, Keyboard},
    state::{BotState, InvalidBotState},
    text::BotText,
    updates::{BotUpdate, ButtonPress, PrivateMessage},
};

/// Capacity of the queue of updates. A full queue loses updates, which are requested again.
const UPDATES: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Most redirects to another DC in a sign-in.
const MOVES: usize = 3;
/// Most requests for lost updates in one [`BotClient::receive`]; one yields about 100 updates.
const DIFFERENCES: usize = 5;
/// Users whose access hash is remembered. A bot reaches users who wrote to it without one, too.
const USERS: usize = 1024;

/// Wakes a [`BotClient::receive`] from another thread.
#[derive(Debug, Clone, Default)]
pub struct BotWake(Arc<Notify>);

impl BotWake {
    /// Ends the wait of the current or the next [`BotClient::receive`].
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// A client of a bot account.
#[derive(Debug)]
pub struct BotClient {
    client: TelegramClient,
    boxes: MessageBoxes,
    /// The value of `TelegramClient::pools` up to which updates are complete.
    pools: u64,
    users: HashMap<i64, KnownUser>,
    bot_id: i64,
}

/// What updates tell about a user.
#[derive(Debug, Clone)]
pub(crate) struct KnownUser {
    pub(crate) access_hash: i64,
    pub(crate) lang_code: Option<String>,
}

impl BotClient {
    /// Signs in with the bot's `token`, and closes the connection. Telegram limits sign-ins: keep
    /// the state before [`BotClient::resume`] continues from it.
    pub fn sign_in(app: &App, token: &Secret<String>, cancel: &Cancel) -> Result<BotState, TelegramError> {
        let doing = "sign the bot in";
        let mut client = TelegramClient::unsigned(app.clone(), None, cancel)?;
        let request = tl::functions::auth::ImportBotAuthorization {
            flags: 0,
            api_id: app.api_id,
            api_hash: app.api_hash.expose().clone(),
            bot_auth_token: token.expose().clone(),
        };
        let mut moves = 0;
        let answer = loop {
            match client.call_once(doing, &request) {
                Err(error) if error.moved_to().is_some() && moves < MOVES => {
                    moves += 1;
                    client.move_to(error.moved_to().unwrap_or_default(), doing)?;
                }
                answer => break answer?,
            }
        };
        let tl::enums::auth::Authorization::Authorization(answer) = answer else {
            return Err(TelegramError::garbage(doing));
        };
        let session = client.session().ok_or_else(|| TelegramError::garbage(doing))?;
        Ok(BotState::new(session, answer.user.id()))
    }

    /// Continues a session. An error of [`crate::ErrorClass::Session`] means that it is dead.
    pub fn resume(app: App, state: &BotState, cancel: &Cancel) -> Result<Self, TelegramError> {
        let client = TelegramClient::keeping_updates(app, &state.session, UPDATES, cancel)?;
        let boxes = state.boxes();
        let mut bot = Self { client, boxes, pools: 1, users: HashMap::new(), bot_id: state.bot_id };
        bot.verify()?;
        Ok(bot)
    }

    /// Requests the account, and the state of its updates if it is unknown.
    fn verify(&mut self) -> Result<(), TelegramError> {
        let doing = "ask Telegram for the bot's account";
        let request = tl::functions::users::GetUsers { id: vec![tl::enums::InputUser::UserSelf] };
        match self.client.call(doing, &request)?.into_iter().next() {
            Some(tl::enums::User::User(user)) if user.bot && user.id == self.bot_id => {}
            _ => return Err(TelegramError::garbage(doing)),
        }
        if self.boxes.is_empty() {
            let tl::enums::updates::State::State(state) = self
                .client
                .call("ask Telegram for the state of updates", &tl::functions::updates::GetState {})?;
            self.boxes.set_state(state);
        }
        Ok(())
    }

    /// The bot's user ID.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.bot_id
    }

    /// What a later [`BotClient::resume`] continues from; `None` only for a session that cannot be
    /// exported, which no sign-in makes.
    #[must_use]
    pub fn state(&self) -> Option<BotState> {
        let session: SessionString = self.client.session()?;
        Some(BotState::new(session, self.bot_id).with_updates(&self.boxes.session_state()))
    }

    /// Waits up to `limit` for messages and pressed buttons, at most until `wake`. Reconnects, and
    /// requests what was lost meanwhile. May return none.
    pub fn receive(&mut self, limit: Duration, wake: &BotWake) -> Result<Vec<BotUpdate>, TelegramError> {
        let doing = "receive messages";
        let mut found = Vec::new();
        if !self.client.is_open() || self.pools != self.client.pools() {
            self.process(UpdatesLike::ConnectionClosed, &mut found);
        }
        self.boxes.check_deadlines();
        match self.request_lost(doing, &mut found) {
            // What was found is not requested again; the error will recur.
            Err(error) if found.is_empty() => return Err(error),
            Err(_) => return Ok(found),
            Ok(()) => self.pools = self.client.pools(),
        }
        if found.is_empty() {
            for update in self.client.take_updates(doing, limit, &wake.0)? {
                self.process(update, &mut found);
            }
        }
        Ok(found)
    }

    fn request_lost(&mut self, doing: &'static str, found: &mut Vec<BotUpdate>) -> Result<(), TelegramError> {
        for _ in 0..DIFFERENCES {
            let Some(request) = self.boxes.get_difference() else { return Ok(()) };
            let answer = self.client.call(doing, &request)?;
            let (updates, users, _) = self.boxes.apply_difference(answer);
            self.learn(users);
            found.extend(updates.into_iter().filter_map(|(update, _)| self.convert(update, true)));
        }
        Ok(())
    }

    fn process(&mut self, update: UpdatesLike, found: &mut Vec<BotUpdate>) {
        // An error is a gap, which the boxes remember.
        if let Ok((updates, users, _)) = self.boxes.process_updates(update) {
            self.learn(users);
            found.extend(updates.into_iter().filter_map(|(update, _)| self.convert(update, false)));
        }
    }

    fn learn(&mut self, users: Vec<tl::enums::User>) {
        for user in users {
            let tl::enums::User::User(user) = user else { continue };
            if self.users.len() >= USERS && !self.users.contains_key(&user.id) {
                self.users.clear();
            }
            if let (Some(access_hash), false) = (user.access_hash, user.min) {
                self.users.insert(user.id, KnownUser { access_hash, lang_code: user.lang_code });
            }
        }
    }

    fn convert(&self, update: tl::enums::Update, is_late: bool) -> Option<BotUpdate> {
        let language = |user: i64| self.users.get(&user).and_then(|user| user.lang_code.clone());
        updates::convert(update, is_late, language)
    }

    fn peer(&self, user_id: i64) -> tl::enums::InputPeer {
        let access_hash = self.users.get(&user_id).map_or(0, |user| user.access_hash);
        tl::types::InputPeerUser { user_id, access_hash }.into()
    }

    /// Sends a text to a user who wrote to the bot before. Returns the message's ID; `None` if a
    /// repeated request finds that the first was executed.
    pub fn send(
        &mut self,
        user_id: i64,
        text: &BotText,
        keyboard: &Keyboard,
    ) -> Result<Option<i32>, TelegramError> {
        let random_id = fastrand::i64(..);
        let request = tl::functions::messages::SendMessage {
            no_webpage: true,
            silent: false,
            background: false,
            clear_draft: false,
            noforwards: false,
            update_stickersets_order: false,
            invert_media: false,
            allow_paid_floodskip: false,
            peer: self.peer(user_id),
            reply_to: None,
            message: text.text().to_owned(),
            random_id,
            reply_markup: keyboard.to_markup(),
            entities: text.entities(),
            schedule_date: None,
            schedule_repeat_period: None,
            send_as: None,
            quick_reply_shortcut: None,
            effect: None,
            allow_paid_stars: None,
            suggested_post: None,
            rich_message: None,
        };
        self.send_once("send a message", &request, random_id)
    }

    /// Sends a new message. Returns its number, or `None` if Telegram does not tell.
    fn send_once<R: tl::RemoteCall<Return = tl::enums::Updates>>(
        &mut self,
        doing: &'static str,
        request: &R,
        random_id: i64,
    ) -> Result<Option<i32>, TelegramError> {
        match self.client.call(doing, request) {
            // The lost connection was lost after the request had arrived.
            Err(error) if error.name == "RANDOM_ID_DUPLICATE" => Ok(None),
            answer => Ok(updates::sent_id(&answer?, random_id)),
        }
    }

    /// Replaces text and keyboard of a message of the bot. Below a picture the text has at most
    /// 1024 UTF-16 units ([`BotText::caption`]).
    pub fn edit(
        &mut self,
        user_id: i64,
        message_id: i32,
        text: &BotText,
        keyboard: &Keyboard,
    ) -> Result<(), TelegramError> {
        self.edit_message("edit a message", user_id, message_id, text, keyboard, None)
    }

    fn edit_message(
        &mut self,
        doing: &'static str,
        user_id: i64,
        message_id: i32,
        text: &BotText,
        keyboard: &Keyboard,
        media: Option<tl::enums::InputMedia>,
    ) -> Result<(), TelegramError> {
        let request = tl::functions::messages::EditMessage {
            no_webpage: true,
            invert_media: false,
            peer: self.peer(user_id),
            id: message_id,
            message: Some(text.text().to_owned()),
            media,
            reply_markup: keyboard.to_markup(),
            entities: text.entities(),
            schedule_date: None,
            schedule_repeat_period: None,
            quick_reply_shortcut_id: None,
            rich_message: None,
        };
        match self.client.call(doing, &request) {
            Err(error) if error.name == "MESSAGE_NOT_MODIFIED" => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Answers a pressed button; the app shows `text` (at most 200 characters) for a moment, or
    /// until it is closed if it is an `alert`. An empty text only ends the app's wait.
    pub fn answer_press(&mut self, press_id: i64, text: &str, alert: bool) -> Result<(), TelegramError> {
        let message = (!text.is_empty()).then(|| text.chars().take(200).collect());
        let request = tl::functions::messages::SetBotCallbackAnswer {
            alert,
            query_id: press_id,
            message,
            url: None,
            cache_time: 0,
        };
        match self.client.call("answer a button", &request) {
            // The user's app has stopped waiting.
            Err(error) if error.name == "QUERY_ID_INVALID" => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Announces the commands (name and description) for the menu in the chat with one user.
    pub fn set_commands(&mut self, user_id: i64, commands: &[(&str, &str)]) -> Result<(), TelegramError> {
        let command = |(name, description): &(&str, &str)| {
            tl::types::BotCommand {
                ephemeral: false,
                command: (*name).to_owned(),
                description: (*description).to_owned(),
            }
            .into()
        };
        let request = tl::functions::bots::SetBotCommands {
            scope: tl::types::BotCommandScopePeer { peer: self.peer(user_id) }.into(),
            lang_code: String::new(),
            commands: commands.iter().map(command).collect(),
        };
        self.client.call("announce the bot's commands", &request).map(drop)
    }
}
