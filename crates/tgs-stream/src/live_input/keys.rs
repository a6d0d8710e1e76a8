//! The stream keys of publishers: LIVE_KEY and the lines of LIVE_KEYS_FILE. An edited file counts
//! for the next publisher; one that cannot be used is reported, and the keys before stay.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tgs_core::{
    files::{self, FileVersion},
    secret::Secret,
    settings::{KeyError, check_key},
};
use tgs_rtmp::stream_key::StreamKey;

/// The name of LIVE_KEY in log and events.
pub const UNNAMED_KEY: &str = "live";

/// More keys are refused.
const MOST: usize = 200;

/// Longest name, in bytes.
const LONGEST_NAME: usize = 32;

/// A key and its name in log and events.
#[derive(Debug, Clone)]
struct NamedKey {
    name: String,
    key: StreamKey,
}

/// Why the keys cannot be used. Contains none of them.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("LIVE_KEYS_FILE {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Other users can read or write the file.
    #[error("LIVE_KEYS_FILE {} has mode {mode:04o}: others than its owner can reach the keys in it; run: chmod 600 {}",
            path.display(), shell_words::quote(&path.to_string_lossy()))]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line has another form.
    #[error("LIVE_KEYS_FILE {} line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// The problem.
        problem: LineProblem,
    },
    /// No key at all.
    #[error("LIVE_KEYS_FILE {} holds no key; write lines of the form NAME = KEY", .0.display())]
    Empty(PathBuf),
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// No name or no key.
    #[error("must be NAME = KEY")]
    Form,
    /// The name has other characters.
    #[error("the name may have up to {LONGEST_NAME} letters, digits, dots, - and _")]
    Name,
    /// Another line has this name.
    #[error("the name is used twice")]
    Twice,
    /// Another line has this key, or LIVE_KEY.
    #[error("the key is used twice")]
    SameKey,
    /// The key is unusable.
    #[error("the key {0}")]
    Key(#[from] KeyError),
    /// More keys than are read.
    #[error("{MOST} keys are the limit")]
    TooMany,
}

/// The keys in use.
#[derive(Debug)]
pub(super) struct LiveKeys {
    own: Option<NamedKey>,
    file: Option<PathBuf>,
    state: Mutex<(Option<FileVersion>, Vec<NamedKey>)>,
}

impl LiveKeys {
    /// Reads the keys.
    pub(super) fn load(own: Option<&Secret<String>>, file: Option<&Path>) -> Result<Self, KeysError> {
        let own = own.map(|key| NamedKey { name: UNNAMED_KEY.to_owned(), key: StreamKey::new(key.expose()) });
        let version = file.and_then(FileVersion::of);
        let keys = file.map(|file| read(file, own.as_ref())).transpose()?.unwrap_or_default();
        Ok(Self { own, file: file.map(Path::to_owned), state: Mutex::new((version, keys)) })
    }

    /// Whether there is a key with this name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.own.iter().chain(&state.1).any(|known| known.name == name)
    }

    /// The name of `key`, if it is one of the keys. Compares with all of them.
    pub(super) fn name_of(&self, key: &StreamKey) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let now = FileVersion::of(file);
            if now != state.0 {
                state.0 = now;
                match read(file, self.own.as_ref()) {
                    Ok(keys) => {
                        log::info!("{} keys were read from {}", keys.len(), file.display());
                        state.1 = keys;
                    }
                    Err(error) => log::warn!("keeping the stream keys before: {error}"),
                }
            }
        }
        let mut found = None;
        // Each comparison takes the same time, and none is left out.
        for known in self.own.iter().chain(&state.1) {
            if known.key.is(key) {
                found = Some(known.name.clone());
            }
        }
        found
    }
}

fn read(path: &Path, own: Option<&NamedKey>) -> Result<Vec<NamedKey>, KeysError> {
    const OTHERS: u32 = 0o077;
    let failed = |cause| KeysError::Read { path: path.to_owned(), cause };
    let mode = fs::metadata(path).map_err(failed)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeysError::Mode { path: path.to_owned(), mode });
    }
    let text = files::read_text(path).map_err(failed)?;
    let mut keys: Vec<NamedKey> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |problem| KeysError::Line { path: path.to_owned(), line: index + 1, problem };
        let key = parse(line).map_err(refused)?;
        if keys.len() >= MOST {
            return Err(refused(LineProblem::TooMany));
        }
        let mut known = own.into_iter().chain(&keys);
        if known.clone().any(|known| known.name == key.name) {
            return Err(refused(LineProblem::Twice));
        }
        if known.any(|known| known.key == key.key) {
            return Err(refused(LineProblem::SameKey));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(KeysError::Empty(path.to_owned()));
    }
    Ok(keys)
}

