//! What the demo shows: tgs-stream's log, and below it one line that says what is on air, kept
//! fresh on a terminal and printed now and then elsewhere.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

/// How often the line is printed where it cannot be kept in place.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Takes the line on a terminal away.
const CLEAR: &str = "\r\x1b[K";
const HTTP_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Screen {
    state: PathBuf,
    terminal: bool,
    began: Instant,
    printed: Option<Instant>,
    metrics_told: bool,
    lost: bool,
}

impl Screen {
    /// `state` is the STATE_DIR of the tgs-stream that is watched.
    pub(super) fn new(state: PathBuf, terminal: bool) -> Self {
        Self { state, terminal, began: Instant::now(), printed: None, metrics_told: false, lost: false }
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
        if !self.metrics_told {
            self.metrics_told = true;
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
    fn status(&self) -> Result<(SocketAddr, Value)> {
        let address: SocketAddr = fs::read_to_string(self.state.join("metrics.port"))?.trim().parse()?;
        let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT)?;
        stream.set_read_timeout(Some(HTTP_TIMEOUT))?;
        write!(stream, "GET /status HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        Ok((address, serde_json::from_str(body)?))
    }
}

/// One line out of /status; what is missing in it is left out.
fn describe(status: &Value, running: Duration) -> String {
    let on_air = &status["on_air"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut line = text(&on_air["title"])
        .map(|title| format!("▶ {title}"))
        .or_else(|| text(&on_air["cause"]).map(|cause| format!("filler: {cause}")))
        .or_else(|| text(&on_air["state"]))
        .unwrap_or_else(|| "…".to_owned());
    if let Some(offset) = on_air["offset_seconds"].as_f64() {
        let _ = write!(line, " {offset:.0}");
        if let Some(length) = on_air["duration_seconds"].as_f64() {
            let _ = write!(line, "/{length:.0}");
        }
        line.push_str(" s");
    }
    if let Some(publisher) = text(&status["publisher"]["state"]) {
        let _ = write!(line, " · {publisher}");
    }
    if let Some(ahead) = status["readahead_seconds"].as_f64() {
        let _ = write!(line, " · {ahead:.1} s ahead");
    }
    let secs = running.as_secs();
    let _ = write!(line, " · {:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_says_what_is_known() {
        let hour = Duration::from_secs(3661);
        let full = json!({
            "on_air": {"state": "item", "title": "a clip", "offset_seconds": 3.4, "duration_seconds": 8.0},
            "publisher": {"state": "connected"},
            "readahead_seconds": 3.96,
        });
        assert_eq!(describe(&full, hour), "▶ a clip 3/8 s · connected · 4.0 s ahead · 01:01:01");
        let filler = json!({"on_air": {"state": "filler", "cause": "x: not found"}});
        assert_eq!(describe(&filler, hour), "filler: x: not found · 01:01:01");
        assert_eq!(describe(&json!([]), hour), "… · 01:01:01");
    }
}
