//! One message a day about each channel's last 24 hours, from its as-run log. Sent at most once a
//! day, also after a restart; not at all if the bot was away for hours.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use jiff::{Zoned, civil::Time};
use serde_json::Value;
use tgs_control::{
    AsRunKind, AsRunListing, Timestamp,
    channels::Channel,
    method::{AsRunParams, Call},
};
use tgs_core::{files, time::clock};
use tgs_telegram::bot::BotText;

use crate::{
    broadcasts::{Broadcasts, ChannelReport, ChannelRequest, MessagePlace},
    texts::Texts,
};

/// The name of the file with the day of the last digest, in the state directory.
const NAME: &str = "digest-day";
/// Later than this after its time, a digest is left out.
const LATEST_HOURS: i64 = 3;
/// How long the channels have to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most entries of a channel: a day of items of nine seconds.
const MOST_ENTRIES: usize = 10_000;
/// Most channels in a digest: each takes a line.
const MOST_CHANNELS: usize = 30;
const DAY: Duration = Duration::from_hours(24);

/// A day of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ChannelDay {
    items: usize,
    failed: usize,
    filler_millis: u64,
    off_air_millis: u64,
    viewers: Option<u32>,
}

/// The channels that are asked, and their answers. `None` is a channel that did not answer.
#[derive(Debug)]
struct DigestRound {
    days: BTreeMap<String, Option<ChannelDay>>,
    waiting: usize,
    until: Instant,
    since: Timestamp,
}

/// Sends a digest a day.
#[derive(Debug)]
pub(crate) struct DailyDigest {
    at: Option<Time>,
    path: PathBuf,
    /// The day of the last digest, as `2026-11-29`.
    last_day: String,
    round: Option<DigestRound>,
}

/// A digest that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DailyReport(BTreeMap<String, Option<ChannelDay>>);

impl DailyDigest {
    /// A digest at this time of each day, by the machine's clock.
    pub(crate) fn new(at: Option<Time>, state_dir: &Path) -> Self {
        let path = state_dir.join(NAME);
        let last_day = files::read_text(&path).unwrap_or_default().trim().to_owned();
        Self { at, path, last_day, round: None }
    }

    /// Asks the channels if it is time. Returns the digest once they have answered.
    pub(crate) fn round(
        &mut self,
        broadcasts: &Broadcasts,
        channels: &[Channel],
        now: Instant,
        time: &Zoned,
    ) -> Option<DailyReport> {
        if let Some(round) = &self.round {
            let is_over = round.waiting == 0 || now >= round.until;
            return if is_over { self.round.take().map(|round| DailyReport(round.days)) } else { None };
        }
        if !self.is_due(time) {
            return None;
        }
        self.last_day = time.date().to_string();
        // First: a digest that is sent twice is worse than one that is not.
        if let Err(error) = files::replace(&self.path, self.last_day.as_bytes(), 0o600) {
            log::warn!("{} cannot be written: {error}; no digest today", self.path.display());
            return None;
        }
        let since = Timestamp::from(SystemTime::from(time.timestamp()).checked_sub(DAY)?);
        let mut round = DigestRound { days: BTreeMap::new(), waiting: 0, until: now + PATIENCE, since };
        for channel in channels.iter().take(MOST_CHANNELS) {
            round.days.insert(channel.name.clone(), None);
            let params = AsRunParams { since: Some(since.to_string()), limit: MOST_ENTRIES };
            let asked = broadcasts.ask(ChannelRequest {
                call: Some(Call::AsRunList(params)),
                ..ChannelRequest::unseen(channel.clone(), MessagePlace::Digest)
            });
            round.waiting += usize::from(asked.is_ok());
        }
        self.round = Some(round);
        None
    }

    fn is_due(&self, time: &Zoned) -> bool {
        let Some(at) = self.at else { return false };
        // Whole minutes; a digest before midnight is left out after it.
        let late = time.time().duration_since(at);
        !late.is_negative() && late.as_hours() < LATEST_HOURS && self.last_day != time.date().to_string()
    }

    /// Takes the answer of a channel.
    pub(crate) fn on_report(&mut self, report: &ChannelReport, time: SystemTime) {
        let Some(round) = self.round.as_mut().filter(|_| report.request.place == MessagePlace::Digest) else {
            return;
        };
        round.waiting = round.waiting.saturating_sub(1);
        let Some(Ok(listing)) = &report.outcome else { return };
        let mut day = ChannelDay::of(listing, round.since, time.into());
        let telegram = report.status.as_ref().ok().and_then(|status| status.status.telegram.as_ref());
        day.viewers = telegram.and_then(|telegram| telegram.viewers);
        if let Some(known) = round.days.get_mut(&report.request.channel.name) {
            *known = Some(day);
        }
    }
}

