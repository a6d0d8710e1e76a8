//! Atomic file replacement: a reader, and a disk after a crash, has the old content or the new.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Linux follows at most 40 links in one lookup.
const MAX_LINKS: usize = 40;

/// Replaces the file at `path` by a file with these `bytes` and exactly this `mode`, independent of
/// the umask. Follows a symbolic link: its target is replaced or created.
///
/// The new file belongs to the caller. A killed writer leaves a file `.NAME.xxxxxx` behind.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = target(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    // In the same directory: rename does not cross file systems. 0600: only the owner can read the
    // file until `mode` is set.
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{}.", name.to_string_lossy()))
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    // The rename is durable only after an fsync of the directory.
    File::open(dir)?.sync_all()
}

/// Resolves the symbolic links of the last component.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            // No link (EINVAL), or missing. Writing reports any other error.
            Err(_) => return Ok(path),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_content_and_mode_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a file");
        for (bytes, mode) in [(&b"one"[..], 0o600), (b"", 0o666), (b"three", 0o640)] {
            replace(&file, bytes, mode).unwrap();
            assert_eq!(fs::read(&file).unwrap(), bytes);
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(names(dir.path()), ["a file"]);
    }

    #[test]
    fn replaces_what_a_link_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("shared")).unwrap();
        symlink("shared/.env", at("second")).unwrap();
        symlink(at("second"), at("first")).unwrap();
        for bytes in [b"dangling", b"existing"] {
            replace(&at("first"), bytes, 0o600).unwrap();
            assert_eq!(fs::read(at("shared/.env")).unwrap(), bytes);
        }
        assert!(at("first").is_symlink() && at("second").is_symlink());
        symlink("round", at("round")).unwrap();
        assert_eq!(replace(&at("round"), b"", 0o600).unwrap_err().raw_os_error(), Some(40));
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            replace(&dir.path().join("no/dir"), b"", 0o600).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        fs::create_dir(dir.path().join("taken")).unwrap();
        assert!(replace(&dir.path().join("taken"), b"", 0o600).is_err());
        assert!(replace(Path::new("/"), b"", 0o600).is_err());
        assert_eq!(names(dir.path()), ["taken"]);
    }
}
