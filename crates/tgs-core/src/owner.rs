//! The rule for root: before a tool works on files of a service, it switches to their owner.
//!
//! A path is walked by component, including links. The owner of a directory can replace its
//! entries, the owner of a link chose its target: each counts. Up to the first owner other than
//! root, only root can redirect the path; beyond it the process runs as that owner, who gains
//! nothing by a redirection.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Component, Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use nix::unistd::Group;
use rustix::{io::Errno, process::geteuid};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::{
    cancel::Cancel,
    process::{self, user::User},
    remedy::as_user,
    settings, signals, systemd,
};

/// Signals forwarded to the child that runs as the owner.
const FORWARDED: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGUSR1];

/// Variables that the child inherits besides those of [`process::command()`]: for the terminal, and
/// systemd's for the unit.
const INHERITED: [&str; 5] = ["NO_COLOR", "TERM", "STATE_DIRECTORY", "CACHE_DIRECTORY", "RUNTIME_DIRECTORY"];

/// Linux follows at most 40 links in one lookup.
const MAX_LINKS: usize = 40;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;

/// Why root must not work on these files.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Two users own parts of the path, and each could redirect root to the other's files.
    #[error("use {} as root: {} belongs to {first}, but {} to {second}; run this as one of them ({}), or give both to one \
             user with chown", .path.display(), .firsts.display(), .seconds.display(), run_as(.second))]
    TwoOwners {
        /// The given path.
        path: PathBuf,
        /// The owner of the first part.
        first: String,
        /// The first part.
        firsts: PathBuf,
        /// The owner of the other part.
        second: String,
        /// The other part.
        seconds: PathBuf,
    },
    /// Users other than root can write to a file of root's, or replace entries of a directory of
    /// root's.
    #[error("use {} as root: others may write to {}; run: chmod go-w {}",
            .path.display(), .dir.display(), shell_words::quote(&.dir.to_string_lossy()))]
    OthersWrite {
        /// The given path.
        path: PathBuf,
        /// The file or directory.
        dir: PathBuf,
    },
    /// The path does not exist, and other users can create it first.
    #[error("use {} as root: it does not exist, and any user can create it in {}; create it first, or use another path",
            .path.display(), .dir.display())]
    AnybodyMakes {
        /// The given path.
        path: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
    /// The owner of the files cannot read the settings.
    #[error("use {} as root: it belongs to {owner}, who cannot read {}, which is root's; run: chown {owner}: {}",
            .path.display(), .file.display(), shell_words::quote(&.file.to_string_lossy()))]
    Unreadable {
        /// A path that the user owns.
        path: PathBuf,
        /// The user.
        owner: String,
        /// The unreadable file.
        file: PathBuf,
    },
    /// systemd would supervise a process that only waits for another.
    #[error("work as root in a unit: {} belongs to {owner}; set User={owner} in the unit's [Service] section",
            .path.display())]
    Unit {
        /// A path that the user owns.
        path: PathBuf,
        /// The user.
        owner: String,
    },
    /// This process cannot become the user.
    #[error("continue as {owner}, the owner of {}: {source}", .path.display())]
    Become {
        /// A path that the user owns.
        path: PathBuf,
        /// The user.
        owner: String,
        /// The system's error.
        source: io::Error,
    },
    /// The path cannot be walked.
    #[error("look at {}: {source}", .path.display())]
    Io {
        /// The component that failed.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn run_as(user: &str) -> String {
    as_user(user, "…")
}

/// The user that root must become to work on a set of files.
#[derive(Debug, Default)]
pub struct Owner {
    /// The first owner other than root, and the path component that it owns.
    found: Option<(User, PathBuf)>,
}

impl Owner {
    /// Returns the owner of `path` and its components; `None` if root owns all. A missing file
    /// counts as owned by the owner of its directory.
    pub fn of(path: &Path) -> Result<Option<User>, Refused> {
        let mut owner = Self::default();
        owner.add(path)?;
        Ok(owner.found.map(|(user, _)| user))
    }

