//! Chooses a channel and connects to it. Words the failures.

use std::{
    env,
    io::ErrorKind,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use tgs_control::{
    ControlClient, ControlError,
    channels::{self, Channel},
    rpc::ErrorCode,
};
use tgs_core::{error::CliError, exit::Code, remedy, settings::Settings};

/// The channels that may run on this machine: those of units, and the broadcast that the settings
/// of this directory belong to.
pub(crate) fn candidates() -> Vec<Channel> {
    let mut found = channels::discover();
    // CONTROL_SOCKET may be where the socket of a unit would be, as in a container.
    let is_other = |channel: &Channel| found.iter().all(|known| known.socket != channel.socket);
    let by_hand =
        by_hand().filter(|channel| channel.socket.try_exists().unwrap_or(true) && is_other(channel));
    found.extend(by_hand);
    found
}

/// The broadcast that a tgs-stream started here by hand would be.
fn by_hand() -> Option<Channel> {
    let (settings, _) = Settings::examine(None, &|name| env::var_os(name), &[]);
    let settings = settings?.absolute(Path::new(""));
    Some(at(channels::socket_path(settings.control_socket.as_deref(), None, &settings.state_dir)))
}

/// The channel at `socket`. One that no unit runs is named by the path.
fn at(socket: PathBuf) -> Channel {
    let name = channels::name_of(&socket);
    let of_unit = Channel::named(&name).filter(|channel| channel.socket == socket);
    of_unit.unwrap_or_else(|| Channel { name: socket.display().to_string(), socket })
}

/// The channel that `--channel` or `--socket` means; without both, the only one that runs.
pub(crate) fn choose(channel: Option<&str>, socket: Option<&Path>) -> Result<Channel, CliError> {
    if channel.is_some() && socket.is_some() {
        // clap compares options only where both stand before, or both behind the command.
        let error = anyhow!("choose a channel: --channel and --socket cannot be used together");
        return Err(CliError::new(Code::Usage, error));
    }
    if let Some(socket) = socket {
        return Ok(at(std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned())));
    }
    if let Some(name) = channel {
        let error = || anyhow!("find the channel {name:?}: no unit can have this name");
        return Channel::named(name).ok_or_else(|| CliError::new(Code::Usage, error()));
    }
    let mut found = candidates();
    if found.len() > 1 {
        // A broadcast that was killed leaves its socket.
        found.retain(|channel| !is_stale(&channel.socket));
    }
    match found.len() {
        0 => Err(none_runs()),
        1 => Ok(found.swap_remove(0)),
        _ => Err(CliError::new(
            Code::Usage,
            anyhow!("choose a channel: {} run; name one with --channel", names(&found)),
        )),
    }
}

/// No broadcast runs on this machine.
pub(crate) fn none_runs() -> CliError {
    let remedy = start_remedy("tg_video_streamer");
    CliError::new(Code::Unavailable, anyhow!("find a broadcast: none runs on this machine; {remedy}"))
}

fn is_stale(socket: &Path) -> bool {
    let gone = [ErrorKind::ConnectionRefused, ErrorKind::NotFound];
    UnixStream::connect(socket).is_err_and(|error| gone.contains(&error.kind()))
}

fn names(channels: &[Channel]) -> String {
    channels.iter().map(|channel| &*channel.name).collect::<Vec<_>>().join(", ")
}

fn start_remedy(unit: &str) -> String {
    format!("start it: {}", remedy::as_root(&format!("systemctl start {unit}")))
}

/// Connects to `channel`.
pub(crate) fn connect(channel: &Channel) -> Result<ControlClient, CliError> {
    ControlClient::connect(&channel.socket, &client_name())
        .map_err(|error| failure(channel, &format!("connect to {}", channel.name), error))
}

/// The name for the broadcast's log. It is not checked: the log shows the user, too.
fn client_name() -> String {
    let user = ["SUDO_USER", "USER"].into_iter().find_map(env::var_os);
    match user.as_ref().and_then(|user| user.to_str()) {
        Some(user) => format!("tgs-ctl of {user}"),
        None => "tgs-ctl".to_owned(),
    }
}

/// The failure of `action`, with its exit code and its remedy.
pub(crate) fn failure(channel: &Channel, action: &str, error: ControlError) -> CliError {
    let is_of_unit = Channel::named(&channel.name).as_ref() == Some(channel);
    match error {
        ControlError::NotRunning(_) => {
            let text = if is_of_unit {
                format!("{action}: it does not run{}; {}", others(channel), start_remedy(&channel.unit()))
            } else {
                format!("{action}: no broadcast runs with this control socket; start it with tgs-stream")
            };
            CliError::new(Code::Unavailable, anyhow!(text))
        }
        ControlError::Denied(path) => {
            let who = "only root and the members of its group may steer it";
            CliError::failure(if is_of_unit {
                format!("{action}: {who}; join the group: sudo usermod -aG tgstream $USER, then log in again")
            } else {
                format!("{action}: {who}; see: ls -l {}", path.display())
            })
        }
        ControlError::Refused(error) if error.is(ErrorCode::UnknownMethod) => CliError::failure(format!(
            "{action}: the running tgs-stream is of an older version: {error}; restart it"
        )),
        ControlError::Refused(error) => CliError::failure(format!("{action}: {error}")),
        error @ ControlError::Lost(_) => CliError::new(Code::Unavailable, anyhow!("{action}: {error}")),
        error => CliError::failure(format!("{action}: {error}")),
    }
}

/// Names the channels that run, where the missing one may be misspelt.
fn others(channel: &Channel) -> String {
    let mut running = channels::discover();
    running.retain(|other| other != channel);
    if running.is_empty() { String::new() } else { format!(" (running: {})", names(&running)) }
}

#[cfg(test)]
mod tests {
    use tgs_control::rpc::RpcError;

    use super::*;

    #[test]
    fn each_failure_has_its_code_and_its_remedy() {
        let news = Channel::named("news").unwrap();
        let own = at("/home/me/control.sock".into());
        assert_eq!(own.name, "/home/me/control.sock");
        assert_eq!(at(news.socket.clone()), news);
        let refused = |code| ControlError::Refused(RpcError::new(code, "nothing is being played"));
        for (channel, error, code, words) in [
            (
                &news,
                ControlError::NotRunning(news.socket.clone()),
                Code::Unavailable,
                "systemctl start tg_video_streamer@news",
            ),
            (
                &own,
                ControlError::NotRunning(own.socket.clone()),
                Code::Unavailable,
                "start it with tgs-stream",
            ),
            (
                &news,
                ControlError::Denied(news.socket.clone()),
                Code::Failure,
                "sudo usermod -aG tgstream $USER, then log in again",
            ),
            (&own, ControlError::Denied(own.socket.clone()), Code::Failure, "ls -l /home/me/control.sock"),
            (&own, refused(ErrorCode::Refused), Code::Failure, "seek: nothing is being played"),
            (&own, refused(ErrorCode::UnknownMethod), Code::Failure, "older version"),
        ] {
            let error = failure(channel, "seek", error);
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().starts_with("seek: ") && error.to_string().contains(words), "{error}");
        }
    }
}
