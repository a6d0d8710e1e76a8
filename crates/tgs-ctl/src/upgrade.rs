//! `tgs-ctl upgrade`.

use std::time::Duration;

use tgs_control::{
    ControlClient,
    channels::Channel,
    method::{Call, NoParams, Upgraded},
};
use tgs_core::error::CliError;

use crate::{connect, output};

/// Longer than the broadcast takes: 20 s to get ready, and the change itself.
const LIMIT: Duration = Duration::from_mins(1);

/// The examples of the command.
pub(crate) const UPGRADE: &str = "\
Examples:
  tgs-ctl upgrade
  tgs-ctl --channel news upgrade --json | jq .gap_seconds

The running process starts the program of its own path (current/bin) beside itself, waits until that has its first
item ready, and hands the broadcast over at a picture; viewers miss half a second at most. If the new program is not
ready within 20 s, the old one goes on, and the exit code is 1. Unit files and the service's environment stay as they
were: after a change of those, restart instead.";

/// Sends the request and prints what came of it.
pub(crate) fn run(channel: &Channel, client: &mut ControlClient, json: bool) -> Result<(), CliError> {
    let action = "upgrade the broadcast";
    if !json {
        output::lines(["starting the new program beside the old one; this takes up to 35 s".to_owned()])?;
    }
    let result = client.call_within(&Call::Upgrade(NoParams {}), LIMIT);
    let result = result.map_err(|error| connect::failure(channel, action, error))?;
    if json {
        return output::json(&result).map(drop);
    }
    let done: Upgraded = serde_json::from_value(result).map_err(|error| {
        CliError::failure(format!("read the answer, which this version does not understand: {error}"))
    })?;
    output::lines([line(&done)]).map(drop)
}

fn line(done: &Upgraded) -> String {
    let Upgraded { pid, version, gap_seconds } = done;
    let gap = match gap_seconds {
        Some(gap) => format!("{gap:.2} s without media"),
        None => "nothing was on air".to_owned(),
    };
    format!("tgs-stream {version} has the broadcast (pid {pid}): {gap}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_named() {
        let done = Upgraded { pid: 7, version: "0.2.0".into(), gap_seconds: Some(0.123) };
        assert_eq!(line(&done), "tgs-stream 0.2.0 has the broadcast (pid 7): 0.12 s without media");
        let silent = Upgraded { gap_seconds: None, ..done };
        assert!(line(&silent).ends_with("(pid 7): nothing was on air"));
    }
}
