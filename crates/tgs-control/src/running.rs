//! Asks the `tgs-stream` that runs with a STATE_DIR how it is: over its control socket, else over
//! its pages, as an older one needs.

use std::path::{Path, PathBuf};

use crate::{
    BroadcastStatus, ControlClient, Health, Status, StatusClient, channels,
    method::{Call, NoParams},
};

/// What a running `tgs-stream` says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningStatus {
    /// The document of `/status`.
    pub status: Status,
    /// The answer of `/healthz`.
    pub health: Health,
}

impl RunningStatus {
    /// Asks the `tgs-stream` with these settings; `client` is the name for its log. `None` if none
    /// runs, or if it does not answer this user.
    #[must_use]
    pub fn ask(control_socket: Option<&Path>, state_dir: &Path, client: &str) -> Option<Self> {
        let over_socket = sockets(control_socket, state_dir).iter().find_map(|path| by_socket(path, client));
        over_socket.or_else(|| Self::of_pages(StatusClient::of_state_dir(state_dir).ok()?))
    }

    /// Asks the pages.
    #[must_use]
    pub fn of_pages(client: StatusClient) -> Option<Self> {
        let status = client.status().ok()?;
        let health = client.health().unwrap_or_else(|error| Health::Unhealthy(error.to_string()));
        Some(Self { status, health })
    }
}

impl From<BroadcastStatus> for RunningStatus {
    fn from(from: BroadcastStatus) -> Self {
        let health = match from.unhealthy {
            _ if from.stopped => Health::Stopped,
            Some(why) => Health::Unhealthy(why),
            None if from.status.is_standby() => Health::Standby,
            None => Health::Healthy,
        };
        Self { status: from.status, health }
    }
}

fn by_socket(path: &Path, client: &str) -> Option<RunningStatus> {
    let mut client = ControlClient::connect(path, client).ok()?;
    client.get::<BroadcastStatus>(&Call::Status(NoParams {})).ok().map(RunningStatus::from)
}

/// Where the socket may be: a unit has it in its runtime directory, which has the name of its state
/// directory.
fn sockets(control_socket: Option<&Path>, state_dir: &Path) -> Vec<PathBuf> {
    let by_hand = channels::socket_path(control_socket, None, state_dir);
    let unit = state_dir.strip_prefix("/var/lib").ok().filter(|_| control_socket.is_none());
    let of_unit = unit.and_then(Path::to_str).and_then(channels::Channel::named);
    of_unit.map(|channel| channel.socket).into_iter().chain([by_hand]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_unit_is_looked_for_in_its_runtime_directory() {
        for (control, state, expected) in [
            (
                None,
                "/var/lib/tg_video_streamer",
                &["/run/tg_video_streamer/control.sock", "/var/lib/tg_video_streamer/control.sock"][..],
            ),
            (
                None,
                "/var/lib/tg_video_streamer@news",
                &["/run/tg_video_streamer@news/control.sock", "/var/lib/tg_video_streamer@news/control.sock"],
            ),
            (Some("/c"), "/var/lib/tg_video_streamer", &["/c"]),
            (None, "/home/me/state", &["/home/me/state/control.sock"]),
        ] {
            let found = sockets(control.map(Path::new), Path::new(state));
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn health_is_that_of_the_page() {
        let health = |unhealthy: Option<&str>, stopped| {
            let unhealthy = unhealthy.map(str::to_owned);
            RunningStatus::from(BroadcastStatus { unhealthy, stopped, ..BroadcastStatus::default() }).health
        };
        assert_eq!(health(None, false), Health::Healthy);
        assert_eq!(health(None, true), Health::Stopped);
        assert_eq!(
            health(Some("degraded: no session"), false),
            Health::Unhealthy("degraded: no session".into())
        );
    }
}
