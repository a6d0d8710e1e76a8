//! The text of `live status`.

use tgs_control::{LiveState, LiveStatus};

use crate::text::plain;

/// The state in a few words.
fn state(status: &LiveStatus) -> &'static str {
    match status.state {
        LiveState::Absent => "no publisher",
        LiveState::Connected => "connected; no picture yet",
        LiveState::Flowing if status.on_air => "on air",
        LiveState::Flowing if status.waits_for_take => "waits for: tgs-ctl live take",
        LiveState::Flowing => "ready; not yet on air",
        LiveState::Stalled if status.on_air => "on air; sends nothing at present",
        LiveState::Stalled => "sends nothing at present",
        LiveState::Unknown => "unknown",
    }
}

/// The state and who publishes, for `status`.
pub(crate) fn line(status: &LiveStatus) -> String {
    match &status.publisher {
        Some(publisher) => format!("{}: {}", plain(&publisher.key), state(status)),
        None => state(status).to_owned(),
    }
}

/// The lines of `live status`.
pub(crate) fn lines(status: &LiveStatus) -> Vec<String> {
    let mut lines = vec![format!("input      {}", plain(&status.url))];
    lines.push(format!("state      {}", state(status)));
    if let Some(publisher) = &status.publisher {
        lines.push(format!("publisher  {} from {}", plain(&publisher.key), plain(&publisher.address)));
        lines.push(format!("format     {}", plain(&publisher.format)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use tgs_control::LiveClient;

    use super::*;

    #[test]
    fn the_publisher_is_shown_with_its_state() {
        let mut status = LiveStatus { url: "rtmp://127.0.0.1:1936/live".into(), ..LiveStatus::default() };
        assert_eq!(lines(&status), ["input      rtmp://127.0.0.1:1936/live", "state      no publisher"]);
        status.state = LiveState::Flowing;
        status.waits_for_take = true;
        let format = "H.264 1280x720, AAC 48000 Hz stereo".to_owned();
        assert_eq!(line(&status), "waits for: tgs-ctl live take");
        status.publisher = Some(LiveClient { key: "an\nna".into(), address: "192.0.2.1".into(), format });
        assert_eq!(line(&status), "an\\nna: waits for: tgs-ctl live take");
        assert_eq!(
            lines(&status)[1..],
            [
                "state      waits for: tgs-ctl live take",
                "publisher  an\\nna from 192.0.2.1",
                "format     H.264 1280x720, AAC 48000 Hz stereo"
            ]
        );
    }
}
