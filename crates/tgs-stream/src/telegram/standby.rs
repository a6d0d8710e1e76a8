//! Uses the standby session once a day, so that Telegram does not let it expire, and reports
//! whether it is valid. Approves no sign-in: `tgs-session` does ([`super::renewal`]).

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_core::{cancel::Cancel, files, remedy, settings::Settings};
use tgs_telegram::{
    ErrorClass, TelegramClient,
    session::{lock::SessionLock, string::SessionString},
};

use super::{
    session::LiveSession,
    status::{METRICS, SharedTelegramStatus},
};
use crate::settings_source::ReloadableSettings;

const USE_EVERY: Duration = Duration::from_hours(24);

/// How soon an undecided check is repeated, and the settings are searched for a new standby
/// session.
const RETRY_AFTER: Duration = Duration::from_mins(10);

/// The schedule of the daily use.
pub(super) struct StandbySession {
    cancel: Cancel,
    status: SharedTelegramStatus,
    due: Option<Instant>,
}

enum StandbyVerdict {
    Valid,
    /// The reason.
    Invalid(String),
    /// The network, a flood wait or another program prevents an answer.
    Unknown,
}

impl StandbySession {
    pub(super) fn new(cancel: Cancel, status: SharedTelegramStatus) -> Self {
        Self { cancel, status, due: None }
    }

    /// Uses the standby session if that is due. `live` is the session in use.
    pub(super) fn use_if_due(&mut self, settings: &mut ReloadableSettings, live: &LiveSession) {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        // On air nothing else reloads them: the operator may have added a standby session.
        settings.reload();
        self.due = Some(Instant::now() + RETRY_AFTER);
        let Some(text) = &settings.telegram.standby else { return };
        let session = match SessionString::decode(text.expose()) {
            Ok(session) => session,
            Err(refused) => return self.report(false, &format!("it {refused}")),
        };
        let fingerprint = session.fingerprint();
        if live.signed_in().is_some_and(|(name, _)| name == fingerprint) {
            return self.report(false, "it is SESSION_STRING itself");
        }
        let file = settings.state_dir.join("standby-seen");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let saved = files::read_text(&file).unwrap_or_default();
        if let Some((valid, left)) = saved_verdict(&saved, &fingerprint, now) {
            self.due = Some(Instant::now() + left);
            return self.report(valid, "an earlier check found it dead");
        }
        let valid = match self.verdict(&session, &fingerprint, settings, live) {
            StandbyVerdict::Unknown => return,
            StandbyVerdict::Valid => {
                self.report(true, "");
                true
            }
            StandbyVerdict::Invalid(why) => {
                self.report(false, &why);
                false
            }
        };
        self.due = Some(Instant::now() + USE_EVERY);
        save_verdict(&file, &fingerprint, now, valid);
    }

    fn verdict(
        &self,
        session: &SessionString,
        fingerprint: &str,
        settings: &Settings,
        live: &LiveSession,
    ) -> StandbyVerdict {
        let Ok((app, _)) = live.app(settings) else { return StandbyVerdict::Unknown };
        if live.flood_waits().left(fingerprint, SystemTime::now()).is_some() {
            return StandbyVerdict::Unknown;
        }
        let Ok(_lock) = SessionLock::take(&session.key, Some(&settings.state_dir)) else {
            return StandbyVerdict::Unknown;
        };
        match TelegramClient::connect(app, session, &self.cancel) {
            Ok((_, me)) if live.signed_in().is_some_and(|(_, account)| account != me.id) => {
                StandbyVerdict::Invalid(format!("it belongs to another account, {me}"))
            }
            Ok(_) => StandbyVerdict::Valid,
            Err(error) if matches!(error.class, ErrorClass::Session | ErrorClass::Account) => {
                StandbyVerdict::Invalid(error.to_string())
            }
            Err(error) => {
                METRICS.count(error.class);
                if let Some(wait) = error.wait {
                    live.flood_waits().set(fingerprint, wait, SystemTime::now());
                }
                StandbyVerdict::Unknown
            }
        }
    }

    fn report(&self, valid: bool, why: &str) {
        METRICS.set_standby(valid);
        self.status.update(|status| status.standby_valid = Some(valid));
        if !valid {
            let run = remedy::command("tgs-session --standby --write-env");
            log::warn!("STANDBY_SESSION_STRING cannot be used: {why}; run: {run}");
        }
    }
}

fn save_verdict(file: &Path, fingerprint: &str, now: Duration, valid: bool) {
    let line = format!("{fingerprint} {} {}\n", now.as_secs(), if valid { "good" } else { "bad" });
    if let Err(error) = files::replace(file, line.as_bytes(), 0o600) {
        log::warn!("cannot write {}: {error}", file.display());
    }
}

/// Whether the line `saved` calls the session valid, and for how long that holds.
fn saved_verdict(saved: &str, fingerprint: &str, now: Duration) -> Option<(bool, Duration)> {
    let mut words = saved.split_whitespace();
    let (known, at, verdict) = (words.next()?, words.next()?, words.next()?);
    let since = now.checked_sub(Duration::from_secs(at.parse().ok()?))?;
    let left = USE_EVERY.checked_sub(since)?;
    (known == fingerprint).then_some((verdict == "good", left))
}
