//! What a box leaves on the machine while it runs (a directory, control groups, network
//! namespaces), and its removal: by its owner, or by the next boot where the owner was killed.

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
/// Where control groups of a box can be: two hierarchies of a hybrid machine, the only one of a
/// unified one.
const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A name that is this process' as long as the value lives, with the directory
/// `/run/tgs-machines/NAME`.
#[derive(Debug)]
pub(super) struct Claim {
    name: String,
    dir: PathBuf,
    /// Held: the lock tells other processes that the owner lives.
    _lock: File,
}

impl Claim {
    /// Clears what dead owners left, then claims a new name.
    pub(super) fn new() -> Result<Self> {
        static TURN: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(DIR).with_context(|| format!("make {DIR}"))?;
        // No other process may remove a directory between its creation and its locking.
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

    /// Removes control groups and directory; the processes and networks are gone.
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
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let lock = lock_file(&entry.path().join("lock"))?;
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

/// Kills what runs in the control groups of the box until nothing does. That is PID 1 of it, with
/// which the kernel ends the rest, and systemd-nspawn (alone, its end would leave the box running).
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
            // Gone meanwhile: all the better.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Adds the processes of a control group and of those below it.
fn members(group: &Path, found: &mut Vec<Pid>) -> io::Result<()> {
    let text = read_group(group)?;
    // 0 is a process of another PID namespace; this one's owner can name all of its own.
    found.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    for child in children(group)? {
        members(&child, found)?;
    }
    Ok(())
}

/// A group can vanish while it is read, and one with threaded members has no list.
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
