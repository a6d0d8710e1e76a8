//! Asks each channel for its status at intervals, and reports incidents to the administrators.
//! During an outage of Telegram nothing is lost: what is due follows from the incidents.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use tgs_control::channels::Channel;
use tgs_telegram::{
    ErrorClass, TelegramError,
    bot::{BotClient, Keyboard},
};

use crate::{
    broadcasts::{Broadcasts, ChannelFault, ChannelReport, ChannelRequest, MessagePlace},
    conversation::Conversation,
    incident_file::IncidentFile,
    incidents::IncidentLog,
    machine_notes::NotePlaces,
    outbox::Outbox,
    quiet_hours::QuietHours,
    texts::BotLanguage,
    view,
    webhook::{Webhook, WebhookOutcome},
};

/// Time between two questions to a channel.
const EVERY: Duration = Duration::from_secs(10);
/// Stands for the webhook among the users; no user has this ID.
const WEBHOOK: i64 = 0;
/// Most channels that are watched.
const MOST: usize = 64;

/// The watch over all channels.
#[derive(Debug)]
pub(crate) struct ChannelWatch {
    log: IncidentLog,
    file: Option<IncidentFile>,
    /// The channels whose answer is due.
    asked: BTreeSet<String>,
    next: Instant,
    every: Duration,
    webhook: Option<Webhook>,
    /// The incident and its revision that are on their way to the webhook.
    sending: Option<(u64, u32)>,
    quiet: Option<QuietHours>,
    notes: NotePlaces,
}

impl Default for ChannelWatch {
    fn default() -> Self {
        let log = IncidentLog::default();
        let (next, every) = (Instant::now(), EVERY);
        Self {
            log,
            file: None,
            asked: BTreeSet::new(),
            next,
            every,
            webhook: None,
            sending: None,
            quiet: None,
            notes: NotePlaces::default(),
        }
    }
}

impl ChannelWatch {
    /// Continues with the incidents in `dir`.
    pub(crate) fn start(
        dir: &Path,
        time_scale: u32,
        webhook: Option<Webhook>,
        quiet: Option<QuietHours>,
        notes: NotePlaces,
    ) -> Self {
        let (file, log) = IncidentFile::read(dir);
        let (log, every) = (log.with_time_scale(time_scale), EVERY / time_scale);
        Self { log, file: Some(file), every, webhook, quiet, notes, ..Self::default() }
    }

    /// Sends the next incident that the webhook has not got, if none is on its way.
    pub(crate) fn call_webhook(&mut self, now: Instant) {
        let Some(webhook) = &mut self.webhook else { return };
        if let Some(outcome) = webhook.outcome(now)
            && let Some((id, revision)) = self.sending.take()
            && outcome == WebhookOutcome::Settled
        {
            self.log.reported(id, revision, WEBHOOK, None);
            // At once: a restart must not send it again.
            if let Some(file) = &mut self.file {
                file.write(&self.log);
            }
        }
        if webhook.is_free(now)
            && let Some(due) = self.log.due(&[WEBHOOK].into(), false)
        {
            self.sending = Some((due.incident.id, due.incident.revision));
            webhook.send(due.incident.to_json().to_string());
        }
    }

    /// When [`ChannelWatch::round`] is due.
    pub(crate) fn next_round(&self) -> Instant {
        self.next
    }

    /// Asks all channels, if it is time. One that has not answered yet is not asked again.
    pub(crate) fn round(
        &mut self,
        broadcasts: &Broadcasts,
        channels: &[Channel],
        now: Instant,
        time: SystemTime,
    ) {
        if now < self.next {
            return;
        }
        self.next = now + self.every;
        self.log.observe_machine(&self.notes.read(), time);
        for channel in channels.iter().take(MOST) {
            if self.asked.contains(&channel.name) {
                continue;
            }
            let request = ChannelRequest::unseen(channel.clone(), MessagePlace::Watched);
            if broadcasts.ask(request).is_ok() {
                self.asked.insert(channel.name.clone());
            }
        }
        // systemd removes the directory of a unit that has ended, and its socket with it.
        let gone: Vec<String> = self
            .log
            .channels()
            .filter(|name| channels.iter().all(|channel| channel.name != *name))
            .map(str::to_owned)
            .collect();
        for name in gone {
            self.log.observe(&name, &Err(ChannelFault::NotRunning), time);
        }
        self.keep();
    }

    /// Takes an answer that the watch has asked for.
    pub(crate) fn on_report(&mut self, report: &ChannelReport, time: SystemTime) {
        if report.request.place == MessagePlace::Watched {
            self.asked.remove(&report.request.channel.name);
            self.log.observe(&report.request.channel.name, &report.status, time);
            self.keep();
        }
    }

    /// The language of a user's messages: `current`, else the last one.
    pub(crate) fn language(&mut self, user_id: i64, current: Option<BotLanguage>) -> BotLanguage {
        self.log.language(user_id, current)
    }

    fn keep(&mut self) {
        if let Some(file) = &mut self.file {
            file.write(&self.log);
        }
    }

    /// Sends and edits what is due to `admins`. Fails if Telegram cannot be reached.
    pub(crate) fn send_due(
        &mut self,
        client: &mut BotClient,
        admins: &BTreeSet<i64>,
        outbox: &mut Outbox,
        conversation: &Conversation,
        beat: impl Fn(),
    ) -> Result<(), TelegramError> {
        let is_quiet = self.quiet.is_some_and(QuietHours::is_now);
        let languages =
            admins.iter().map(|user| (*user, self.log.language(*user, conversation.language(*user))));
        let languages: BTreeMap<i64, BotLanguage> = languages.collect();
        while !outbox.is_quiet(Instant::now())
            && let Some(due) = self.log.due(admins, is_quiet)
        {
            beat();
            let (id, revision) = (due.incident.id, due.incident.revision);
            let (user_id, message_id) = (due.user_id, due.message_id);
            let language = languages.get(&user_id).copied().unwrap_or_default();
            let text = view::incident(due.incident, language.texts());
            let sent = match message_id {
                None => client.send(user_id, &text, &Keyboard::default()),
                Some(old) => client.edit(user_id, old, &text, &Keyboard::default()).map(|()| Some(old)),
            };
            match sent {
                Ok(sent) => self.log.reported(id, revision, user_id, sent),
                Err(error) => match error.class {
                    ErrorClass::Flood => {
                        outbox.wait(&error);
                        return Ok(());
                    }
                    ErrorClass::Network | ErrorClass::Session | ErrorClass::Account | ErrorClass::Stopped => {
                        return Err(error);
                    }
                    // The user has blocked the bot, or never wrote to it.
                    _ => {
                        log::info!("user {user_id} gets no message about an incident: failed to {error}");
                        self.log.reported(id, revision, user_id, message_id);
                    }
                },
            }
            self.keep();
        }
        Ok(())
    }
}
