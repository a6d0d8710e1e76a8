//! What a message or a pressed button leads to: who may do what, and what is said. No I/O and no
//! clock.

mod strangers;

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use tgs_control::{channels::Channel, method::Call};
use tgs_telegram::bot::{BotFile, BotText, ButtonPress, Keyboard, PrivateMessage};

use self::strangers::Strangers;
use crate::{
    access::{BotAccess, BotRole},
    broadcasts::{ChannelReport, ChannelRequest, MessagePlace},
    command::{self, BotCommand, MissingArgument},
    fetch::FetchRequest,
    media_dir::safe_name,
    press::{self, ButtonAction, Press},
    texts::{BotLanguage, Texts},
    view,
};

/// A command that arrives later than this, because the bot was away, is not executed.
const LATEST: Duration = Duration::from_mins(1);
/// Requests of one user that may be under way.
const MOST_PENDING: usize = 4;
/// Shortest time between two texts that ask a user to wait.
const BUSY_EVERY: Duration = Duration::from_secs(10);
/// When a panel is shown again after a command: it takes effect a moment after its answer, and
/// later where the next item is a page for yt-dlp or the machine is busy.
const REFRESH_AFTER: [Duration; 3] =
    [Duration::from_millis(1500), Duration::from_secs(5), Duration::from_secs(15)];

/// What the daemon does next.
#[derive(Debug, PartialEq)]
pub(crate) enum BotAction {
    /// Sends a message. A panel is edited later.
    Send { user_id: i64, text: BotText, keyboard: Keyboard, picture: Option<Vec<u8>>, is_panel: bool },
    /// Replaces a message; its picture stays without another one.
    Edit { user_id: i64, message_id: i32, text: BotText, keyboard: Keyboard, picture: Option<Vec<u8>> },
    /// Ends the wait of a user's app for the answer to a button.
    AnswerPress { press_id: i64, text: String, alert: bool },
    /// Speaks to a broadcast.
    Ask(ChannelRequest),
    /// Receives a file and queues it.
    Fetch(FetchRequest),
    /// Stops the receiving of a file.
    CancelFetch(u64),
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
    /// Whether files are received (`BOT_MEDIA_DIR`).
    takes_files: bool,
}

/// A chat with a user that has a role.
#[derive(Debug, Default)]
struct KnownChat {
    language: BotLanguage,
    /// The name of the chosen channel.
    channel: Option<String>,
    /// The newest message that shows a channel, and whether it is a picture.
    panel: Option<(i32, bool)>,
    /// A file that waits until a channel is chosen.
    file: Option<BotFile>,
    /// When the panel is shown again.
    refresh: Vec<Instant>,
    pending: usize,
    /// When the user was last asked to wait.
    busy_at: Option<Instant>,
    /// Whether the menu has the commands.
    announced: bool,
}

