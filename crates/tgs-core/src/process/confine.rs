//! Confines child processes with Landlock: they cannot read `.env` files, write outside their
//! scratch directory, or access other processes (this one's environment holds the variables of
//! `EnvironmentFile=`).
//!
//! ffmpeg and yt-dlp process untrusted input. Landlock rules only grant access. So everything is
//! granted except directories that lead to a hidden file; their other entries are granted one by
//! one when the child starts.
//!
//! Linux before 5.13 has no Landlock; before 6.2 a child can truncate files (`truncate(2)`), before
//! 6.12 it can send signals. See landlock(7).

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

/// The restrictions of this process's children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Unreadable files, and directories with their content. A `.env` file includes copies beside
    /// it (`.env.bak`, and other names that contain `.env`).
    pub hidden: Vec<PathBuf>,
    /// Writable files, and directories with their content.
    pub writable: Vec<PathBuf>,
    /// The children's $TMPDIR, which contains their $`XDG_CACHE_HOME`; writable.
    pub scratch: PathBuf,
}

/// A server's `.env` files: these, and others in the same directories. Hidden from every child.
const OF_THE_SERVER: [&str; 2] =
    ["/opt/tg_video_streamer/shared/.env", "/opt/tg_video_streamer/instances/.env"];

static CONFINEMENT: OnceLock<Confinement> = OnceLock::new();

/// Confines all children started from now on, except [`crate::process::trusted`] ones. Only the
/// first call has an effect. Missing paths are ignored. Without Landlock, logs a warning and leaves
/// children unconfined.
pub fn children(confinement: &Confinement) {
    if !is_supported() {
        log::warn!(
            "the kernel has no Landlock (Linux 5.13 and later do, where `cat /sys/kernel/security/lsm` names it), or the \
             unit's SystemCallFilter= forbids it: child processes could read the .env file"
        );
    }
    // Both the link and its target: a file may replace the link.
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

/// Resolves all links of `path` but the last; `path` need not exist.
fn place(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    Some(fs::canonicalize(parent).ok()?.join(path.file_name()?))
}

/// The confinement set by [`children`].
pub(crate) fn current() -> Option<&'static Confinement> {
    CONFINEMENT.get()
}

/// Whether this kernel supports Landlock.
#[must_use]
pub fn is_supported() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

impl Confinement {
    /// Encodes the confinement as shim arguments; [`Confinement::from_args`] decodes them.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        for (flag, paths) in [("hide", &self.hidden), ("write", &self.writable)] {
            for path in paths {
                args.extend([OsString::from(flag), path.clone().into_os_string()]);
            }
        }
        args
    }

    /// Decodes [`Confinement::to_args`]; `writable` includes the scratch directory.
    pub(crate) fn from_args(args: &[OsString]) -> Self {
        let mut read = Self::default();
        for pair in args.chunks_exact(2) {
            let to = if pair[0] == "hide" { &mut read.hidden } else { &mut read.writable };
            to.push(pair[1].clone().into());
        }
        read
    }

    /// Confines this process and all it executes, permanently. `false`: the kernel has no Landlock.
    pub(crate) fn enforce(&self) -> Result<bool, RulesetError> {
        let abi = ABI::V6;
        let read = AccessFs::from_read(abi);
        // Without IoctlDev: an ioctl reads no file, and the unit has PrivateDevices=.
        let all = read | (AccessFs::from_write(abi) & !BitFlags::from(AccessFs::IoctlDev));
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::from_all(abi))?
            .create()?;
        // File names are not secret, and listing a directory on the way should work.
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

/// Grants `access` at and below `path`. Grants nothing if `path` cannot be opened, or is a file and
/// `access` applies to directories only.
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

/// Writable devices: /dev/null, and GPUs for FFMPEG_ARGS.
fn devices() -> Vec<PathBuf> {
    let cards =
        fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| {
            path.file_name().is_some_and(|name| name == "dri" || name.to_string_lossy().starts_with("nvidia"))
        });
    cards.chain(["/dev/null".into()]).collect()
}

/// Returns the largest subtrees of `dir` that contain nothing of `hidden`. Skips links; their
/// targets are covered under their own paths.
fn readable(dir: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // A directory that cannot be listed cannot be granted in parts.
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

/// Whether `path` is hidden or a copy of a hidden file.
fn is_hidden(path: &Path, hidden: &[PathBuf]) -> bool {
    let name = |path: &Path| path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    hidden.iter().any(|hidden| {
        path == hidden
            || (path.parent() == hidden.parent()
                && (name(path).starts_with(&name(hidden))
                    || (name(hidden).contains(".env") && name(path).contains(".env"))))
    })
}

/// Creates the scratch directory of a [`Confinement`].
pub fn make_scratch(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path.join(CACHE))
}

/// Name of the cache directory in the scratch directory.
pub(crate) const CACHE: &str = "cache";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_readable_path_leads_to_a_hidden_file() {
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
