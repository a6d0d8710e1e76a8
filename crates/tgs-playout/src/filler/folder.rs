//! The files of FILLER.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_rtmp::flv::FlvReader;

/// Limit of the files of a FILLER folder.
pub(super) const MOST_FILES: usize = 20;

/// Files of a folder that are examined.
const MOST_ENTRIES: usize = 10_000;

/// The files of FILLER: itself, or the visible files of the folder, the first [`MOST_FILES`] by
/// name.
pub(super) fn files_of(filler: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(filler) else { return vec![filler.to_owned()] };
    let visible = |path: &PathBuf| {
        path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")) && path.is_file()
    };
    let mut files: Vec<PathBuf> =
        entries.flatten().take(MOST_ENTRIES).map(|entry| entry.path()).filter(visible).collect();
    files.sort();
    files.truncate(MOST_FILES);
    files
}

/// The time of the last tag of an encoded filler.
pub(super) fn length_of(path: &Path) -> Option<Duration> {
    let mut tags = FlvReader::new(BufReader::new(File::open(path).ok()?));
    let mut last = 0;
    while let Some(tag) = tags.next_tag().ok()? {
        last = tag.timestamp.max(last);
    }
    Some(Duration::from_millis(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_first_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        for name in ["c.mp4", "b.mp4", ".hidden.mp4"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(files_of(dir.path()), ["b.mp4", "c.mp4"].map(|name| dir.path().join(name)));
        for n in 10..40 {
            fs::write(dir.path().join(format!("a{n}.mp4")), "x").unwrap();
        }
        let files = files_of(dir.path());
        assert_eq!((files.len(), files[19].clone()), (MOST_FILES, dir.path().join("a29.mp4")));
        assert_eq!(files_of(Path::new("/no/such.mp4")), [PathBuf::from("/no/such.mp4")]);
    }
}
