//! What the demo shows: tgs-stream's log, and below it one line that says what is on air, kept
//! fresh on a terminal and printed now and then elsewhere.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use tgs_control::{OnAir, PlayingItem, Status, StatusClient};

/// How often the line is printed where it cannot be kept in place.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Takes the line on a terminal away.
const CLEAR: &str = "\r\x1b[K";

pub(super) struct Screen {
    state: PathBuf,
    terminal: bool,
    began: Instant,
    printed: Option<Instant>,
    printed_metrics: bool,
    lost: bool,
}

impl Screen {
    /// `state` is the STATE_DIR of the tgs-stream that is watched.
    pub(super) fn new(state: PathBuf, terminal: bool) -> Self {
        Self { state, terminal, began: Instant::now(), printed: None, printed_metrics: false, lost: false }
    }

    /// Prints a line of tgs-stream's log.
    pub(super) fn log(&mut self, line: &str) {
        let clear = if self.terminal { CLEAR } else { "" };
        self.print(&format!("{clear}{line}\n"));
    }

    /// Prints a line of the demo's own.
    pub(super) fn say(&mut self, line: &str) {
        self.log(&format!("── {line}"));
    }

    /// Whether the terminal or the reader of the pipe is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    fn print(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        self.lost |= out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }

    /// Shows what is on air, where it is time to.
    pub(super) fn tick(&mut self) {
        let due = self.printed.is_none_or(|at| at.elapsed() >= PLAIN_EVERY);
        if !self.terminal && !due {
            return;
        }
        let Ok((address, status)) = self.status() else { return };
        if !self.printed_metrics {
            self.printed_metrics = true;
            self.say(&format!("metrics: http://{address}/metrics  health: /healthz  status: /status"));
        }
        let line = describe(&status, self.began.elapsed());
        if self.terminal {
            self.print(&format!("{CLEAR}{line}"));
        } else {
            self.printed = Some(Instant::now());
            self.log(&line);
        }
    }

    /// Asks the running tgs-stream. An error while it starts or ends.
    fn status(&self) -> Result<(SocketAddr, Status)> {
        let client = StatusClient::of_state_dir(&self.state)?;
        Ok((client.address(), client.status()?))
    }
}

/// One line out of /status.
fn describe(status: &Status, running: Duration) -> String {
    let engine = &status.engine;
    let on_air = match &engine.on_air {
        OnAir::Starting => "starting".to_owned(),
        OnAir::Item(PlayingItem { title, offset_seconds, duration_seconds, .. }) => {
            let length = duration_seconds.map(|length| format!("/{length:.0}")).unwrap_or_default();
            format!("▶ {title} {offset_seconds:.0}{length} s")
        }
        OnAir::Filler { cause } => format!("filler: {cause}"),
        OnAir::Stopped => "stopped".to_owned(),
    };
    let (publisher, ahead, secs) = (engine.publisher.name(), engine.readahead_seconds, running.as_secs());
    let running = format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
    format!("{on_air} · {publisher} · {ahead:.1} s ahead · {running}")
}

#[cfg(test)]
mod tests {
    use tgs_control::{EngineStatus, PublisherState};

    use super::*;

    #[test]
    fn the_line_says_what_is_known() {
        let hour = Duration::from_secs(3661);
        let show = |on_air, publisher| {
            let engine =
                EngineStatus { on_air, publisher, readahead_seconds: 3.96, ..EngineStatus::default() };
            describe(&Status { engine, ..Status::default() }, hour)
        };
        let mut item = PlayingItem {
            title: "a clip".into(),
            offset_seconds: 3.4,
            duration_seconds: Some(8.0),
            ..PlayingItem::default()
        };
        assert_eq!(
            show(OnAir::Item(item.clone()), PublisherState::Connected),
            "▶ a clip 3/8 s · connected · 4.0 s ahead · 01:01:01"
        );
        item.duration_seconds = None;
        assert_eq!(
            show(OnAir::Item(item), PublisherState::Connecting),
            "▶ a clip 3 s · connecting · 4.0 s ahead · 01:01:01"
        );
        let filler = OnAir::Filler { cause: "x: not found".into() };
        assert_eq!(
            show(filler, PublisherState::Reconnecting { cause: "refused".into() }),
            "filler: x: not found · reconnecting · 4.0 s ahead · 01:01:01"
        );
    }
}
