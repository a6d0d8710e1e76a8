//! What child processes may not do, by Landlock: read the `.env` files, write outside their scratch directory, or reach
//! into other processes (the environment of this one holds what the unit's `EnvironmentFile=` said).
//!
//! ffmpeg and yt-dlp read whatever strangers serve. Landlock takes away from a process and all it starts, for good; it
//! knows permissions only, no exceptions to them. So everything is permitted but what leads to a hidden file: of each
//! directory on the way to it the other entries are, one by one, at the moment the child is started.
//!
//! A kernel before 5.13 has no Landlock; one before 6.2 does not keep a child from emptying a file (`truncate(2)`), one
//! before 6.12 not from sending signals. See landlock(7).

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// What the children of this process are held to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Files, or directories with all that is in them, that cannot be read. Of a `.env` file its copies beside it
    /// (`.env.bak`, and any other name with `.env` in it) are meant too.
    pub hidden: Vec<PathBuf>,
    /// What can be written: directories with all that is in them, and files.
    pub writable: Vec<PathBuf>,
    /// The directory for what the children keep for themselves ($TMPDIR, and in it $`XDG_CACHE_HOME`); writable too.
    pub scratch: PathBuf,
}

/// Beside what the `.env` files of a server lie, which belong to one user: hidden from every child, whoever starts it.
const OF_THE_SERVER: [&str; 2] =
    ["/opt/tg_video_streamer/shared/.env", "/opt/tg_video_streamer/instances/.env"];

static CONFINEMENT: OnceLock<Confinement> = OnceLock::new();

/// Holds every child that is started from now on to `confinement`, except those of [`crate::process::trusted`]. The first
/// call counts. Paths that do not exist are left out, `.` is the directory at this moment. Where there is no Landlock, a
/// warning says so, and they are held to nothing.
pub fn children(confinement: &Confinement) {
    if !is_supported() {
        log::warn!(
            "the kernel has no Landlock (Linux 5.13 and later do, where `cat /sys/kernel/security/lsm` names it), or the \
             unit's SystemCallFilter= forbids it: child processes could read the .env file"
        );
    }
    // What the names lead to, and where they are: a link may be replaced by a file.
    let everywhere = |paths: &[PathBuf]| -> Vec<PathBuf> {
        let mut found: Vec<_> =
            paths.iter().flat_map(|path| [fs::canonicalize(path).ok(), place(path)]).flatten().collect();
        found.sort();
        found.dedup();
        found
    };
    let scratch = fs::canonicalize(&confinement.scratch).unwrap_or_default();
    let mut writable = everywhere(&confinement.writable);
    writable.extend(Some(scratch.clone()).filter(|dir| dir.is_dir()));
    let mut hidden: Vec<_> = OF_THE_SERVER.map(PathBuf::from).into();
    hidden.extend_from_slice(&confinement.hidden);
    let _ = CONFINEMENT.set(Confinement { hidden: everywhere(&hidden), writable, scratch });
}

/// Where `path` lies, whether or not it exists: the last name is not followed.
fn place(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    Some(fs::canonicalize(parent).ok()?.join(path.file_name()?))
}

/// What children are held to now.
pub(crate) fn current() -> Option<&'static Confinement> {
    CONFINEMENT.get()
}

/// Whether this kernel has Landlock.
#[must_use]
pub fn is_supported() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

impl Confinement {
    /// As arguments of the shim, which are read back by [`Confinement::from_args`].
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        for (flag, paths) in [("hide", &self.hidden), ("write", &self.writable)] {
            for path in paths {
                args.extend([OsString::from(flag), path.clone().into_os_string()]);
            }
        }
        args
    }

    /// What [`Confinement::to_args`] has written; the scratch directory is among what is writable.
    pub(crate) fn from_args(args: &[OsString]) -> Self {
        let mut read = Self::default();
        for pair in args.chunks_exact(2) {
            let to = if pair[0] == "hide" { &mut read.hidden } else { &mut read.writable };
            to.push(pair[1].clone().into());
        }
        read
    }

    /// Holds this process, and what it becomes, to it; for good. `false`: the kernel has no Landlock.
    pub(crate) fn enforce(&self) -> Result<bool, RulesetError> {
        let abi = ABI::V6;
        let read = AccessFs::from_read(abi);
        // Not IoctlDev: what a device is asked for is no file's content, and PrivateDevices= is the unit's.
        let all = read | (AccessFs::from_write(abi) & !BitFlags::from(AccessFs::IoctlDev));
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::from_all(abi))?
            .create()?;
        // Names are no secret, and `ls` of a directory on the way should work.
        ruleset = permit(ruleset, Path::new("/"), AccessFs::ReadDir.into())?;
        for path in readable(Path::new("/"), &self.hidden) {
            ruleset = permit(ruleset, &path, read)?;
        }
        for device in devices() {
            ruleset = permit(ruleset, &device, read | AccessFs::WriteFile)?;
        }
        for path in &self.writable {
            ruleset = permit(ruleset, path, all)?;
        }
        let status = ruleset.restrict_self()?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

