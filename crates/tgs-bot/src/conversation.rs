//! What a message or a pressed button leads to: who may do what, and what is said. No I/O and no
//! clock.

mod strangers;

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use tgs_control::{channels::Channel, method::Call};
use tgs_telegram::bot::{BotText, ButtonPress, Keyboard, PrivateMessage};

use self::strangers::Strangers;
use crate::{
    access::{BotAccess, BotRole},
    broadcasts::{ChannelReport, ChannelRequest, MessagePlace},
    command::{self, BotCommand, MissingArgument},
    press,
    texts::{BotLanguage, Texts},
    view,
};

/// A command that arrives later than this, because the bot was away, is not executed.
const LATEST: Duration = Duration::from_mins(1);
/// Requests of one user that may be under way.
const MOST_PENDING: usize = 4;
/// Shortest time between two texts that ask a user to wait.
const BUSY_EVERY: Duration = Duration::from_secs(10);
/// When a panel is shown again after a command: it takes effect a moment after its answer.
const REFRESH_AFTER: [Duration; 2] = [Duration::from_millis(1500), Duration::from_secs(5)];

/// What the daemon does next.
#[derive(Debug, PartialEq)]
pub(crate) enum BotAction {
    /// Sends a message. A panel is edited later.
    Send { user_id: i64, text: BotText, keyboard: Keyboard, is_panel: bool },
    /// Replaces a message.
    Edit { user_id: i64, message_id: i32, text: BotText, keyboard: Keyboard },
    /// Ends the wait of a user's app for the answer to a button.
    AnswerPress { press_id: i64, text: String, alert: bool },
    /// Speaks to a broadcast.
    Ask(ChannelRequest),
    /// Puts commands into the menu of a user.
    Announce { user_id: i64, commands: Vec<(&'static str, &'static str)> },
}

/// All chats of the bot.
#[derive(Debug)]
pub(crate) struct Conversation {
    access: BotAccess,
    /// The chats with users that have a role, so at most as many as the settings name.
    chats: HashMap<i64, KnownChat>,
    strangers: Strangers,
}

/// A chat with a user that has a role.
#[derive(Debug, Default)]
struct KnownChat {
    language: BotLanguage,
    /// The name of the chosen channel.
    channel: Option<String>,
    /// The newest message that shows a channel.
    panel: Option<i32>,
    /// When the panel is shown again.
    refresh: Vec<Instant>,
    pending: usize,
    /// When the user was last asked to wait.
    busy_at: Option<Instant>,
    /// Whether the menu has the commands.
    announced: bool,
}

impl Conversation {
    pub(crate) fn new(access: BotAccess) -> Self {
        Self { access, chats: HashMap::new(), strangers: Strangers::default() }
    }

    /// What a message leads to.
    pub(crate) fn on_message(
        &mut self,
        message: &PrivateMessage,
        channels: &[Channel],
        now: Instant,
        time: SystemTime,
    ) -> Vec<BotAction> {
        let user_id = message.user_id;
        let role = self.access.role(user_id);
        let command = command::parse(&message.text);
        if role == BotRole::Stranger {
            let answered = self.strangers.on_try(user_id, command == BotCommand::Start, now);
            let texts = BotLanguage::of(message.lang_code.as_deref()).texts();
            return answered.then(|| own_id(user_id, texts)).into_iter().collect();
        }
        let chat = self.chats.entry(user_id).or_default();
        if message.lang_code.is_some() {
            chat.language = BotLanguage::of(message.lang_code.as_deref());
        }
        let texts = chat.language.texts();
        let mut actions = Vec::new();
        if !std::mem::replace(&mut chat.announced, true) {
            let commands = texts.menu.into_iter();
            let most = if role == BotRole::Admin { texts.menu.len() } else { Texts::LOOKING };
            actions.push(BotAction::Announce { user_id, commands: commands.take(most).collect() });
        }
        let old = message.is_late && time.duration_since(message.sent).is_ok_and(|age| age > LATEST);
        match command {
            BotCommand::Start => actions.push(own_id(user_id, texts)),
            BotCommand::Help => {
                let steer = if role == BotRole::Admin { texts.help_steer } else { "" };
                actions.push(say(user_id, BotText::plain(texts.help_look).own(steer)));
            }
            BotCommand::Channels if !channels.is_empty() => {
                let text = BotText::plain(texts.which_channel);
                let keyboard = view::choice(channels);
                actions.push(BotAction::Send { user_id, text, keyboard, is_panel: false });
            }
            BotCommand::Channels | BotCommand::Status => {
                actions.extend(chat.ask(user_id, channels, None, now));
            }
            BotCommand::Steer(_) | BotCommand::Incomplete(_) if role != BotRole::Admin => {
                actions.push(say(user_id, BotText::plain(texts.only_look)));
            }
            BotCommand::Steer(_) if old => {
                actions.push(say(user_id, BotText::plain(texts.too_late).foreign(&message.text)));
            }
            BotCommand::Look(call) | BotCommand::Steer(call) => {
                actions.extend(chat.ask(user_id, channels, Some(call), now));
            }
            BotCommand::Incomplete(missing) => {
                let usage = match missing {
                    MissingArgument::Time => texts.usage_seek,
                    MissingArgument::Url => texts.usage_queue,
                    MissingArgument::Title => texts.usage_title,
                };
                actions.push(say(user_id, BotText::plain(usage)));
            }
            BotCommand::Unknown => actions.push(say(user_id, BotText::plain(texts.unknown))),
        }
        actions
    }

