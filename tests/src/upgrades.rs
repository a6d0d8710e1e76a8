//! Upgrades of a running broadcast, as its ingest sees them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tgs_control::{
    BroadcastStatus, ControlClient, ControlError,
    method::{Call, NoParams, Upgraded},
};

use crate::{ingest::Record, numbered::numbers};

/// Time limit of an upgrade, and of the new process to answer.
const LIMIT: Duration = Duration::from_mins(1);

/// How often an upgrade is tried.
const ATTEMPTS: usize = 4;

/// A process that has taken a broadcast over; it outlives the one that a test has started. Dropping
/// it kills the process.
#[derive(Debug)]
pub struct NewProcess(u32);

impl Drop for NewProcess {
    fn drop(&mut self) {
        let _ = Pid::from_raw(self.0 as i32).map(|pid| kill_process(pid, Signal::KILL));
    }
}

/// Connects to the broadcast of this state directory.
pub fn connect(state: &Path) -> Result<ControlClient> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match ControlClient::connect(&state.join("control.sock"), "test") {
            Err(error) if Instant::now() >= deadline => {
                return Err(error).context("connect to the broadcast");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
            Ok(client) => return Ok(client),
        }
    }
}

/// Asks the broadcast for an upgrade.
pub fn request(client: &mut ControlClient) -> Result<Upgraded, ControlError> {
    Ok(serde_json::from_value(client.call_within(&Call::Upgrade(NoParams {}), LIMIT)?)?)
}

/// Upgrades the broadcast, and waits until the new process answers.
pub fn upgrade(state: &Path) -> Result<(Upgraded, NewProcess)> {
    let mut attempts = 0;
    let done = loop {
        attempts += 1;
        match request(&mut connect(state)?) {
            Ok(done) => break done,
            // A busy machine may take longer than 20 s for the first item.
            Err(error) if attempts < ATTEMPTS && error.to_string().contains("goes on") => {}
            Err(error) => return Err(error.into()),
        }
    };
    let process = NewProcess(done.pid);
    let deadline = Instant::now() + LIMIT;
    loop {
        // The old process may still accept the connection.
        let status = connect(state)?.get::<BroadcastStatus>(&Call::Status(NoParams {}));
        if status.is_ok_and(|status| status.pid == done.pid) {
            return Ok((done, process));
        }
        ensure!(Instant::now() < deadline, "the new process does not answer");
    }
}

/// The pictures of a numbered film over these connections, in order. The last group of the last
/// one, which is cut in the order of decoding, is left out, and so is a slate at the start.
pub fn pictures(records: &[Record], dir: &Path) -> Result<Vec<usize>> {
    let flv = dir.join("received.flv");
    let mut all = Vec::new();
    for record in records {
        record.write_flv(&flv)?;
        all.extend(numbers(&flv)?);
    }
    all.truncate(all.len().saturating_sub(60));
    Ok(all.into_iter().skip_while(|number| *number == 0).collect())
}

/// The pairs of pictures between which one is missing, or shown again.
#[must_use]
pub fn breaks(pictures: &[usize]) -> Vec<&[usize]> {
    pictures.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect()
}

/// The times without media between the connections. Fails if two of them were open at once.
pub fn gaps(records: &[Record]) -> Result<Vec<Duration>> {
    let between = |pair: &[Record]| {
        let next = pair[1].media().next().context("a connection without media")?.arrived;
        let (ended, _) = pair[0].ended.as_ref().context("a connection that did not end")?;
        ensure!(*ended <= next, "two publish at once");
        pair[0].silence_before(&pair[1])
    };
    records.windows(2).map(between).collect()
}
