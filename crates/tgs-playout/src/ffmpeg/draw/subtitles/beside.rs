//! Files with subtitles beside a film: `film.srt`, `film.ru.srt`, `film.ru.forced.ass`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Entries of a folder that are looked at.
const MOST: usize = 100_000;

/// A file with subtitles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SideFile {
    pub(super) path: PathBuf,
    /// The code or name of the language in the file's name.
    pub(super) language: Option<String>,
    /// Whether they translate signs and foreign speech only.
    pub(super) forced: bool,
}

impl SideFile {
    /// The file at `path`, if it belongs to the film `stem`.
    pub(super) fn of(stem: &str, path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let rest = name.strip_prefix(stem).filter(|_| is_subtitles(path))?;
        let (notes, _) = rest.rsplit_once('.')?;
        if !notes.is_empty() && !notes.starts_with('.') {
            return None;
        }
        let (mut language, mut forced) = (None, false);
        for note in notes.split('.').filter(|note| !note.is_empty()) {
            match note.to_ascii_lowercase().as_str() {
                "forced" => forced = true,
                "sdh" | "cc" | "hi" | "default" => {}
                code => language = Some(code.to_owned()),
            }
        }
        Some(Self { path: path.to_owned(), language, forced })
    }
}

/// The files beside the film at `path`, in the order of their names.
pub(super) fn of(path: &Path) -> Vec<SideFile> {
    let (Some(dir), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let named = |entry: fs::DirEntry| SideFile::of(stem, &entry.path());
    let mut found: Vec<SideFile> =
        entries.flatten().take(MOST).filter_map(named).filter(|file| file.path.is_file()).collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// What a cache key adds for the files beside the film at `path`: their names, sizes and times.
pub(crate) fn identity(path: &Path) -> String {
    let describe = |file: SideFile| {
        let meta = file.path.metadata().ok()?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(format!(" {} {} {}", file.path.display(), meta.len(), changed.as_nanos()))
    };
    of(path).into_iter().filter_map(describe).collect()
}

/// Whether `path` has an extension of subtitles.
fn is_subtitles(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["srt", "ass", "ssa", "vtt"].iter().any(|known| end == *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_language_and_kind() {
        let of = |name: &str| {
            SideFile::of("My film", Path::new(name))
                .map(|file| (file.language.unwrap_or_default(), file.forced))
        };
        assert_eq!(of("My film.srt"), Some((String::new(), false)));
        assert_eq!(of("My film.ru.SRT"), Some(("ru".into(), false)));
        assert_eq!(of("My film.RU.forced.ass"), Some(("ru".into(), true)));
        assert_eq!(of("My film.en.sdh.vtt"), Some(("en".into(), false)));
        for name in ["My film 2.srt", "My film.mp4", "Other.srt", "My film"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