    /// What a pressed button leads to. Its data may be forged, and its message may be any.
    pub(crate) fn on_press(
        &mut self,
        press: &ButtonPress,
        channels: &[Channel],
        now: Instant,
    ) -> Vec<BotAction> {
        let user_id = press.user_id;
        let role = self.access.role(user_id);
        let answer = |text: &str, alert| {
            vec![BotAction::AnswerPress { press_id: press.press_id, text: text.to_owned(), alert }]
        };
        if role == BotRole::Stranger {
            // An empty answer only ends the wait of the app.
            return if self.strangers.on_try(user_id, true, now) { answer("", false) } else { Vec::new() };
        }
        let chat = self.chats.entry(user_id).or_default();
        if press.lang_code.is_some() {
            chat.language = BotLanguage::of(press.lang_code.as_deref());
        }
        let texts = chat.language.texts();
        let Some((action, channel)) = press::parse(&press.data, channels) else {
            return answer(texts.outdated, false);
        };
        let call = action.call();
        if call.is_some() && role != BotRole::Admin {
            log::warn!("refused a button to user {user_id}, who may look only");
            return answer(texts.only_look, true);
        }
        if chat.pending >= MOST_PENDING {
            return answer(texts.busy, false);
        }
        chat.pending += 1;
        chat.channel = Some(channel.name.clone());
        chat.panel = Some(press.message_id);
        chat.refresh.clear();
        vec![BotAction::Ask(ChannelRequest {
            user_id,
            channel: channel.clone(),
            call,
            place: MessagePlace::Edited(press.message_id),
            press: Some(press.press_id),
        })]
    }

    /// What the answer of a broadcast leads to.
    pub(crate) fn on_report(
        &mut self,
        report: &ChannelReport,
        channels: &[Channel],
        now: Instant,
        time: SystemTime,
    ) -> Vec<BotAction> {
        let request = &report.request;
        if request.place == MessagePlace::Watched {
            return Vec::new();
        }
        let user_id = request.user_id;
        let role = self.access.role(user_id);
        let chat = self.chats.entry(user_id).or_default();
        chat.pending = chat.pending.saturating_sub(1);
        let texts = chat.language.texts();
        let listing = view::listing(report, texts, time);
        let is_panel = listing.is_none();
        let text = listing.unwrap_or_else(|| view::panel(report, texts));
        let keyboard =
            if is_panel { view::buttons(report, channels, role, texts) } else { Keyboard::default() };
        let mut actions = Vec::new();
        match request.place {
            MessagePlace::New => {
                actions.push(BotAction::Send { user_id, text, keyboard, is_panel });
            }
            MessagePlace::Edited(message_id) => {
                actions.push(BotAction::Edit { user_id, message_id, text, keyboard });
            }
            MessagePlace::Watched => {}
        }
        if let Some(press_id) = request.press {
            let text = match &report.outcome {
                None => String::new(),
                Some(Ok(_)) => texts.done.to_owned(),
                Some(Err(_)) => texts.refused.trim_end_matches([' ', ':']).to_owned(),
            };
            actions.push(BotAction::AnswerPress { press_id, text, alert: false });
        }
        if matches!(report.outcome, Some(Ok(_))) && is_panel {
            chat.refresh = REFRESH_AFTER.map(|after| now + after).to_vec();
        }
        actions
    }

