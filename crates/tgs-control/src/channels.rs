//! The channels of a machine and their control sockets. Connects to none.
//!
//! A channel is a broadcast by its name: `main` for the unit `tg_video_streamer`, NAME for
//! `tg_video_streamer@NAME`. Its socket is in the runtime directory that systemd makes for the
//! unit.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The first broadcast of a machine.
pub const MAIN: &str = "main";

/// Where systemd makes the runtime directories.
const RUN: &str = "/run";

/// The name of the first broadcast's unit and of its runtime directory.
const UNIT: &str = "tg_video_streamer";

/// The name of the socket's file.
const SOCKET: &str = "control.sock";

/// Further channels are not listed.
const MOST: usize = 1000;

/// A channel and its control socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// `main`, or the name of the unit's instance.
    pub name: String,
    /// The control socket.
    pub socket: PathBuf,
}

impl Channel {
    /// The channel `name` of this machine, whether it runs or not; `None` if no instance of a unit
    /// can have this name. The names of units are understood, too.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::named_in(Path::new(RUN), name)
    }

    fn named_in(run: &Path, name: &str) -> Option<Self> {
        let unit = name.strip_suffix(".service").unwrap_or(name);
        let dir = match unit.strip_prefix(UNIT) {
            Some("") => UNIT.to_owned(),
            Some(instance) if instance.starts_with('@') => unit.to_owned(),
            _ if unit == MAIN => UNIT.to_owned(),
            _ => format!("{UNIT}@{unit}"),
        };
        let name = name_of_dir(&dir)?;
        Some(Self { name, socket: run.join(dir).join(SOCKET) })
    }

    /// The unit that runs this channel: `tg_video_streamer@NAME`.
    #[must_use]
    pub fn unit(&self) -> String {
        match &*self.name {
            MAIN => UNIT.to_owned(),
            name if name.starts_with(UNIT) => name.to_owned(),
            name => format!("{UNIT}@{name}"),
        }
    }
}

/// The channels whose units run on this machine, `main` first, then by name.
#[must_use]
pub fn discover() -> Vec<Channel> {
    discover_in(Path::new(RUN))
}

fn discover_in(run: &Path) -> Vec<Channel> {
    let entries = fs::read_dir(run).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let dir = entry.file_name().into_string().ok()?;
            let channel = Channel { name: name_of_dir(&dir)?, socket: entry.path().join(SOCKET) };
            // Only members of the service's group may look into the directory. Others shall see the
            // channel, and be refused by its name.
            channel.socket.try_exists().unwrap_or(true).then_some(channel)
        })
        .take(MOST)
        .collect();
    found.sort_by(|a, b| (a.name != MAIN, &a.name).cmp(&(b.name != MAIN, &b.name)));
    found
}

/// Whether a channel can have this name: what systemd allows in the name of a unit, without `@`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\".contains(&b))
}

/// The channel's name by its runtime directory; `None` for another directory. An instance that is
/// named `main` keeps its unit's name, since `main` is the first broadcast.
fn name_of_dir(dir: &str) -> Option<String> {
    match dir.strip_prefix(UNIT)? {
        "" => Some(MAIN.to_owned()),
        instance => match instance.strip_prefix('@')? {
            MAIN => Some(dir.to_owned()),
            name => is_name(name).then(|| name.to_owned()),
        },
    }
}

/// The path of a broadcast's control socket: the setting CONTROL_SOCKET, else in systemd's
/// RUNTIME_DIRECTORY, else in STATE_DIR.
#[must_use]
pub fn socket_path(
    control_socket: Option<&Path>,
    runtime_directory: Option<&OsStr>,
    state_dir: &Path,
) -> PathBuf {
    // RUNTIME_DIRECTORY lists several directories with colons between them.
    let first = runtime_directory.and_then(|all| all.as_bytes().split(|byte| *byte == b':').next());
    match (control_socket, first) {
        (Some(path), _) => path.to_owned(),
        (None, Some(dir)) if !dir.is_empty() => Path::new(OsStr::from_bytes(dir)).join(SOCKET),
        (None, _) => state_dir.join(SOCKET),
    }
}

/// The name of the channel with this control socket; `main` for a broadcast that no unit of ours
/// runs.
#[must_use]
pub fn name_of(socket: &Path) -> String {
    let dir = socket.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    dir.and_then(name_of_dir).unwrap_or_else(|| MAIN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_the_runtime_directories_that_hold_a_socket() {
        let run = tempfile::tempdir().unwrap();
        for dir in ["a", "tg_video_streamer@zoo", "tg_video_streamer", "tg_video_streamer@a b", "systemd"] {
            fs::create_dir(run.path().join(dir)).unwrap();
            fs::write(run.path().join(dir).join(SOCKET), "").unwrap();
        }
        fs::create_dir(run.path().join("tg_video_streamer@starting")).unwrap();
        let found = discover_in(run.path());
        let names: Vec<_> = found.iter().map(|channel| &*channel.name).collect();
        assert_eq!(names, [MAIN, "zoo"]);
        assert_eq!(found[1].socket, run.path().join("tg_video_streamer@zoo/control.sock"));
        assert_eq!(discover_in(&run.path().join("missing")), []);
    }

    #[test]
    fn a_channel_is_found_by_its_name_or_by_its_unit() {
        for (given, name, unit) in [
            ("main", "main", "tg_video_streamer"),
            ("tg_video_streamer", "main", "tg_video_streamer"),
            ("news", "news", "tg_video_streamer@news"),
            ("tg_video_streamer@news.service", "news", "tg_video_streamer@news"),
            ("tg_video_streamer@main", "tg_video_streamer@main", "tg_video_streamer@main"),
            ("a\\x2db", "a\\x2db", "tg_video_streamer@a\\x2db"),
        ] {
            let channel = Channel::named(given).unwrap();
            assert_eq!((&*channel.name, channel.unit()), (name, unit.to_owned()), "{given}");
            assert_eq!(channel.socket, Path::new(RUN).join(unit).join(SOCKET));
            assert_eq!(name_of(&channel.socket), name);
        }
        for given in ["", "..", "../etc", "a/b", "a b", "tg_video_streamer@", "é"] {
            let found = Channel::named(given);
            assert!(found.is_none() || given == "..", "{given}: {found:?}");
        }
        // A name of two dots stays below /run: it follows the unit's.
        assert_eq!(Channel::named("..").unwrap().socket, Path::new("/run/tg_video_streamer@../control.sock"));
        assert_eq!(name_of(Path::new("/home/me/.local/state/tgs/control.sock")), MAIN);
    }

    #[test]
    fn the_socket_of_a_broadcast() {
        let state = Path::new("/state");
        let at = |control: Option<&str>, runtime: Option<&str>| {
            socket_path(control.map(Path::new), runtime.map(OsStr::new), state)
        };
        assert_eq!(at(None, None), Path::new("/state/control.sock"));
        assert_eq!(at(None, Some("")), Path::new("/state/control.sock"));
        assert_eq!(at(None, Some("/run/a:/run/b")), Path::new("/run/a/control.sock"));
        assert_eq!(at(Some("/tmp/s"), Some("/run/a")), Path::new("/tmp/s"));
    }
}
