//! Receives files that administrators have sent, one after the other and piece by piece between the
//! other messages, and shows the progress in one message.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tgs_control::{channels::Channel, method::Call, method::QueueAddParams};
use tgs_telegram::{
    ErrorClass, TelegramError,
    bot::{BotClient, BotFile, BotText, Keyboard},
};

use crate::{
    broadcasts::{ChannelRequest, MessagePlace},
    media_dir::{MediaDir, PartFile, safe_name},
    texts::BotLanguage,
    view,
};

/// Files that wait, with the one under way.
const MOST: usize = 16;
/// Shortest time between two edits of the progress.
const EDIT_EVERY: Duration = Duration::from_secs(3);
/// Failures in a row after which a file is given up, and the wait after each.
const MOST_FAILURES: u32 = 8;
const FAILURE_WAIT: Duration = Duration::from_secs(2);

/// A file to be received and queued.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FetchRequest {
    pub(crate) user_id: i64,
    /// Where it is queued.
    pub(crate) channel: Channel,
    pub(crate) file: BotFile,
    pub(crate) language: BotLanguage,
}

/// A message about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FetchMessage {
    pub(crate) user_id: i64,
    pub(crate) message_id: i32,
}

#[derive(Debug)]
struct PendingFile {
    /// Names the file in the data of its button.
    id: u64,
    request: FetchRequest,
    message: Option<i32>,
    part: Option<PartFile>,
    failures: u32,
    edited_at: Instant,
    shown_percent: u64,
}

/// What a step leads to.
#[derive(Debug)]
pub(crate) enum FetchStep {
    /// Nothing is to be done now.
    Idle,
    /// There is more to do.
    More,
    /// The file is whole: it is to be queued.
    Received(Box<ChannelRequest>),
}

/// All files that are to be received.
#[derive(Debug)]
pub(crate) struct Fetcher {
    dir: Option<MediaDir>,
    files: VecDeque<PendingFile>,
    last_id: u64,
    not_before: Option<Instant>,
}

impl Fetcher {
    pub(crate) fn new(dir: Option<MediaDir>) -> Self {
        if let Some(dir) = &dir {
            dir.remove_parts();
        }
        // Buttons of an earlier run must not name files of this one.
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { dir, files: VecDeque::new(), last_id: seconds.unwrap_or_default().as_secs(), not_before: None }
    }

    /// Adds a file; `false` if too many wait.
    pub(crate) fn add(&mut self, request: FetchRequest, now: Instant) -> bool {
        if self.files.len() >= MOST {
            return false;
        }
        self.last_id += 1;
        self.files.push_back(PendingFile {
            id: self.last_id,
            request,
            message: None,
            part: None,
            failures: 0,
            edited_at: now,
            shown_percent: 0,
        });
        true
    }

    /// Drops a file. Returns its message, which is to say so.
    pub(crate) fn cancel(&mut self, id: u64) -> Option<(FetchMessage, BotLanguage, String)> {
        let at = self.files.iter().position(|file| file.id == id)?;
        let file = self.files.remove(at)?;
        let message = FetchMessage { user_id: file.request.user_id, message_id: file.message? };
        log::info!(
            "user {}: a file of {} bytes is not wanted any more",
            message.user_id,
            file.request.file.size
        );
        Some((message, file.request.language, file.name()))
    }

    /// The messages whose files are not whole yet.
    pub(crate) fn messages(&self) -> impl Iterator<Item = FetchMessage> {
        self.files.iter().filter_map(|file| {
            Some(FetchMessage { user_id: file.request.user_id, message_id: file.message? })
        })
    }

    /// When [`Fetcher::step`] is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        (!self.files.is_empty()).then(|| self.not_before.unwrap_or(now).max(now))
    }

    /// Receives one piece. Fails only if the session has ended or the bot is stopped.
    pub(crate) fn step(&mut self, client: &mut BotClient, now: Instant) -> Result<FetchStep, TelegramError> {
        if self.due(now).is_none_or(|due| due > now) {
            return Ok(FetchStep::Idle);
        }
        // Each has a message from the beginning, with its button.
        let position = self.files.iter().position(|file| file.message.is_none()).unwrap_or(0);
        let (Some(dir), Some(file)) = (self.dir.clone(), self.files.get_mut(position)) else {
            return Ok(FetchStep::Idle);
        };
        match file.advance(&dir, client, now) {
            Ok(Advance::More) => {
                self.not_before = None;
                Ok(FetchStep::More)
            }
            Ok(Advance::Done(request)) => {
                self.files.remove(position);
                Ok(request.map_or(FetchStep::More, |request| FetchStep::Received(Box::new(request))))
            }
            Err(error) => self.failed(position, error, client, now),
        }
    }

    fn failed(
        &mut self,
        position: usize,
        error: TelegramError,
        client: &mut BotClient,
        now: Instant,
    ) -> Result<FetchStep, TelegramError> {
        match error.class {
            ErrorClass::Session | ErrorClass::Account | ErrorClass::Stopped => return Err(error),
            ErrorClass::Flood => {
                log::warn!("failed to {error}; files wait until then");
                self.not_before = Some(now + error.wait.unwrap_or_default());
                return Ok(FetchStep::More);
            }
            ErrorClass::Network => self.not_before = Some(now + FAILURE_WAIT),
            _ => {}
        }
        let Some(file) = self.files.get_mut(position) else { return Ok(FetchStep::Idle) };
        file.failures += 1;
        if error.class == ErrorClass::Network && file.failures < MOST_FAILURES {
            log::info!("failed to {error}; trying again");
            return Ok(FetchStep::More);
        }
        log::warn!("user {}: failed to {error}; the file is given up", file.request.user_id);
        let refusal = file.refusal(&error.to_string());
        let message = file.message;
        let user_id = file.request.user_id;
        self.files.remove(position);
        if let Some(message) = message {
            client.edit(user_id, message, &refusal, &Keyboard::default())?;
        }
        Ok(FetchStep::More)
    }
}

