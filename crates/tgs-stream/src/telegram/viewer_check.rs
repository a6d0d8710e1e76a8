//! Whether viewers get the stream, asked as a viewer's app asks (VIEWER_CHECK).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tgs_control::{ViewerCheckStatus, ViewerPicture};
use tgs_playout::engine::Control;
use tgs_telegram::{ErrorClass, GroupCall, TelegramClient, TelegramError};

use super::{status::METRICS, viewer_picture::Examiner};

/// Every how many checks the picture is looked at: each two minutes. It costs a second of decoding.
const PICTURE_EVERY: u32 = 4;

/// How far the newest second that viewers can get lies behind.
///
/// The times of a stream begin anywhere, and the clocks of two machines differ. So the age counts
/// from the best that was seen: what was newest then is taken for live.
#[derive(Debug, Default)]
struct LiveEdge {
    /// When the newest second was least old, and its time in ms.
    best: Option<(Instant, u64)>,
    newest: Option<u64>,
    /// When the first request was sent.
    began: Option<Instant>,
}

impl LiveEdge {
    /// Takes the newest time that viewers can get at `now`, and returns its age.
    fn age(&mut self, now: Instant, newest: Option<u64>) -> Duration {
        let began = *self.began.get_or_insert(now);
        // Times that go back are those of another stream.
        let restarted = newest.zip(self.newest).is_some_and(|(newest, before)| newest < before);
        self.newest = newest.or(self.newest);
        let Some(newest) = self.newest else { return now.saturating_duration_since(began) };
        let (at, best) = *self.best.get_or_insert((now, newest));
        let played = Duration::from_millis(newest.saturating_sub(best));
        let passed = now.saturating_duration_since(at);
        if restarted || played >= passed {
            self.best = Some((now, newest));
        }
        if restarted { Duration::ZERO } else { passed.saturating_sub(played) }
    }
}

/// The viewer's side of the live stream.
#[derive(Debug, Default)]
pub(super) struct ViewerCheck {
    /// The call that is watched.
    call: Option<GroupCall>,
    edge: LiveEdge,
    /// Telegram asks to send no such request before then.
    not_before: Option<Instant>,
    /// Checks so far.
    checks: u32,
    /// What the last look at the picture has found.
    suspicion: ViewerPicture,
    status: Option<ViewerCheckStatus>,
    /// The failure that was logged last.
    reported: Option<String>,
}

impl ViewerCheck {
    pub(super) fn status(&self) -> Option<&ViewerCheckStatus> {
        self.status.as_ref()
    }

    /// Stops to watch: nothing is known of the stream any more.
    pub(super) fn forget(&mut self) {
        *self = Self { not_before: self.not_before, ..Self::default() };
        METRICS.set_live_edge(None);
        METRICS.set_viewer_picture(None);
    }

    /// Asks for the newest second of `call`, from the DC `dc` of the stream. A failure is only
    /// shown: what it means for the session, the session's own check finds out.
    pub(super) fn look(
        &mut self,
        client: &mut TelegramClient,
        (call, dc): (&GroupCall, Option<i32>),
        examiner: &Examiner<'_>,
        control: &Control,
    ) {
        let now = Instant::now();
        if self.not_before.is_some_and(|at| now < at) {
            return;
        }
        if self.call.as_ref() != Some(call) {
            self.forget();
            self.call = Some(call.clone());
        }
        let looked = self.newest(client, (call, dc)).and_then(|newest| match newest {
            Some(newest) if self.checks.is_multiple_of(PICTURE_EVERY) => {
                let part = client.stream_part(call, dc, newest / 1000 * 1000)?;
                Ok(part.map(|part| self.examine(&part, examiner, control)))
            }
            _ => Ok(None),
        });
        self.checks = self.checks.wrapping_add(1);
        match looked {
            Ok(Some(Err(error))) if !examiner.cancel.is_cancelled() => self.failed(&format!("{error:#}")),
            Err(error) if error.class != ErrorClass::Stopped => {
                METRICS.count(error.class);
                METRICS.set_live_edge(None);
                self.not_before = error.wait.and_then(|wait| Instant::now().checked_add(wait));
                self.failed(&error.to_string());
            }
            _ => {}
        }
    }

    /// Asks for the newest second, and shows how old it is.
    fn newest(
        &mut self,
        client: &mut TelegramClient,
        (call, dc): (&GroupCall, Option<i32>),
    ) -> Result<Option<u64>, TelegramError> {
        let newest = client.live_edge(call, dc)?;
        let age = self.edge.age(Instant::now(), newest);
        self.status = Some(ViewerCheckStatus {
            live_edge_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            arrives: newest.is_some(),
            picture: self.status.as_ref().and_then(|before| before.picture),
            failure: None,
            answered_at: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|now| now.as_secs()),
        });
        METRICS.set_live_edge(Some(age));
        Ok(newest)
    }

    /// Looks at a second that viewers get, and where it is odd, at what is being sent. What is seen
    /// twice counts: the two are not of the same moment.
    fn examine(&mut self, part: &[u8], examiner: &Examiner<'_>, control: &Control) -> anyhow::Result<()> {
        let viewers = examiner.part(part)?;
        let found = if viewers.is_none() {
            ViewerPicture::Good
        } else {
            examiner.sent(control)?.map_or(ViewerPicture::Good, |sent| viewers.beyond(sent))
        };
        let before = std::mem::replace(&mut self.suspicion, found);
        let seen = if before == found { found } else { ViewerPicture::Good };
        if let Some(status) = &mut self.status {
            status.picture = Some(seen);
        }
        METRICS.set_viewer_picture(Some(seen));
        Ok(())
    }

    /// Keeps what was seen last, beside the reason why nothing newer is known.
    fn failed(&mut self, why: &str) {
        let status = self.status.get_or_insert_default();
        if self.reported.as_deref() != Some(why) {
            log::warn!("viewer check: failed to {why}; trying again");
            self.reported = Some(why.to_owned());
        }
        status.failure = Some(format!("failed to {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_counts_from_the_best_that_was_seen() {
        let (mut edge, began) = (LiveEdge::default(), Instant::now());
        let mut age =
            |at: u64, newest: Option<u64>| edge.age(began + Duration::from_secs(at), newest).as_secs();
        // Nothing has arrived yet.
        assert_eq!((age(0, None), age(20, None)), (0, 20));
        assert_eq!((age(30, Some(700_000)), age(60, Some(730_000))), (0, 0));
        // Five seconds late, and in time again.
        assert_eq!((age(90, Some(755_000)), age(120, Some(790_000))), (5, 0));
        // It stands still, then it is gone.
        assert_eq!((age(150, Some(790_000)), age(180, None)), (30, 60));
        // It comes back late; a jump ahead is live.
        assert_eq!((age(190, Some(850_000)), age(200, Some(900_000))), (10, 0));
        // Another stream.
        assert_eq!((age(210, Some(1000)), age(220, Some(11_000)), age(230, Some(11_000))), (0, 0, 10));
    }
}
