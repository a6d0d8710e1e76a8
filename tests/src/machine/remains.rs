//! A box's resources on the machine (a directory, control groups, network namespaces) and their
//! removal: by the owner, or by the next boot if the owner was killed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};

use super::network;

const DIR: &str = "/run/tgs-machines";
/// Locations of a box's control groups: two hierarchies on a hybrid machine, one on a unified
/// machine.
const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A name that this process owns while the value lives, with its `/run/tgs-machines/NAME`.
#[derive(Debug)]
pub(super) struct Claim {
    name: String,
    dir: PathBuf,
    /// Held open: the lock shows other processes that the owner lives.
    _lock: File,
}

impl Claim {
    /// Removes the resources of dead owners, then claims a new name.
    pub(super) fn new() -> Result<Self> {
        static TURN: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(DIR).with_context(|| format!("make {DIR}"))?;
        // No other process may remove a directory between its creation and its lock.
        let all = lock_file(&Path::new(DIR).join(".lock"))?;
        flock(&all, FlockOperation::LockExclusive).context("lock the directory of boxes")?;
        clear_dead()?;
        let name = format!("tgs-{}-{}", std::process::id(), TURN.fetch_add(1, Ordering::Relaxed));
        let dir = Path::new(DIR).join(&name);
        fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        let lock = lock_file(&dir.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context("lock the box's directory")?;
        Ok(Self { name, dir, _lock: lock })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills every process of the box.
    pub(super) fn kill(&self) -> Result<()> {
        kill(&self.name)
    }

    /// Removes control groups and directory; call it after processes and networks are gone.
    pub(super) fn remove(&self) {
        for group in groups(&self.name) {
            let _ = remove_group(&group);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn lock_file(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("make {}", path.display()))
}

fn clear_dead() -> Result<()> {
    for entry in fs::read_dir(DIR)? {
        let entry = entry?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        // Whose box ends just now removes it itself.
        let Ok(lock) = File::create(entry.path().join("lock")) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        kill(&name).with_context(|| format!("clear the box {name} of an earlier run"))?;
        network::remove(&name);
        Claim { name, dir: entry.path(), _lock: lock }.remove();
    }
    Ok(())
}

fn groups(name: &str) -> Vec<PathBuf> {
    HIERARCHIES.iter().map(|h| Path::new(h).join(name)).filter(|group| group.is_dir()).collect()
}

/// Kills the processes in the box's control groups until none runs: the box's PID 1, with which the
/// kernel ends the rest, and systemd-nspawn (killing it alone would leave the box running).
fn kill(name: &str) -> Result<()> {
    let until = Instant::now() + GONE_WITHIN;
    loop {
        let mut processes = Vec::new();
        for group in groups(name) {
            members(&group, &mut processes).with_context(|| format!("read {}", group.display()))?;
        }
        if processes.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < until, "processes {processes:?} of the box {name} do not end");
        for pid in processes {
            // The process may have exited meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Collects the processes of a control group and its descendants.
fn members(group: &Path, found: &mut Vec<Pid>) -> io::Result<()> {
    let text = read_group(group)?;
    // 0 is a process of another PID namespace; the owner's namespace sees all processes of the box.
    found.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    for child in children(group)? {
        members(&child, found)?;
    }
    Ok(())
}

/// A group can vanish while it is read, and a group with threaded members has no list.
fn read_group(group: &Path) -> io::Result<String> {
    match fs::read_to_string(group.join("cgroup.procs")) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(19) => Ok(String::new()),
        Err(e) => Err(e),
    }
}

fn children(group: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    Ok(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect())
}

fn remove_group(group: &Path) -> io::Result<()> {
    for child in children(group)? {
        remove_group(&child)?;
    }
    fs::remove_dir(group)
}