impl Conversation {
    pub(crate) fn new(access: BotAccess, takes_files: bool) -> Self {
        Self { access, chats: HashMap::new(), strangers: Strangers::default(), takes_files }
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
        if let Some(file) = &message.file {
            let refusal = match () {
                () if role != BotRole::Admin => Some(texts.only_look),
                () if !self.takes_files => Some(texts.no_files),
                () if old => Some(texts.too_late),
                () => None,
            };
            let name = file.name.as_deref().unwrap_or_default();
            actions.push(match refusal {
                Some(refusal) if old => say(user_id, BotText::plain(refusal).foreign(name)),
                Some(refusal) => say(user_id, BotText::plain(refusal)),
                None => chat.take_file(user_id, channels, file),
            });
            return actions;
        }
        actions.extend(chat.on_command(command, message, role, channels, (old, now)));
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
        let (action, channel, below_picture) = match press::parse(&press.data, channels) {
            None => return answer(texts.outdated, false),
            Some(Press::Cancel(_)) if role != BotRole::Admin => return answer(texts.only_look, true),
            Some(Press::Cancel(id)) => {
                return answer("", false).into_iter().chain([BotAction::CancelFetch(id)]).collect();
            }
            Some(Press::Channel { action, channel, below_picture }) => (action, channel, below_picture),
        };
        if !action.only_looks() && role != BotRole::Admin {
            log::warn!("refused a button to user {user_id}, who may look only");
            return answer(texts.only_look, true);
        }
        if chat.pending >= MOST_PENDING {
            return answer(texts.busy, false);
        }
        chat.pending += 1;
        chat.channel = Some(channel.name.clone());
        if !matches!(action, ButtonAction::Page(_)) {
            chat.panel = Some((press.message_id, below_picture));
        }
        chat.refresh.clear();
        let mut actions = vec![BotAction::Ask(ChannelRequest {
            user_id,
            channel: channel.clone(),
            call: action.call(),
            place: MessagePlace::Edited(press.message_id),
            press: Some(press.press_id),
            with_picture: action == ButtonAction::Picture || below_picture && action == ButtonAction::Show,
            below_picture,
        })];
        if action == ButtonAction::Show
            && let Some(file) = chat.file.take()
        {
            let (channel, language) = (channel.clone(), chat.language);
            actions.push(BotAction::Fetch(FetchRequest { user_id, channel, file, language }));
        }
        actions
    }