    /// Adds a path that is read for secrets, written or executed.
    pub fn add(&mut self, path: &Path) -> Result<(), Refused> {
        walk(path, &mut |part| self.count(path, part))
    }

    /// The user, unless it is root.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.found.as_ref().map(|(user, _)| user)
    }

    /// Fails if the user cannot read `file`.
    pub fn must_read(&self, file: &Path) -> Result<(), Refused> {
        let Some((user, path)) = &self.found else { return Ok(()) };
        let Ok(meta) = file.metadata() else { return Ok(()) };
        let groups = user.groups();
        let bit = match meta.uid() {
            uid if uid == user.uid => 0o400,
            _ if groups.contains(&meta.gid()) => 0o040,
            _ => 0o004,
        };
        if meta.mode() & bit != 0 {
            return Ok(());
        }
        let (path, file) = (path.clone(), file.to_owned());
        Err(Refused::Unreadable { path, owner: user.name.clone(), file })
    }

    fn count(&mut self, path: &Path, part: Part<'_>) -> Result<(), Refused> {
        let (at, meta) = match part {
            Part::There(at, meta) => (at, meta),
            // If several users can create the name, its creator is unknown.
            Part::Missing(dir) => {
                let meta = dir.metadata().map_err(|source| Refused::Io { path: dir.to_owned(), source })?;
                if self.found.is_none() && meta.mode() & (OTHERS_WRITE | GROUP_WRITE) & others(&meta) != 0 {
                    return Err(Refused::AnybodyMakes { path: path.to_owned(), dir: dir.to_owned() });
                }
                return Ok(());
            }
        };
        if meta.uid() == 0 {
            let changes = meta.is_file() || meta.is_dir() && meta.mode() & STICKY == 0;
            if changes && meta.mode() & others(meta) != 0 && self.found.is_none() {
                return Err(Refused::OthersWrite { path: path.to_owned(), dir: at.to_owned() });
            }
            return Ok(());
        }
        match &self.found {
            None => self.found = Some((User::of_ids(meta.uid(), meta.gid()), at.to_owned())),
            Some((first, _)) if first.uid == meta.uid() => {}
            Some((first, firsts)) => {
                return Err(Refused::TwoOwners {
                    path: path.to_owned(),
                    first: first.name.clone(),
                    firsts: firsts.clone(),
                    second: User::name_of(meta.uid()),
                    seconds: at.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The mode bits with which users other than root can write. Group bits count if the group has a
/// member.
fn others(meta: &fs::Metadata) -> u32 {
    let with_members = meta.mode() & GROUP_WRITE != 0 && meta.gid() != 0 && has_members(meta.gid());
    OTHERS_WRITE | if with_members { GROUP_WRITE } else { 0 }
}

/// Whether the group has a member other than root: `staff`, which owns /usr/local on Debian, is
/// empty. A gid without a name may be any user's.
fn has_members(gid: u32) -> bool {
    let Ok(Some(group)) = Group::from_gid(gid.into()) else { return true };
    let local = fs::read_to_string("/etc/group").unwrap_or_default();
    group.mem.iter().any(|member| member != "root") || is_listed(&local, gid) || is_primary(gid)
}

/// Whether a line of /etc/group lists a member of the group. Several lines may share a gid, of
/// which the name service returns the first.
fn is_listed(groups: &str, gid: u32) -> bool {
    groups.lines().any(|line| {
        let mut fields = line.split(':').skip(2);
        fields.next().and_then(|number| number.parse().ok()) == Some(gid)
            && fields.next().is_some_and(|all| all.split(',').any(|name| !matches!(name.trim(), "" | "root")))
    })
}

/// Whether the group is a user's primary group. The name service has no such query; only local
/// users are known.
fn is_primary(gid: u32) -> bool {
    fs::read_to_string("/etc/passwd").unwrap_or_default().lines().any(|line| {
        let mut ids = line.split(':').skip(2).map(str::parse);
        matches!((ids.next(), ids.next()), (Some(Ok(1_u32..)), Some(Ok(primary))) if primary == gid)
    })
}

/// A component of a path.
#[derive(Clone, Copy)]
enum Part<'a> {
    There(&'a Path, &'a fs::Metadata),
    /// The directory of a missing component.
    Missing(&'a Path),
}

/// Calls `see` with each component on the way to `path`, following links.
fn walk(path: &Path, see: &mut dyn FnMut(Part<'_>) -> Result<(), Refused>) -> Result<(), Refused> {
    let failed = |at: &Path, source| Refused::Io { path: at.to_owned(), source };
    let parts =
        |path: &Path| path.components().rev().map(|part| part.as_os_str().into()).collect::<Vec<OsString>>();
    // getcwd(2) returns a path without links.
    let whole = std::path::absolute(path).map_err(|source| failed(path, source))?;
    let (mut done, mut rest, mut links) = (PathBuf::new(), parts(&whole), 0);
    while let Some(part) = rest.pop() {
        // `done` contains no link, so `..` is its parent.
        let next = match Path::new(&part).components().next() {
            Some(Component::ParentDir) => done.parent().unwrap_or(Path::new("/")).to_owned(),
            _ => done.join(&part),
        };
        let meta = match fs::symlink_metadata(&next) {
            Ok(meta) => meta,
            // A path below a file does not exist. The code that uses the path reports it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return see(Part::Missing(&done));
            }
            Err(source) => return Err(failed(&next, source)),
        };
        see(Part::There(&next, &meta))?;
        if !meta.is_symlink() {
            done = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(failed(&next, Errno::LOOP.into()));
        }
        let target = fs::read_link(&next).map_err(|source| failed(&next, source))?;
        rest.extend(parts(&target));
    }
    Ok(())
}

/// For root, before it reads, writes or executes any of `paths`: if a user owns them, runs this
/// program again as that user and returns its exit code. The user must be able to read `settings`.
pub fn run_as_owner<'a>(
    settings: Option<&'a Path>,
    paths: impl IntoIterator<Item = &'a Path>,
) -> Result<Option<u8>, Refused> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let mut owner = Owner::default();
    for path in settings.into_iter().chain(paths) {
        owner.add(path)?;
    }
    let Some((user, path)) = &owner.found else { return Ok(None) };
    if let Some(settings) = settings {
        owner.must_read(settings)?;
    }
    if systemd::is_supervising() {
        return Err(Refused::Unit { path: path.clone(), owner: user.name.clone() });
    }
    log::info!("continuing as {}, the owner of {}", user.name, path.display());
    let ran = run_self_as(user, env::args_os().skip(1), Path::new("."));
    ran.map(Some).map_err(|source| Refused::Become { path: path.clone(), owner: user.name.clone(), source })
}

/// Runs this program with `args` as `user` in the directory `dir`, and returns its exit code. For
/// root, in a program whose `main` begins with the shim.
///
/// The child reads from this terminal, but in its own session: the user's processes cannot inject
/// input into root's terminal. The child inherits the settings, gets this process's signals, and
/// dies with this process.
pub fn run_self_as(user: &User, args: impl IntoIterator<Item = OsString>, dir: &Path) -> io::Result<u8> {
    let own = env::current_exe()?;
    let mut command = process::command::as_user(own.as_os_str(), &user.ids())?;
    command
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::inherit())
        .env("HOME", user.home())
        .env_remove("TMPDIR")
        .env_remove("XDG_CACHE_HOME");
    for name in settings::TABLE.iter().map(|setting| setting.name).chain(INHERITED) {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    let child = Arc::new(process::spawn(command)?);
    let running = child.clone();
    signals::listen(&[], &FORWARDED, Cancel::new(), move |signal| running.signal(signal))?;
    let status = child.wait()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests;
