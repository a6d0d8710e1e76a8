//! `status --watch`: redraws in place in a terminal, a line a second elsewhere. A lost broadcast is
//! asked for again until Ctrl-C.

use std::{
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use tgs_control::{
    BroadcastStatus, ControlClient,
    channels::Channel,
    method::{Call, NoParams},
};
use tgs_core::{cancel::Cancel, error::CliError, signals};

use crate::{
    connect,
    output::{self, OutputReader},
    status::StatusView,
    text::{fit, plain, plain_json},
};

/// Time between two requests.
const EVERY: Duration = Duration::from_secs(1);

/// The alternate screen without a cursor, and back. The screen before returns on exit.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A status with the server's version, or why it is missing.
type StatusAnswer = Result<(String, Value), String>;

/// What wakes the display.
enum Wake {
    /// The answer to the latest request.
    Answer(StatusAnswer),
    /// The terminal has another size.
    Resized,
    /// Ctrl-C.
    Ended,
}

/// Restores the terminal when dropped.
struct Screen;

impl Screen {
    fn enter() -> Result<Self, CliError> {
        output::write(ENTER.as_bytes())?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = output::write(LEAVE.as_bytes());
    }
}

/// Shows the status of `channel` until Ctrl-C. `client` is the first connection.
pub(crate) fn show(channel: &Channel, client: ControlClient, json: bool) -> Result<(), CliError> {
    let (sender, wakes) = mpsc::sync_channel(4);
    let cancel = Cancel::new();
    let (ended, on_signal) = (cancel.clone(), sender.clone());
    signals::listen(&[SIGINT, SIGTERM, SIGHUP], &[SIGWINCH], cancel.clone(), move |signal| {
        if signal == SIGWINCH {
            let _ = on_signal.try_send(Wake::Resized);
        } else {
            ended.cancel();
            let _ = on_signal.try_send(Wake::Ended);
        }
    })
    .context("watch for signals")?;
    let asked = channel.clone();
    let stopped = cancel.clone();
    thread::Builder::new()
        .name("status".into())
        .spawn(move || ask(&asked, client, &sender, &stopped))
        .context("start a thread")?;

    let screen = if output::is_terminal() && !json { Some(Screen::enter()?) } else { None };
    let mut latest: Option<StatusAnswer> = None;
    while !cancel.is_cancelled() {
        let is_new = match wakes.recv_timeout(EVERY) {
            Ok(Wake::Answer(answer)) => {
                latest = Some(answer);
                true
            }
            Ok(Wake::Resized) => false,
            Err(RecvTimeoutError::Timeout) => continue,
            Ok(Wake::Ended) | Err(RecvTimeoutError::Disconnected) => break,
        };
        let Some(answer) = &latest else { continue };
        let written = match (&screen, is_new) {
            (Some(_), _) => draw(&frame(channel, answer)),
            (None, true) => output::lines([line(channel, answer, json)]),
            (None, false) => continue,
        };
        if written? == OutputReader::Gone {
            break;
        }
    }
    if let Some(screen) = screen {
        drop(screen);
        // The last state stays on the screen before.
        output::lines(latest.map(|answer| frame(channel, &answer)).unwrap_or_default())?;
    }
    Ok(())
}

/// Asks for the status every second until `cancel` is set or the display is gone. Connects again.
fn ask(channel: &Channel, client: ControlClient, display: &SyncSender<Wake>, cancel: &Cancel) {
    let mut connection = Some(client);
    loop {
        let answer = answer(channel, &mut connection);
        if answer.is_err() {
            connection = None;
        }
        if display.send(Wake::Answer(answer)).is_err() || cancel.wait(EVERY) {
            return;
        }
    }
}

fn answer(channel: &Channel, connection: &mut Option<ControlClient>) -> StatusAnswer {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(connect::connect(channel).map_err(|error| error.to_string())?),
    };
    let status = client.call(&Call::Status(NoParams {})).map_err(|error| error.to_string())?;
    Ok((client.hello().version.clone(), status))
}

/// The lines of a screen, for its present size.
fn frame(channel: &Channel, answer: &StatusAnswer) -> Vec<String> {
    let size = output::size();
    let columns = size.map(|(columns, _)| columns);
    let mut lines = match parsed(answer) {
        Ok((version, status)) => view(channel, version, columns).lines(&status),
        Err(why) => {
            let why = format!("{}: {}", channel.name, plain(&why));
            vec![columns.map_or_else(|| why.clone(), |columns| fit(&why, columns))]
        }
    };
    lines.truncate(size.map_or(usize::MAX, |(_, rows)| rows.saturating_sub(1)));
    lines
}

/// Writes a screen from its top, line over line, so that nothing flickers.
fn draw(lines: &[String]) -> Result<OutputReader, CliError> {
    let mut text = String::from("\x1b[H");
    for line in lines {
        text.push_str(line);
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    output::write(text.as_bytes())
}

/// One line, for a pipe.
fn line(channel: &Channel, answer: &StatusAnswer, json: bool) -> String {
    match (answer, parsed(answer)) {
        (Ok((_, status)), _) if json => plain_json(&status.to_string()),
        (_, Ok((version, status))) => view(channel, version, None).line(&status).join("  "),
        (_, Err(why)) if json => plain_json(&json!({ "error": why }).to_string()),
        (_, Err(why)) => format!("{}  {}", channel.name, plain(&why)),
    }
}

fn parsed(answer: &StatusAnswer) -> Result<(&str, BroadcastStatus), String> {
    let (version, status) = answer.as_ref().map_err(Clone::clone)?;
    let status = serde_json::from_value(status.clone()).map_err(|error| error.to_string())?;
    Ok((version, status))
}

fn view<'a>(channel: &'a Channel, version: &'a str, columns: Option<usize>) -> StatusView<'a> {
    StatusView { channel: &channel.name, version, now: SystemTime::now(), columns, style: output::style() }
}