    /// What the time leads to: panels that are shown again.
    pub(crate) fn tick(&mut self, channels: &[Channel], now: Instant) -> Vec<BotAction> {
        let mut actions = Vec::new();
        for (&user_id, chat) in &mut self.chats {
            if chat.refresh.first().is_none_or(|due| *due > now) {
                continue;
            }
            chat.refresh.remove(0);
            let named = |channel: &&Channel| Some(&channel.name) == chat.channel.as_ref();
            if let (Some(panel), Some(channel)) = (chat.panel, channels.iter().find(named)) {
                chat.pending += 1;
                let place = MessagePlace::Edited(panel);
                let channel = channel.clone();
                actions.push(BotAction::Ask(ChannelRequest {
                    user_id,
                    channel,
                    call: None,
                    place,
                    press: None,
                }));
            }
        }
        actions
    }

    /// When [`Conversation::tick`] is due.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.chats.values().filter_map(|chat| chat.refresh.first().copied()).min()
    }

    /// The language of a user who has written since the start.
    pub(crate) fn language(&self, user_id: i64) -> Option<BotLanguage> {
        self.chats.get(&user_id).map(|chat| chat.language)
    }

    /// A panel was sent.
    pub(crate) fn panel_sent(&mut self, user_id: i64, message_id: i32) {
        self.chats.entry(user_id).or_default().panel = Some(message_id);
    }

    /// A request found no place in the queue.
    pub(crate) fn not_asked(&mut self, request: &ChannelRequest) -> Vec<BotAction> {
        if request.place == MessagePlace::Watched {
            return Vec::new();
        }
        let chat = self.chats.entry(request.user_id).or_default();
        chat.pending = chat.pending.saturating_sub(1);
        let text = chat.language.texts().busy;
        match (request.press, request.place) {
            (Some(press_id), _) => {
                vec![BotAction::AnswerPress { press_id, text: text.to_owned(), alert: false }]
            }
            (None, MessagePlace::New) => vec![say(request.user_id, BotText::plain(text))],
            (None, _) => Vec::new(),
        }
    }
}

impl KnownChat {
    /// Asks the chosen channel, or the only one; else which one is meant.
    fn ask(
        &mut self,
        user_id: i64,
        channels: &[Channel],
        call: Option<Call>,
        now: Instant,
    ) -> Option<BotAction> {
        let texts = self.language.texts();
        let named = |channel: &&Channel| Some(&channel.name) == self.channel.as_ref();
        let channel = match channels {
            [] => return Some(say(user_id, BotText::plain(texts.no_channel))),
            [only] => only,
            several => {
                let Some(chosen) = several.iter().find(named) else {
                    let text = BotText::plain(texts.which_channel);
                    let keyboard = view::choice(several);
                    return Some(BotAction::Send { user_id, text, keyboard, is_panel: false });
                };
                chosen
            }
        };
        if self.pending >= MOST_PENDING {
            let said = self.busy_at.is_some_and(|at| now < at + BUSY_EVERY);
            return (!said).then(|| {
                self.busy_at = Some(now);
                say(user_id, BotText::plain(texts.busy))
            });
        }
        self.pending += 1;
        self.channel = Some(channel.name.clone());
        self.refresh.clear();
        let (channel, place) = (channel.clone(), MessagePlace::New);
        Some(BotAction::Ask(ChannelRequest { user_id, channel, call, place, press: None }))
    }
}

fn say(user_id: i64, text: BotText) -> BotAction {
    BotAction::Send { user_id, text, keyboard: Keyboard::default(), is_panel: false }
}

fn own_id(user_id: i64, texts: &Texts) -> BotAction {
    say(user_id, BotText::plain(texts.your_id).foreign(&user_id.to_string()))
}

#[cfg(test)]
mod tests;
