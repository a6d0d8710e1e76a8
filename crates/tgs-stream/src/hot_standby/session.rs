//! The session of a standby: it is signed in and looks at the chat, but starts no live stream.

use std::time::Duration;

use tgs_core::{cancel::Cancel, proxy::KeptProxies, settings::Settings};
use tgs_ha::{HaView, Member};
use tgs_telegram::{Ingest, session::string::SessionString};

use crate::{
    settings_source::{ReloadableSettings, SettingsSource},
    telegram::{LiveSession, SharedTelegramStatus},
};

/// How often Telegram is asked.
const EVERY: Duration = Duration::from_secs(30);

/// How soon after a failure, and while another host uses the session.
const RETRY: Duration = Duration::from_secs(10);

/// How often a host looks whether the others know its session.
const LOOK: Duration = Duration::from_millis(100);

/// What the look needs.
pub(super) struct StandbyLook<'a> {
    pub(super) settings: &'a Settings,
    pub(super) source: &'a SettingsSource,
    pub(super) proxies: &'a KeptProxies,
    pub(super) status: &'a SharedTelegramStatus,
    pub(super) member: &'a Member,
    pub(super) cancel: &'a Cancel,
}

/// Gets the session's fingerprint, whether Telegram accepts it, and the ingest, if there is a live
/// stream.
type LookResult<'a> = &'a dyn Fn(String, bool, Option<Ingest>);

impl StandbyLook<'_> {
    /// Looks until it is cancelled.
    pub(super) fn run(&self, found: LookResult<'_>) {
        let mut settings = ReloadableSettings::new(self.settings.clone(), self.source.clone());
        let mut session = LiveSession::new(
            &settings.state_dir,
            self.cancel.clone(),
            self.status.clone(),
            self.proxies.clone(),
        );
        while !self.cancel.is_cancelled() {
            let fingerprint = fingerprint(&settings).unwrap_or_default();
            if !self.may_use(&fingerprint, found) {
                // Telegram would end a session that two hosts use.
                session.leave();
                found(fingerprint, false, None);
                let _ = self.cancel.wait(RETRY);
                settings.reload();
                continue;
            }
            let wait = match session.look(&settings) {
                Ok(ingest) => {
                    found(fingerprint, true, ingest);
                    EVERY
                }
                Err(failure) => {
                    if !self.cancel.is_cancelled() {
                        log::warn!("the session of this standby is not ready: {failure}");
                    }
                    found(fingerprint, false, None);
                    settings.reload();
                    RETRY
                }
            };
            let _ = self.cancel.wait(wait);
        }
    }

    /// Whether no other host uses the session. Says first which one this host uses: of two hosts
    /// that do so at once, each sees the other.
    fn may_use(&self, fingerprint: &str, found: LookResult<'_>) -> bool {
        let own = self.settings.ha.as_ref().map_or("", |ha| ha.host.as_str());
        let is_known = |view: &HaView| {
            view.looked && view.hosts.iter().any(|host| host.host == own && host.session == fingerprint)
        };
        if !is_known(&self.member.view()) {
            found(fingerprint.to_owned(), false, None);
        }
        while !is_known(&self.member.view()) {
            if self.cancel.wait(LOOK) {
                return false;
            }
        }
        self.member.view().problem.is_none()
    }
}

fn fingerprint(settings: &Settings) -> Option<String> {
    let text = settings.telegram.session.as_ref()?;
    Some(SessionString::decode(text.expose()).ok()?.fingerprint())
}