/// Permits `access` at `path` and beneath; nothing where it cannot be opened, or is a file and the access a directory's.
fn permit(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(meta) = fs::metadata(path) else { return Ok(ruleset) };
    let access = if meta.is_dir() { access } else { access & AccessFs::from_file(ABI::V6) };
    match PathFd::new(path) {
        Ok(fd) if !access.is_empty() => ruleset.add_rule(PathBeneath::new(fd, access)),
        _ => Ok(ruleset),
    }
}

/// What a child may write to beside files: nowhere, and to a graphics card that FFMPEG_ARGS may have encode.
fn devices() -> Vec<PathBuf> {
    let cards =
        fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| {
            path.file_name().is_some_and(|name| name == "dri" || name.to_string_lossy().starts_with("nvidia"))
        });
    cards.chain(["/dev/null".into()]).collect()
}

/// The largest parts of `dir` that hold nothing of `hidden`. Links are left out: what they lead to is where it lies.
fn readable(dir: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What cannot be listed cannot be permitted piece by piece.
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().map_or(true, |kind| kind.is_symlink()) || is_hidden(&path, hidden) {
            continue;
        }
        if hidden.iter().any(|hidden| hidden.starts_with(&path)) {
            found.extend(readable(&path, hidden));
        } else {
            found.push(path);
        }
    }
    found
}

/// Whether `path` is hidden itself, or is a copy of a hidden file.
fn is_hidden(path: &Path, hidden: &[PathBuf]) -> bool {
    let name = |path: &Path| path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    hidden.iter().any(|hidden| {
        path == hidden
            || (path.parent() == hidden.parent()
                && (name(path).starts_with(&name(hidden))
                    || (name(hidden).contains(".env") && name(path).contains(".env"))))
    })
}

/// The directory at `path` for a [`Confinement`], made where it is missing.
pub fn make_scratch(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path.join(CACHE))
}

/// Where in the scratch directory programs keep their caches.
pub(crate) const CACHE: &str = "cache";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_readable_but_what_leads_to_a_hidden_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for path in ["a/x/deep", "b", "opt/shared/ytdlp/bin", "opt/instances"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in
            ["file", "opt/shared/.env", "opt/shared/.env.bak", "opt/shared/list.txt", "opt/instances/a.env"]
        {
            fs::write(root.join(path), "x").unwrap();
        }
        std::os::unix::fs::symlink("shared/.env", root.join("opt/link")).unwrap();
        let hidden = [root.join("opt/shared/.env"), root.join("opt/instances")];
        let mut found: Vec<_> = readable(&root, &hidden)
            .iter()
            .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, ["a", "b", "file", "opt/shared/list.txt", "opt/shared/ytdlp"]);
    }

    #[test]
    fn copies_are_hidden_with_a_file() {
        let hidden = [PathBuf::from("/o/.env"), PathBuf::from("/o/i/a.env"), PathBuf::from("/o/conf")];
        for path in ["/o/.env", "/o/.env.bak", "/o/x.env", "/o/i/b.env", "/o/i/a.env.tgs-new", "/o/conf.bak"]
        {
            assert!(is_hidden(Path::new(path), &hidden), "{path}");
        }
        for path in ["/o/environment", "/o/list.txt", "/p/.env", "/o/i", "/o/con"] {
            assert!(!is_hidden(Path::new(path), &hidden), "{path}");
        }
    }

    #[test]
    fn the_shim_reads_what_the_tool_wrote() {
        let given = Confinement {
            hidden: vec!["/a b".into(), "/c".into()],
            writable: vec!["/d\ne".into()],
            scratch: PathBuf::new(),
        };
        assert_eq!(Confinement::from_args(&given.to_args()), given);
        assert_eq!(Confinement::from_args(&[]), Confinement::default());
    }
}