/// What became of a file.
enum Advance {
    More,
    /// It is whole, or refused.
    Done(Option<ChannelRequest>),
}

impl PendingFile {
    fn name(&self) -> String {
        safe_name(&self.request.file).unwrap_or_default()
    }

    fn advance(
        &mut self,
        dir: &MediaDir,
        client: &mut BotClient,
        now: Instant,
    ) -> Result<Advance, TelegramError> {
        let user_id = self.request.user_id;
        let Some(message) = self.message else {
            let sent = client.send(user_id, &self.progress(0), &self.keyboard())?;
            self.message = sent;
            return Ok(if sent.is_some() { Advance::More } else { Advance::Done(None) });
        };
        let size = self.request.file.size;
        let part = match &mut self.part {
            Some(part) => part,
            None => match dir.begin(&self.name(), size) {
                Ok(part) => self.part.insert(part),
                Err(why) => return self.refuse(client, message, &why.to_string()),
            },
        };
        let offset = part.written();
        let bytes = client.read_file(&mut self.request.file, offset)?;
        self.failures = 0;
        let written = offset + bytes.len() as u64;
        if written > size || (bytes.is_empty() && written < size) {
            return self.refuse(client, message, "its size is not the stated one");
        }
        if let Err(error) = part.write(&bytes) {
            return self.refuse(client, message, &format!("BOT_MEDIA_DIR: {error}"));
        }
        if written == size {
            return self.finish(client, message, dir);
        }
        let percent = written * 100 / size.max(1);
        if now.duration_since(self.edited_at) >= EDIT_EVERY && percent > self.shown_percent {
            (self.edited_at, self.shown_percent) = (now, percent);
            if let Err(why) = dir.check_room(size - written) {
                return self.refuse(client, message, &why.to_string());
            }
            client.edit(user_id, message, &self.progress(percent), &self.keyboard())?;
        }
        Ok(Advance::More)
    }

    fn finish(
        &mut self,
        client: &mut BotClient,
        message: i32,
        dir: &MediaDir,
    ) -> Result<Advance, TelegramError> {
        let finished = self.part.take().map(PartFile::finish);
        let path = match finished {
            Some(Ok(path)) => path,
            Some(Err(error)) => return self.refuse(client, message, &format!("BOT_MEDIA_DIR: {error}")),
            None => return Ok(Advance::Done(None)),
        };
        let Some(source) = path.to_str().map(str::to_owned) else { return Ok(Advance::Done(None)) };
        log::info!("user {}: received {source}", self.request.user_id);
        let below = Some(vec![dir.path().to_owned()]);
        let call = Call::QueueAdd(QueueAddParams { source, position: None, below });
        Ok(Advance::Done(Some(ChannelRequest {
            user_id: self.request.user_id,
            channel: self.request.channel.clone(),
            call: Some(call),
            place: MessagePlace::Edited(message),
            press: None,
            with_picture: false,
            below_picture: false,
        })))
    }

    fn refuse(&mut self, client: &mut BotClient, message: i32, why: &str) -> Result<Advance, TelegramError> {
        self.part = None;
        log::warn!("user {}: a file is refused: {why}", self.request.user_id);
        client.edit(self.request.user_id, message, &self.refusal(why), &Keyboard::default())?;
        Ok(Advance::Done(None))
    }

    fn refusal(&self, why: &str) -> BotText {
        let texts = self.request.language.texts();
        BotText::plain(texts.refused).foreign(&self.name()).own(": ").foreign(why)
    }

    fn progress(&self, percent: u64) -> BotText {
        let size = self.request.file.size.div_ceil(1_000_000);
        BotText::plain("⬇ ").foreign(&self.name()).own(&format!(" {percent} % ({size} MB)"))
    }

    fn keyboard(&self) -> Keyboard {
        view::cancel(self.id, self.request.language.texts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_wait_are_bounded_and_can_be_cancelled() {
        let channel = Channel { name: "main".to_owned(), socket: "/x".into() };
        let file = BotFile::example(Some("a.mp4"), "video/mp4", 9);
        let request = FetchRequest { user_id: 5, channel, file, language: BotLanguage::English };
        let (mut fetcher, now) = (Fetcher::new(None), Instant::now());
        assert_eq!(fetcher.due(now), None);
        let added = (0..100).filter(|_| fetcher.add(request.clone(), now)).count();
        assert_eq!((added, fetcher.due(now)), (MOST, Some(now)));
        let id = fetcher.files[3].id;
        fetcher.files[3].message = Some(77);
        assert_eq!(fetcher.messages().count(), 1);
        let (message, ..) = fetcher.cancel(id).unwrap();
        assert_eq!(message, FetchMessage { user_id: 5, message_id: 77 });
        assert!(fetcher.cancel(id).is_none() && fetcher.files.len() == MOST - 1);
    }
}