    /// What the answer of a broadcast leads to.
    pub(crate) fn on_report(
        &mut self,
        report: &mut ChannelReport,
        channels: &[Channel],
        now: Instant,
        time: SystemTime,
    ) -> Vec<BotAction> {
        let is_panel_or_listing = matches!(report.request.place, MessagePlace::New | MessagePlace::Edited(_));
        if !is_panel_or_listing {
            return Vec::new();
        }
        let user_id = report.request.user_id;
        let role = self.access.role(user_id);
        let chat = self.chats.entry(user_id).or_default();
        chat.pending = chat.pending.saturating_sub(1);
        let texts = chat.language.texts();
        let listing = view::listing(report, texts, time);
        let is_panel = listing.is_none();
        let (text, keyboard) = listing
            .unwrap_or_else(|| (view::panel(report, texts), view::buttons(report, channels, role, texts)));
        let is_picture = view::is_picture(report);
        let picture = report.picture.take().and_then(Result::ok);
        let request = &report.request;
        let mut actions = Vec::new();
        match request.place {
            MessagePlace::Edited(message_id) => {
                if is_panel && chat.panel.is_some_and(|(panel, _)| panel == message_id) {
                    chat.panel = Some((message_id, is_picture));
                }
                actions.push(BotAction::Edit { user_id, message_id, text, keyboard, picture });
            }
            _ => actions.push(BotAction::Send { user_id, text, keyboard, picture, is_panel }),
        }
        if let Some(press_id) = request.press {
            let text = match &report.outcome {
                Some(Ok(_)) if is_panel => texts.done.to_owned(),
                None | Some(Ok(_)) => String::new(),
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
                let (message_id, below_picture) = panel;
                chat.pending += 1;
                actions.push(BotAction::Ask(ChannelRequest {
                    user_id,
                    // Not the first one: a picture costs a run of ffmpeg.
                    with_picture: below_picture && chat.refresh.len() + 1 < REFRESH_AFTER.len(),
                    below_picture,
                    ..ChannelRequest::unseen(channel.clone(), MessagePlace::Edited(message_id))
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
    pub(crate) fn panel_sent(&mut self, user_id: i64, message_id: i32, is_picture: bool) {
        self.chats.entry(user_id).or_default().panel = Some((message_id, is_picture));
    }

    /// A request found no place in the queue.
    pub(crate) fn not_asked(&mut self, request: &ChannelRequest) -> Vec<BotAction> {
        if !matches!(request.place, MessagePlace::New | MessagePlace::Edited(_)) {
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
    /// The chosen channel, or the only one.
    fn chosen<'a>(&self, channels: &'a [Channel]) -> Option<&'a Channel> {
        match channels {
            [only] => Some(only),
            several => several.iter().find(|channel| Some(&channel.name) == self.channel.as_ref()),
        }
    }

    /// What a command of a known user leads to. `old`: it came too late to be executed.
    fn on_command(
        &mut self,
        command: BotCommand,
        message: &PrivateMessage,
        role: BotRole,
        channels: &[Channel],
        (old, now): (bool, Instant),
    ) -> Option<BotAction> {
        let (user_id, texts) = (message.user_id, self.language.texts());
        let text = match command {
            BotCommand::Start => return Some(own_id(user_id, texts)),
            BotCommand::Channels if !channels.is_empty() => {
                return Some(ask_which(user_id, BotText::plain(texts.which_channel), channels));
            }
            BotCommand::Steer(_) | BotCommand::Incomplete(_) if role != BotRole::Admin => {
                BotText::plain(texts.only_look)
            }
            BotCommand::Steer(_) if old => BotText::plain(texts.too_late).foreign(&message.text),
            BotCommand::Channels | BotCommand::Status => {
                return self.ask(user_id, channels, None, false, now);
            }
            BotCommand::Now => return self.ask(user_id, channels, None, true, now),
            BotCommand::Look(call) | BotCommand::Steer(call) => {
                return self.ask(user_id, channels, Some(call), false, now);
            }
            BotCommand::Help => {
                let steer = if role == BotRole::Admin { texts.help_steer } else { "" };
                BotText::plain(texts.help_look).own(steer)
            }
            BotCommand::Incomplete(missing) => BotText::plain(match missing {
                MissingArgument::Time => texts.usage_seek,
                MissingArgument::Url => texts.usage_queue,
                MissingArgument::Title => texts.usage_title,
            }),
            BotCommand::Unknown => BotText::plain(texts.unknown),
        };
        Some(say(user_id, text))
    }

    /// Receives a file for the chosen channel, else asks which one is meant.
    fn take_file(&mut self, user_id: i64, channels: &[Channel], file: &BotFile) -> BotAction {
        let (texts, language) = (self.language.texts(), self.language);
        if safe_name(file).is_none() {
            return say(user_id, BotText::plain(texts.not_media));
        }
        let file = file.clone();
        match self.chosen(channels).cloned() {
            Some(channel) => BotAction::Fetch(FetchRequest { user_id, channel, file, language }),
            None if channels.is_empty() => say(user_id, BotText::plain(texts.no_channel)),
            None => {
                self.file = Some(file);
                ask_which(user_id, BotText::plain(texts.which_channel), channels)
            }
        }
    }

    /// Asks the chosen channel, or the only one; else which one is meant.
    fn ask(
        &mut self,
        user_id: i64,
        channels: &[Channel],
        call: Option<Call>,
        with_picture: bool,
        now: Instant,
    ) -> Option<BotAction> {
        let texts = self.language.texts();
        let Some(channel) = self.chosen(channels) else {
            return Some(if channels.is_empty() {
                say(user_id, BotText::plain(texts.no_channel))
            } else {
                ask_which(user_id, BotText::plain(texts.which_channel), channels)
            });
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
        Some(BotAction::Ask(ChannelRequest {
            user_id,
            call,
            with_picture,
            ..ChannelRequest::unseen(channel.clone(), MessagePlace::New)
        }))
    }
}

fn ask_which(user_id: i64, text: BotText, channels: &[Channel]) -> BotAction {
    let keyboard = view::choice(channels, false);
    BotAction::Send { user_id, text, keyboard, picture: None, is_panel: false }
}

fn say(user_id: i64, text: BotText) -> BotAction {
    BotAction::Send { user_id, text, keyboard: Keyboard::default(), picture: None, is_panel: false }
}

fn own_id(user_id: i64, texts: &Texts) -> BotAction {
    say(user_id, BotText::plain(texts.your_id).foreign(&user_id.to_string()))
}

#[cfg(test)]
mod tests;
