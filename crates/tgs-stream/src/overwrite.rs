//! Refuses an output file that holds something else than an older recording: a source, a list, or a
//! file that a setting names.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tgs_core::settings::Settings;

use crate::{
    cli::Cli,
    playlist::Listing,
    source::{self, EntryKind},
};

/// The signature of FLV.
const FLV: &[u8] = b"FLV";

/// The signature of PNG.
const PNG: &[u8] = b"\x89PNG";

/// Device and inode.
type FileId = (u64, u64);

/// Why an output file must not be written. The text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OverwriteRefused {
    #[error("it is a directory")]
    Directory,
    /// The file's role, as a sentence.
    #[error("{role}; writing would destroy it: name another file")]
    InUse { role: String },
    #[error("it exists and cannot be read ({0}): remove it, or name another file")]
    Unreadable(io::Error),
    #[error("it exists and is not an FLV file: remove it, or name another file")]
    NotFlv,
    #[error("it exists and is not a PNG file: remove it, or name another file")]
    NotPng,
}

/// Refuses `output` if it exists and is not an older recording.
///
/// An unreadable playlist's entries are unknown, so they are not protected.
pub(crate) fn refuse(output: &Path, cli: &Cli, settings: &Settings) -> Result<(), OverwriteRefused> {
    refuse_unless(output, (FLV, OverwriteRefused::NotFlv), cli, settings)
}

/// Refuses `output` if it exists and is not an older picture.
pub(crate) fn refuse_picture(output: &Path, cli: &Cli, settings: &Settings) -> Result<(), OverwriteRefused> {
    refuse_unless(output, (PNG, OverwriteRefused::NotPng), cli, settings)
}

fn refuse_unless(
    output: &Path,
    (signature, other): (&[u8], OverwriteRefused),
    cli: &Cli,
    settings: &Settings,
) -> Result<(), OverwriteRefused> {
    let meta = match fs::metadata(output) {
        Ok(meta) if meta.is_dir() => return Err(OverwriteRefused::Directory),
        // A device or a pipe stores nothing.
        Ok(meta) if meta.is_file() && meta.len() > 0 => meta,
        _ => return Ok(()),
    };
    let id = (meta.dev(), meta.ino());
    if let Some(role) = protected_files(cli, settings).remove(&id) {
        return Err(OverwriteRefused::InUse { role });
    }
    let mut start = vec![0; signature.len()];
    let read = File::open(output).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) if start == signature => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            Err(OverwriteRefused::Unreadable(error))
        }
        _ => Err(other),
    }
}

/// The files that are played or that a setting names, each with its role.
fn protected_files(cli: &Cli, settings: &Settings) -> HashMap<FileId, String> {
    let mut files = HashMap::new();
    let mut add = |path: &Path, role: String| {
        if let Ok(meta) = fs::metadata(path) {
            files.entry((meta.dev(), meta.ino())).or_insert(role);
        }
    };
    let playlist = cli.playlist_file(settings);
    let env_file = cli.env_file_path();
    let settings_files = [
        (playlist.as_deref(), "the playlist"),
        (Some(&*env_file), "the settings file"),
        (settings.filler.as_deref(), "FILLER"),
        (settings.look.logo.as_ref().map(|logo| &*logo.file), "LOGO"),
        (settings.metrics_file.as_deref(), "METRICS_FILE"),
        (Some(&*settings.ffmpeg_path), "FFMPEG_PATH"),
        (Some(&*settings.ytdlp_path), "YTDLP_PATH"),
    ];
    for (path, what) in settings_files {
        if let Some(path) = path {
            add(path, format!("it is also {what}"));
        }
    }
    let fillers = settings.filler.as_deref().and_then(|dir| fs::read_dir(dir).ok());
    for file in fillers.into_iter().flatten().flatten() {
        add(&file.path(), "it is also a file of FILLER".to_owned());
    }
    let sources = cli.sources.iter().chain(&cli.preview).cloned().map(Into::into).collect();
    let listed = Listing::new(sources, playlist).read().unwrap_or_default();
    for one in source::expand(&listed) {
        let origin = one.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        if let EntryKind::File(path) = &one.kind {
            add(path, format!("it is also a source{origin}"));
        }
        if let Some(EntryKind::File(path)) = one.sound.as_deref() {
            add(path, format!("it is also the sound of a source{origin}"));
        }
        if let Some(origin) = &one.origin {
            add(&origin.list, "it is also a list that is played".to_owned());
        }
    }
    for one in &listed {
        add(&one.dir.join(&one.text), "it is also a source".to_owned());
    }
    for (dir, what) in [(&settings.cache_dir, "CACHE_DIR"), (&settings.state_dir, "STATE_DIR")] {
        for file in directory_files(dir) {
            add(&file, format!("it belongs to {what} ({})", file.display()));
        }
    }
    files
}