/// Reads `NAME = KEY` or `NAME KEY`.
fn parse(line: &str) -> Result<NamedKey, LineProblem> {
    let (name, key) = line
        .split_once('=')
        .or_else(|| line.split_once(char::is_whitespace))
        .map(|(name, key)| (name.trim(), key.trim()))
        .filter(|(name, key)| !name.is_empty() && !key.is_empty())
        .ok_or(LineProblem::Form)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        return Err(LineProblem::Name);
    }
    check_key(key)?;
    Ok(NamedKey { name: name.to_owned(), key: StreamKey::new(key) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ANNA: &str = "anna-0123456789abcdef";
    const OWN: &str = "own-0123456789abcdef";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn load(text: &str, mode: u32) -> Result<LiveKeys, String> {
        let (_dir, path) = file(text, mode);
        let loaded = LiveKeys::load(Some(&Secret::new(OWN.into())), Some(&path));
        loaded.map_err(|error| error.to_string().replace(&path.display().to_string(), "F"))
    }

    #[test]
    fn keys_have_names() {
        let keys =
            load(&format!("# publishers\n\nanna = {ANNA}\nbob\tbob-0123456789abcdef\n"), 0o600).unwrap();
        let name = |key: &str| keys.name_of(&StreamKey::new(key));
        assert_eq!(name(OWN).as_deref(), Some("live"));
        assert_eq!(name(ANNA).as_deref(), Some("anna"));
        assert_eq!(name("bob-0123456789abcdef").as_deref(), Some("bob"));
        assert_eq!(name("carl-0123456789abcdef"), None);
        assert_eq!(name(""), None);
        assert!(!format!("{keys:?}").contains("0123456789"));
    }

    #[test]
    fn a_file_is_refused_by_line_and_never_shows_a_key() {
        for (text, mode, says) in [
            (&*format!("anna = {ANNA}"), 0o640, "LIVE_KEYS_FILE F has mode 0640: others than"),
            ("\nanna", 0o600, "LIVE_KEYS_FILE F line 2: must be NAME = KEY"),
            ("anna =", 0o600, "line 1: must be NAME = KEY"),
            ("an/na = anna-0123456789abcdef", 0o600, "line 1: the name may have"),
            ("anna = s3cr3t", 0o600, "line 1: the key has fewer than 16 characters"),
            (&format!("anna = {ANNA}\nanna = {ANNA}s"), 0o600, "line 2: the name is used twice"),
            (&format!("live = {ANNA}"), 0o600, "line 1: the name is used twice"),
            (&format!("anna = {OWN}"), 0o600, "line 1: the key is used twice"),
            ("# nobody", 0o600, "F holds no key"),
        ] {
            let error = load(text, mode).unwrap_err();
            assert!(
                error.contains(says) && !error.contains("s3cr3t") && !error.contains("0123456789"),
                "{error}"
            );
        }
        let error = LiveKeys::load(None, Some(Path::new("/no/such/keys"))).unwrap_err().to_string();
        assert_eq!(error, "LIVE_KEYS_FILE /no/such/keys: No such file or directory (os error 2)");
    }

    #[test]
    fn an_edited_file_counts_and_a_broken_one_does_not() {
        let (_dir, path) = file(&format!("anna = {ANNA}"), 0o600);
        let keys = LiveKeys::load(None, Some(&path)).unwrap();
        let name = |key: &str| keys.name_of(&StreamKey::new(key));
        fs::write(&path, "anna = short").unwrap();
        assert_eq!(name(ANNA).as_deref(), Some("anna"));
        fs::write(&path, "bob = bob-0123456789abcdef\n").unwrap();
        assert_eq!((name(ANNA), name("bob-0123456789abcdef").as_deref()), (None, Some("bob")));
    }
}
