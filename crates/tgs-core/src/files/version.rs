//! Tells whether a file was changed or replaced.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// A version of a file: two that are equal have the same content, unless somebody sets the clock
/// back and writes as many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    /// The version of the file or directory at `path`, links followed; `None` without one.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        Some(Self::from(&fs::metadata(path).ok()?))
    }

    /// The version of the regular file at `path`; `None` without one, as between two steps of an
    /// editor.
    #[must_use]
    pub fn of_regular(path: &Path) -> Option<Self> {
        Some(Self::from(&fs::metadata(path).ok().filter(fs::Metadata::is_file)?))
    }
}

impl From<&fs::Metadata> for FileVersion {
    fn from(meta: &fs::Metadata) -> Self {
        Self {
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_a_replacement_and_a_link_elsewhere_are_other_versions() {
        let dir = tempfile::tempdir().unwrap();
        let [path, other, link] = ["a", "b", "link"].map(|name| dir.path().join(name));
        assert_eq!(FileVersion::of(&path), None);
        assert!(FileVersion::of(dir.path()).is_some() && FileVersion::of_regular(dir.path()).is_none());
        fs::write(&path, "1").unwrap();
        let first = FileVersion::of(&path);
        assert_eq!((first, FileVersion::of_regular(&path)), (FileVersion::of(&path), first));
        fs::write(&path, "12").unwrap();
        let second = FileVersion::of(&path);
        assert_ne!(first, second);
        fs::write(&other, "12").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(FileVersion::of(&link), second);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert_ne!(FileVersion::of(&link), second);
        fs::rename(&other, &path).unwrap();
        assert_ne!(FileVersion::of(&path), second);
    }
}
