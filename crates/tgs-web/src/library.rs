//! The files that the desk may queue: media below `LIBRARY_DIRS`, links resolved. Opens no file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Extensions of media. A list is not among them: its lines could name any file.
const MEDIA: [&str; 46] = [
    "3g2", "3gp", "aac", "ac3", "aif", "aiff", "asf", "avi", "bmp", "eac3", "f4v", "flac", "flv", "gif",
    "jpeg", "jpg", "m1v", "m2t", "m2ts", "m2v", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp2", "mp3",
    "mp4", "mpeg", "mpg", "mts", "mxf", "nut", "oga", "ogg", "ogv", "opus", "png", "ts", "vob", "wav",
    "webm", "webp", "wma", "wmv",
];

/// Deepest folder of a search.
const DEEPEST: usize = 16;
/// Most entries that a search looks at.
const MOST_SEEN: usize = 200_000;
/// Most results of a search.
const MOST_FOUND: usize = 100;
/// Time limit of a search.
const LIMIT: Duration = Duration::from_secs(3);

/// The directories of the library.
#[derive(Debug, Clone, Default)]
pub(crate) struct Library(Vec<PathBuf>);

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathRefused {
    /// No directory is set.
    #[error("LIBRARY_DIRS is not set in /etc/tgs/web.env, so no file can be added from here")]
    NoLibrary,
    /// The path lies elsewhere, or does not exist: the answer is the same.
    #[error("there is no such file in the library (LIBRARY_DIRS), or tgs-web may not read its folder")]
    NotThere,
    /// The file is no media.
    #[error("this is not a media file; lists and folders belong into the playlist")]
    NotMedia,
    /// The name cannot stand in a line.
    #[error("the file's name contains a control character or is not UTF-8; rename it")]
    Name,
}

/// What a search finds.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// The paths.
    pub(crate) paths: Vec<String>,
    /// Whether the search stopped at one of its limits.
    pub(crate) more: bool,
}

impl Library {
    /// The library in `dirs`.
    pub(crate) fn new(dirs: Vec<PathBuf>) -> Self {
        Self(dirs)
    }

    /// Whether a directory is set.
    pub(crate) fn exists(&self) -> bool {
        !self.0.is_empty()
    }

    /// The directories as they are set.
    pub(crate) fn dirs(&self) -> &[PathBuf] {
        &self.0
    }

    /// The file that `path` leads to, if it is media and lies in the library.
    pub(crate) fn resolve(&self, path: &str) -> Result<String, PathRefused> {
        if !self.exists() {
            return Err(PathRefused::NoLibrary);
        }
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(PathRefused::NotThere);
        }
        let file = fs::canonicalize(path).map_err(|_| PathRefused::NotThere)?;
        if !self.roots().iter().any(|root| file.starts_with(root)) {
            return Err(PathRefused::NotThere);
        }
        if !is_media(&file) || !fs::metadata(&file).is_ok_and(|meta| meta.is_file()) {
            return Err(PathRefused::NotMedia);
        }
        let text = file.to_str().filter(|text| !text.contains(char::is_control));
        text.map(str::to_owned).ok_or(PathRefused::Name)
    }

    /// The files whose paths contain all `words`, in any case.
    pub(crate) fn search(&self, words: &str) -> Findings {
        let words: Vec<_> = words.split_whitespace().map(str::to_lowercase).collect();
        let deadline = Instant::now() + LIMIT;
        let (mut found, mut seen) = (Findings::default(), 0);
        let mut folders: Vec<_> = self.roots().into_iter().rev().map(|root| (root, 0)).collect();
        while let Some((folder, depth)) = folders.pop() {
            let mut entries: Vec<_> =
                fs::read_dir(&folder).into_iter().flatten().flatten().take(MOST_SEEN).collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            let mut below = Vec::new();
            for entry in entries {
                seen += 1;
                if seen > MOST_SEEN || Instant::now() > deadline || found.paths.len() >= MOST_FOUND {
                    found.more = true;
                    return found;
                }
                let Ok(kind) = entry.file_type() else { continue };
                let path = entry.path();
                if kind.is_dir() {
                    // Links to folders are not followed: they may lead in a circle.
                    if depth < DEEPEST {
                        below.push((path, depth + 1));
                    }
                    continue;
                }
                let lower = path.to_string_lossy().to_lowercase();
                if is_media(&path) && words.iter().all(|word| lower.contains(word)) {
                    found.paths.extend(path.to_str().and_then(|path| self.resolve(path).ok()));
                }
            }
            folders.extend(below.into_iter().rev());
        }
        found.paths.dedup();
        found
    }

    /// The directories with their links resolved; those that are missing are left out.
    fn roots(&self) -> Vec<PathBuf> {
        self.0.iter().filter_map(|dir| fs::canonicalize(dir).ok()).collect()
    }
}