/// The files of `dir` and its subdirectories, except recordings, recognised by name.
fn directory_files(dir: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).map(|found| found.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
    };
    let (dirs, mut files): (Vec<_>, Vec<_>) = list(dir).into_iter().partition(|path| path.is_dir());
    files.extend(dirs.iter().flat_map(|dir| list(dir)).filter(|path| !path.is_dir()));
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("filler-") || !name.to_ascii_lowercase().ends_with(".flv")
    });
    files
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use clap::Parser;

    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
    }

    impl Scene {
        /// A folder, a list in a list, and files that start as recordings do.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let scene = Self { dir };
            for name in ["films", "cache/items", "state"] {
                fs::create_dir_all(scene.at(name)).unwrap();
            }
            for name in [
                "a.flv",
                "films/b.flv",
                "listed.flv",
                "queued in a list.flv",
                "filler.flv",
                "old.flv",
                "cache/filler-1.flv",
                "cache/items/entry",
            ] {
                fs::write(scene.at(name), "FLV\x01 and more").unwrap();
            }
            fs::write(scene.at("list.txt"), "listed.flv\nfilms\ninner.m3u\n").unwrap();
            fs::write(scene.at("inner.m3u"), "queued in a list.flv\n").unwrap();
            fs::write(scene.at("text.flv"), "dear diary").unwrap();
            fs::write(scene.at("short.flv"), "F").unwrap();
            fs::write(scene.at("empty.flv"), "").unwrap();
            fs::write(scene.at(".env"), "LOOP=1\n").unwrap();
            scene
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn refused(&self, output: &Path) -> Option<String> {
            let text = |name: &str| self.at(name).to_str().unwrap().to_owned();
            let (list, env) = (text("list.txt"), text(".env"));
            let source = text("a.flv");
            let cli = Cli::try_parse_from(["tgs-stream", "--playlist", &list, "--env-file", &env, &source])
                .unwrap();
            let given = [
                ("PLAYLIST", list.clone()),
                ("FILLER", text("filler.flv")),
                ("CACHE_DIR", text("cache")),
                ("STATE_DIR", text("state")),
            ];
            let look = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
            refuse(output, &cli, &Settings::load(Some(&self.at(".env")), &look, &[]).unwrap())
                .err()
                .map(|refused| refused.to_string())
        }
    }

    #[test]
    fn sources_and_settings_files_are_not_overwritten_under_any_name() {
        let scene = Scene::new();
        for (name, why) in [
            ("a.flv", "it is also a source"),
            ("films/b.flv", "it is also a source (line 2 of "),
            ("listed.flv", "it is also a source (line 1 of "),
            ("queued in a list.flv", "it is also a source (line 1 of "),
            ("filler.flv", "it is also FILLER"),
            ("list.txt", "it is also the playlist"),
            ("inner.m3u", "it is also a list that is played"),
            (".env", "it is also the settings file"),
            ("cache/filler-1.flv", "it belongs to CACHE_DIR"),
            ("cache/items/entry", "it belongs to CACHE_DIR"),
        ] {
            let (link, hard) = (scene.at("link.flv"), scene.at("hard.flv"));
            symlink(scene.at(name), &link).unwrap();
            fs::hard_link(scene.at(name), &hard).unwrap();
            for output in [scene.at(name), link.clone(), hard.clone(), scene.at("films/..").join(name)] {
                let refused =
                    scene.refused(&output).unwrap_or_else(|| panic!("{} is taken", output.display()));
                assert!(refused.starts_with(why), "{name}: {refused}");
                assert!(refused.ends_with("writing would destroy it: name another file"), "{refused}");
            }
            fs::remove_file(link).unwrap();
            fs::remove_file(hard).unwrap();
        }
    }

    #[test]
    fn only_an_older_recording_is_overwritten() {
        let scene = Scene::new();
        for name in ["old.flv", "new.flv", "empty.flv", "films/new.flv"] {
            assert_eq!(scene.refused(&scene.at(name)), None, "{name}");
        }
        assert_eq!(scene.refused(Path::new("/dev/null")), None);
        for name in ["text.flv", "short.flv"] {
            let refused = scene.refused(&scene.at(name)).unwrap();
            assert!(refused.starts_with("it exists and is not an FLV file"), "{name}: {refused}");
        }
        assert_eq!(scene.refused(&scene.at("films")).as_deref(), Some("it is a directory"));
    }
}
