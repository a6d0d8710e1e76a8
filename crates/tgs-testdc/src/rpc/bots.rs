//! What only bots do: sign in with a token, announce commands, and answer pressed buttons.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use grammers_tl_types::{Serializable, enums, functions, types};

use super::{Answer, Caller, Method, error, messages::other_side};
use crate::{
    crypt::random_id,
    error::RpcError,
    message::{Kind, now, rpc_result},
    objects,
    state::{Outgoing, PendingCallback},
};

/// How long a pressed button waits for its bot: observed, about ten seconds.
const BOT_PATIENCE: Duration = Duration::from_secs(10);

impl Method for functions::auth::ImportBotAuthorization {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::Authorization> {
        caller.check_app(self.api_id, &self.api_hash)?;
        let mut accounts = caller.state.world.accounts.iter();
        let Some(bot) =
            accounts.find(|account| account.bot && account.bot_token.as_ref() == Some(&self.bot_auth_token))
        else {
            return error("ACCESS_TOKEN_INVALID");
        };
        if bot.dc_id != caller.dc_id {
            return error(&format!("USER_MIGRATE_{}", bot.dc_id));
        }
        let user_id = bot.user_id;
        caller.sign_in(user_id)
    }
}

impl Method for functions::bots::SetBotCommands {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?;
        if !me.bot {
            return error("USER_BOT_REQUIRED");
        }
        let names = self.commands.into_iter().map(|enums::BotCommand::Command(it)| it.command).collect();
        caller.state.bot_commands.insert((me.user_id, self.lang_code), names);
        Ok(true)
    }
}

impl Method for functions::messages::GetBotCallbackAnswer {
    const PEOPLE_ONLY: bool = true;

    /// Passes the press on to the bot and answers when the bot does. Any data is passed on, also
    /// data of no button: <https://core.telegram.org/bots/api#callbackquery>
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::messages::BotCallbackAnswer> {
        let me = caller.me()?;
        let bot = other_side(caller, &me, &self.peer)?;
        let mailbox = caller.state.mail.get(&me.user_id);
        let Some(message) = mailbox.and_then(|mailbox| mailbox.get(self.msg_id)) else {
            return error("MESSAGE_ID_INVALID");
        };
        if message.other != bot || message.out {
            return error("MESSAGE_ID_INVALID");
        }
        let query_id = random_id();
        let update = types::UpdateBotCallbackQuery {
            query_id,
            user_id: me.user_id,
            peer: types::PeerUser { user_id: me.user_id }.into(),
            msg_id: message.id_of_other,
            chat_instance: me.user_id ^ bot,
            data: self.data,
            game_short_name: None,
        };
        let later = caller.later.clone();
        let (key, session, out) = (later.key, later.session, later.out.clone());
        let late = rpc_result(later.request, &RpcError::named("BOT_RESPONSE_TIMEOUT").to_bytes());
        let answered = Arc::new(AtomicBool::new(false));
        let is_answered = Arc::clone(&answered);
        caller.state.callbacks.insert(query_id, PendingCallback { bot, answered, later });
        let pushed = objects::private_updates(caller.state, bot, me.user_id, vec![update.into()], now());
        caller.state.push_to_account(bot, None, &pushed.to_bytes());
        tokio::spawn(async move {
            tokio::time::sleep(BOT_PATIENCE).await;
            if is_answered.swap(true, Ordering::SeqCst) {
                return;
            }
            // The user's connection may have closed meanwhile.
            let _ = out.send(Outgoing::Message { key, session, kind: Kind::Answer, body: late });
        });
        Err(RpcError::later())
    }
}

impl Method for functions::messages::SetBotCallbackAnswer {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?;
        if !me.bot {
            return error("USER_BOT_REQUIRED");
        }
        // https://core.telegram.org/method/messages.setBotCallbackAnswer
        if self.message.as_ref().is_some_and(|text| text.chars().count() > 200) {
            return error("MESSAGE_TOO_LONG");
        }
        let pending = caller.state.callbacks.remove(&self.query_id).filter(|it| it.bot == me.user_id);
        let Some(PendingCallback { later, answered, .. }) = pending else {
            return error("QUERY_ID_INVALID");
        };
        if answered.swap(true, Ordering::SeqCst) {
            return error("QUERY_ID_INVALID");
        }
        let answer = enums::messages::BotCallbackAnswer::from(types::messages::BotCallbackAnswer {
            alert: self.alert,
            has_url: false,
            native_ui: false,
            message: self.message,
            url: self.url,
            cache_time: self.cache_time,
        });
        let body = rpc_result(later.request, &answer.to_bytes());
        let (key, session) = (later.key, later.session);
        // The user's connection may have closed meanwhile.
        let _ = later.out.send(Outgoing::Message { key, session, kind: Kind::Answer, body });
        Ok(true)
    }
}