impl ChannelDay {
    fn of(listing: &Value, since: Timestamp, now: Timestamp) -> Self {
        let listing: AsRunListing = serde_json::from_value(listing.clone()).unwrap_or_default();
        let mut day = Self::default();
        for entry in listing.entries {
            let millis = entry.end.unwrap_or(now).min(now).millis_since(entry.start.max(since));
            match entry.kind {
                AsRunKind::Item => {
                    day.items += 1;
                    day.failed += usize::from(entry.ended.as_deref() == Some("failed"));
                }
                AsRunKind::Filler => day.filler_millis += millis,
                AsRunKind::Outage | AsRunKind::OffAir => day.off_air_millis += millis,
                AsRunKind::Unknown => {}
            }
        }
        day
    }
}

impl DailyReport {
    /// The message.
    pub(crate) fn text(&self, texts: &Texts) -> BotText {
        let text = BotText::plain("📊 ").own(texts.digest).own("\n");
        if self.0.is_empty() {
            return text.own(texts.no_channel);
        }
        let length = |millis| clock(Duration::from_millis(millis));
        self.0.iter().fold(text, |text, (channel, day)| {
            let text = text.own("\n📺 ").foreign(channel).own("\n");
            let Some(day) = day else { return text.own(texts.not_running).own("\n") };
            let text = text.own(texts.digest_items).own(&day.items.to_string());
            let text = text.own(", ").own(texts.digest_failed).own(&day.failed.to_string());
            let text = text.own(", ").own(texts.digest_filler).own(&length(day.filler_millis));
            let text = text.own(", ").own(texts.digest_off_air).own(&length(day.off_air_millis));
            let text = match day.viewers {
                Some(viewers) => text.own(", ").own(texts.digest_viewers).own(&viewers.to_string()),
                None => text,
            };
            text.own("\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tgs_core::cancel::Cancel;
    use tgs_telegram::bot::BotWake;

    use super::*;
    use crate::{picture::PictureTaker, texts::BotLanguage};

    #[test]
    fn a_day_counts_what_was_aired_within_it() {
        let entries = json!({ "entries": [
            { "kind": "off_air", "start": "2026-11-28T00:00:00Z", "end": "2026-11-28T12:00:10Z" },
            { "kind": "item", "start": "2026-11-28T12:00:10Z", "end": "2026-11-28T13:00:00Z", "ended": "played" },
            { "kind": "filler", "start": "2026-11-28T13:00:00Z", "end": "2026-11-28T13:00:05Z" },
            { "kind": "item", "start": "2026-11-28T13:00:05Z", "end": "2026-11-28T13:00:06Z", "ended": "failed" },
            { "kind": "outage", "start": "2026-11-29T11:59:58Z" },
        ] });
        let at = |text| Timestamp::parse(text).unwrap();
        let day = ChannelDay::of(&entries, at("2026-11-28T12:00:00Z"), at("2026-11-29T12:00:00Z"));
        let expected =
            ChannelDay { items: 2, failed: 1, filler_millis: 5000, off_air_millis: 12_000, viewers: None };
        assert_eq!(day, expected);
        let digest = DailyReport([("main".to_owned(), Some(day)), ("news".to_owned(), None)].into());
        insta::assert_snapshot!(digest.text(BotLanguage::English.texts()).text(), @r"
        📊 The last 24 hours

        📺 main
        items: 2, failed: 1, filler: 0:00:05, off air: 0:00:12

        📺 news
        the broadcast does not run
        ");
    }

    #[test]
    fn a_digest_comes_once_a_day_and_not_much_later() {
        let state = tempfile::tempdir().unwrap();
        let pictures = PictureTaker::new("/".into(), Cancel::new());
        let broadcasts = Broadcasts::start(Vec::new(), &BotWake::default(), pictures).unwrap();
        let at = Some(Time::constant(9, 0, 0, 0));
        let now = Instant::now();
        let zoned = |text: &str| format!("{text}[UTC]").parse::<Zoned>().unwrap();
        let begins = |digest: &mut DailyDigest, time: &str| {
            let none = digest.round(&broadcasts, &[], now, &zoned(time));
            assert_eq!(none, None);
            digest.round.is_some()
        };
        let mut digest = DailyDigest::new(at, state.path());
        assert!(!begins(&mut digest, "2026-11-29T08:59:59+00:00"));
        assert!(!begins(&mut digest, "2026-11-29T12:00:00+00:00"));
        assert!(begins(&mut digest, "2026-11-29T09:00:30+00:00"));
        let empty = digest.round(&broadcasts, &[], now, &zoned("2026-11-29T09:00:31+00:00"));
        assert_eq!(empty, Some(DailyReport(BTreeMap::new())));
        assert!(!begins(&mut digest, "2026-11-29T09:01:00+00:00"));
        let mut digest = DailyDigest::new(at, state.path());
        assert!(!begins(&mut digest, "2026-11-29T10:00:00+00:00"));
        assert!(begins(&mut digest, "2026-11-30T11:59:00+00:00"));
        assert!(!begins(&mut DailyDigest::new(None, state.path()), "2026-12-01T09:00:00+00:00"));
    }
}
