//! The line in `systemctl status`: written by `tgs-stream`, read if the pages are unreachable.

use tgs_core::mask;

use crate::{Health, OnAir, PublisherState, Status, TelegramState, health};

impl Status {
    /// The item on air, or what the broadcast waits for; credentials in URLs are masked.
    #[must_use]
    pub fn summary(&self) -> String {
        mask::urls(&self.unmasked_summary()).into_owned()
    }

    fn unmasked_summary(&self) -> String {
        let chat = match &self.telegram {
            Some(telegram) if telegram.state != TelegramState::Live => return telegram.reason(),
            Some(telegram) => telegram.chat.as_ref().map(|chat| format!(" into {chat}")),
            None => None,
        };
        let chat = chat.unwrap_or_default();
        let on_air = match &self.engine.on_air {
            OnAir::Starting => "starting".to_owned(),
            OnAir::Item(item) => format!("playing {}{chat}", item.title),
            OnAir::Filler { cause } => format!("filler{chat}: {cause}"),
            OnAir::Stopped => "stopped".to_owned(),
        };
        match &self.engine.publisher {
            PublisherState::Connected => on_air,
            PublisherState::Connecting => format!("connecting; {on_air}"),
            PublisherState::Reconnecting { cause } => format!("reconnecting ({cause}); {on_air}"),
        }
    }
}

impl Health {
    /// The health that a [`Status::summary`] implies; `None` for an empty line.
    #[must_use]
    pub fn from_summary(summary: &str) -> Option<Self> {
        if summary.is_empty() {
            return None;
        }
        Some(if summary.starts_with(health::STOPPED) {
            Self::Stopped
        } else if summary.starts_with(health::STANDBY) {
            Self::Standby
        } else if summary.starts_with("playing ") || summary.starts_with("filler") {
            Self::Healthy
        } else if let Some(cause) = summary.strip_prefix("reconnecting (") {
            let cause = cause.split("); ").next().unwrap_or(cause);
            Self::Unhealthy(format!("{}: {cause}", health::CONNECTION_LOST))
        } else if summary.starts_with("connecting; ") {
            Self::Unhealthy(health::NOT_CONNECTED.to_owned())
        } else {
            Self::Unhealthy(summary.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{EngineStatus, PlayingItem, TelegramStatus};

    use super::*;

    fn summary(engine: &EngineStatus, telegram: Option<TelegramStatus>) -> String {
        Status { engine: engine.clone(), telegram, ..Status::default() }.summary()
    }

    #[test]
    fn the_line_says_what_plays_or_what_is_waited_for() {
        let item = PlayingItem { title: "Film".into(), ..PlayingItem::default() };
        let mut engine = EngineStatus {
            on_air: OnAir::Item(item),
            publisher: PublisherState::Connected,
            ..EngineStatus::default()
        };
        let live = TelegramStatus {
            state: TelegramState::Live,
            chat: Some("News (7)".into()),
            ..TelegramStatus::default()
        };
        assert_eq!(summary(&engine, None), "playing Film");
        assert_eq!(summary(&engine, Some(live.clone())), "playing Film into News (7)");
        engine.publisher = PublisherState::Reconnecting { cause: "refused".into() };
        assert_eq!(
            summary(&engine, Some(live.clone())),
            "reconnecting (refused); playing Film into News (7)"
        );
        engine = EngineStatus { publisher: PublisherState::Connected, ..EngineStatus::default() };
        engine.on_air = OnAir::Filler { cause: "the source gives nothing".into() };
        assert_eq!(summary(&engine, Some(live)), "filler into News (7): the source gives nothing");
        let degraded = TelegramStatus {
            state: TelegramState::Degraded,
            why: Some("SESSION_REVOKED".into()),
            ..TelegramStatus::default()
        };
        assert_eq!(summary(&engine, Some(degraded)), "degraded: SESSION_REVOKED");
        assert_eq!(summary(&EngineStatus::default(), None), "connecting; starting");
    }

    #[test]
    fn the_line_implies_the_health_in_the_words_of_the_page() {
        let reason = |text: &str| Health::Unhealthy(text.into());
        for (summary, health) in [
            ("playing Film into News (7)", Health::Healthy),
            ("filler into News (7): the source gives nothing", Health::Healthy),
            ("degraded: SESSION_REVOKED", reason("degraded: SESSION_REVOKED")),
            ("waiting_people: a call", reason("waiting_people: a call")),
            ("connecting; starting", reason("not yet connected to the server")),
            ("reconnecting (refused); playing x", reason("connection lost: refused")),
            ("starting", reason("starting")),
            ("stopped by an operator", Health::Stopped),
        ] {
            assert_eq!(Health::from_summary(summary), Some(health), "{summary}");
        }
        assert_eq!(Health::from_summary(""), None);
    }
}
