//! Generated files in the encoders' scratch directory, named by their content: encoders that run
//! side by side never overwrite each other's file, and need no quoted paths.

use std::{
    fs, io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use tgs_core::{digest, files};

/// Files of one kind that are kept. Each encoder opens its files when it starts, and fewer than ten
/// run at once.
const KEPT: usize = 64;

/// Bytes of the files of one kind that are kept.
const KEPT_BYTES: u64 = 256 << 20;

/// Writes `content` into `scratch`, as `KIND-DIGEST.EXTENSION`, unless it is there. Returns the
/// name.
pub(crate) fn write(scratch: &Path, kind: &str, extension: &str, content: &[u8]) -> io::Result<String> {
    let name = format!("{kind}-{}.{extension}", &digest::key([content])[..24]);
    let path = scratch.join(&name);
    if !touch(&path) {
        files::replace(&path, content, 0o644)?;
        forget_old(scratch, kind);
    }
    Ok(name)
}

/// Marks the file as used now. `false` if it does not exist.
pub(crate) fn touch(path: &Path) -> bool {
    fs::File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now())).is_ok()
}

/// Removes the files of this kind that were used longest ago. A failure only leaves files behind.
pub(crate) fn forget_old(scratch: &Path, kind: &str) {
    let Ok(entries) = fs::read_dir(scratch) else { return };
    let prefix = format!("{kind}-");
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| {
            // A folder is as old as its script.
            let meta = fs::metadata(entry.path().join("script.ass")).or_else(|_| entry.metadata());
            let used = meta.and_then(|meta| meta.modified());
            (std::cmp::Reverse(used.unwrap_or(UNIX_EPOCH)), entry.path())
        })
        .collect();
    found.sort();
    let mut bytes = 0;
    for (number, (_, path)) in found.iter().enumerate() {
        bytes += size(path);
        if number == 0 || number < KEPT && bytes <= KEPT_BYTES {
            continue;
        }
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// The bytes of a file, or of the files of a folder.
fn size(path: &Path) -> u64 {
    let of = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| of(&entry.path())).sum(),
        Err(_) => of(path),
    }
}

/// Removes half-made files of a process that was killed.
pub(crate) fn sweep(scratch: &Path) {
    let Ok(entries) = fs::read_dir(scratch) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".")) {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_content_have_other_names_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let write = |content: &str| write(dir.path(), "text", "ass", content.as_bytes()).unwrap();
        let (one, two) = (write("1"), write("2"));
        assert_ne!(one, two);
        assert_eq!(write("1"), one);
        assert_eq!(fs::read_to_string(dir.path().join(&two)).unwrap(), "2");
        for number in 0..KEPT * 2 {
            write(&format!("more {number}"));
        }
        assert!(fs::read_dir(dir.path()).unwrap().count() <= KEPT);
        fs::create_dir(dir.path().join(".text-half")).unwrap();
        fs::write(dir.path().join(".text-half/a"), "x").unwrap();
        let count = fs::read_dir(dir.path()).unwrap().count();
        sweep(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), count - 1);
    }

    #[test]
    fn large_files_go_earlier() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..4_u64 {
            let folder = dir.path().join(format!("subtitles-{number}"));
            fs::create_dir(&folder).unwrap();
            let file = fs::File::create(folder.join("script.ass")).unwrap();
            file.set_len(100 << 20).unwrap();
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(number)).unwrap();
        }
        forget_old(dir.path(), "subtitles");
        let kept = |number: u64| dir.path().join(format!("subtitles-{number}")).exists();
        assert_eq!([0, 1, 2, 3].map(kept), [false, false, true, true]);
    }
}
