//! What the viewer check of a running `tgs-stream` has found last (VIEWER_CHECK). Asks Telegram
//! nothing; whether the broadcast is healthy is the check `broadcast`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tgs_control::{ViewerCheckStatus, ViewerPicture};
use tgs_core::time::ago;

use crate::{
    context::DiagContext,
    finding::Finding,
    runner::CheckSink,
    running_broadcast::{NoAnswer, RunningBroadcast},
};

const CHECK: &str = "viewers";

/// Reports the last answer, for a broadcast into Telegram.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = context.settings.as_ref().filter(|settings| settings.output_url.is_none()) else {
        return;
    };
    if !settings.telegram.viewer_check {
        let text = "off: with VIEWER_CHECK=1 tgs-stream asks Telegram what viewers get";
        return out.say(Finding::pass(CHECK, text));
    }
    out.say(match RunningBroadcast::of(settings) {
        Ok(running) => match running.viewer_check() {
            Some(check) => judge(check, SystemTime::now()),
            None => Finding::unseen(CHECK, "tgs-stream has no answer yet; it asks while it is live"),
        },
        Err(NoAnswer::NotRunning) => Finding::unseen(CHECK, "no tgs-stream runs"),
        Err(_) => Finding::unseen(CHECK, "tgs-stream does not answer"),
    });
}

fn judge(check: &ViewerCheckStatus, now: SystemTime) -> Finding {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ago = check.answered_at.map(|at| ago(Duration::from_secs(now.saturating_sub(at))));
    if let Some(failure) = &check.failure {
        let last =
            ago.map_or_else(|| "there was no answer before".to_owned(), |ago| format!("answered {ago}"));
        return Finding::warn(CHECK, format!("the last question {failure}; {last}")).with_remedy(
            "this says nothing about the stream itself; tgs-stream asks again in half a minute",
        );
    }
    let behind = Duration::from_millis(check.live_edge_age_ms).as_secs_f64();
    let edge = if check.arrives {
        format!("the newest second that they can get is {behind:.1} s behind")
    } else {
        format!("they have got nothing for {behind:.0} s")
    };
    let picture = match check.picture {
        None => "the picture was not looked at yet",
        Some(ViewerPicture::Good) => "the picture is the one that is sent",
        Some(ViewerPicture::Black) => "the picture is black, and is not sent so",
        Some(ViewerPicture::Frozen) => "the picture stands still, and is not sent so",
        Some(ViewerPicture::Silent) => "there is no sound, and sound is sent",
    };
    let text =
        format!("{edge}, and {picture} (asked {})", ago.unwrap_or_else(|| "at an unknown time".into()));
    if check.trouble().is_none() {
        return Finding::pass(CHECK, text);
    }
    Finding::warn(CHECK, text).with_remedy("look at the live stream in Telegram, with another account")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level::{Pass, Warn};

    #[test]
    fn the_last_answer_is_shown_with_its_age() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let good = ViewerCheckStatus {
            live_edge_age_ms: 400,
            arrives: true,
            picture: Some(ViewerPicture::Good),
            failure: None,
            answered_at: Some(1_000_000 - 12),
        };
        let failure = Some("failed to ask: Telegram does not answer".to_owned());
        let old = Some(1_000_000 - 600);
        for (check, level, text) in [
            (
                good.clone(),
                Pass,
                "the newest second that they can get is 0.4 s behind, and the picture is the one that is sent \
                 (asked 12 s ago)",
            ),
            (
                ViewerCheckStatus { picture: Some(ViewerPicture::Silent), answered_at: None, ..good.clone() },
                Warn,
                "the newest second that they can get is 0.4 s behind, and there is no sound, and sound is sent \
                 (asked at an unknown time)",
            ),
            (
                ViewerCheckStatus {
                    live_edge_age_ms: 45_000,
                    arrives: false,
                    picture: None,
                    answered_at: old,
                    ..good.clone()
                },
                Warn,
                "they have got nothing for 45 s, and the picture was not looked at yet (asked 10 min ago)",
            ),
            (
                ViewerCheckStatus { failure: failure.clone(), answered_at: old, ..good.clone() },
                Warn,
                "the last question failed to ask: Telegram does not answer; answered 10 min ago",
            ),
            (
                ViewerCheckStatus { failure, answered_at: None, ..good },
                Warn,
                "the last question failed to ask: Telegram does not answer; there was no answer before",
            ),
        ] {
            let found = judge(&check, now);
            assert_eq!((found.level, &*found.text), (level, text));
            assert_eq!(found.remedy.is_some(), level == Warn);
        }
    }
}