fn is_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| MEDIA.contains(&&*extension.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn library() -> (tempfile::TempDir, Library) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["media/films", "media-old", "secret"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["media/films/Summer Day.mp4", "media/list.m3u", "media-old/b.mp4", "secret/c.mp4"] {
            fs::write(at(file), "").unwrap();
        }
        symlink("films/Summer Day.mp4", at("media/inside.mkv")).unwrap();
        symlink(at("secret/c.mp4"), at("media/outside.mp4")).unwrap();
        symlink(at("secret"), at("media/away")).unwrap();
        symlink(at("media"), at("media/films/round")).unwrap();
        let library = Library::new(vec![at("media"), at("missing")]);
        (dir, library)
    }

    #[test]
    fn only_media_below_the_directories_is_found_whatever_the_path_looks_like() {
        let (dir, library) = library();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let film = fs::canonicalize(at("media/films/Summer Day.mp4")).unwrap().to_str().unwrap().to_owned();
        for good in ["media/films/Summer Day.mp4", "media/inside.mkv", "media/films/../films/Summer Day.mp4"]
        {
            let expected = if good.ends_with("mkv") { Err(PathRefused::NotMedia) } else { Ok(film.clone()) };
            let found = library.resolve(&at(good));
            assert!(found == expected || found == Ok(film.clone()), "{good}: {found:?}");
        }
        for bad in [
            "secret/c.mp4",
            "media/../secret/c.mp4",
            "media/films/../../secret/c.mp4",
            "media/outside.mp4",
            "media/away/c.mp4",
            "media-old/b.mp4",
            "media/%2e%2e/secret/c.mp4",
            "media/none.mp4",
            "media/films/Summer Day.mp4\0",
            "media/films/Summer Day.mp4\n/etc/passwd",
        ] {
            assert_eq!(library.resolve(&at(bad)), Err(PathRefused::NotThere), "{bad}");
        }
        for bad in ["", "films/Summer Day.mp4", "../secret/c.mp4", "file:///etc/passwd", "concat:/etc/passwd"]
        {
            assert_eq!(library.resolve(bad), Err(PathRefused::NotThere), "{bad}");
        }
        assert_eq!(library.resolve(&at("media/list.m3u")), Err(PathRefused::NotMedia));
        assert_eq!(library.resolve(&at("media/films")), Err(PathRefused::NotMedia));
        assert_eq!(Library::default().resolve(&at("media/inside.mkv")), Err(PathRefused::NoLibrary));
    }

    #[test]
    fn a_search_finds_all_words_and_leaves_the_library_by_no_link() {
        let (_dir, library) = library();
        let found = library.search("DAY summer");
        assert_eq!((found.paths.len(), found.more), (1, false));
        assert!(found.paths[0].ends_with("/media/films/Summer Day.mp4"), "{found:?}");
        assert_eq!(library.search("c.mp4"), Findings::default());
        assert!(library.search("").paths.iter().all(|path| path.contains("/media/")));
    }
}
