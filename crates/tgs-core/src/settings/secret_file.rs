//! Secrets from files: `NAME_FILE` names the file that holds the value of the secret NAME, as
//! containers mount them. Does not write: [`super::MountedSession`] does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Setting, TABLE};
use crate::files;

/// Follows the name of a secret setting.
const SUFFIX: &str = "_FILE";
/// Limit of a secret, in bytes; a session string has about 350.
const MOST: u64 = 64 << 10;

/// A value, and where it comes from, for messages.
pub(super) type Found = (String, String);

/// The variable that names the file of the secret `name`.
pub(super) fn variable(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// The variables that a child of this project needs to find the same settings: all but the values
/// of secrets, whose files are named.
pub fn inherited() -> impl Iterator<Item = String> {
    TABLE.iter().map(|setting| if setting.secret { variable(setting.name) } else { setting.name.to_owned() })
}

/// Whether `name` is such a variable of a secret in `table`.
pub(super) fn is_variable(table: &[Setting], name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|name| is_secret(table, name))
}

/// Whether `name` is a secret setting of `table`.
pub(super) fn is_secret(table: &[Setting], name: &str) -> bool {
    table.iter().any(|setting| setting.secret && setting.name == name)
}

/// The value of a secret: `value`, as it is set, or the content of the file that `file` names. A
/// relative path is relative to `dir`. The problem never contains a value.
pub(super) fn resolve(
    value: Option<Found>,
    file: Option<Found>,
    dir: &Path,
) -> Result<Option<Found>, String> {
    let Some((path, shown)) = file else { return Ok(value) };
    if let Some((_, beside)) = value {
        return Err(format!("{shown} and {beside} are both set: remove one of them"));
    }
    let content = read(&dir.join(&path)).map_err(|why| format!("{shown} names {path}, {why}"))?;
    Ok(Some((content, format!("the content of {path}, which {shown} names,")))
        .filter(|(it, _)| !it.is_empty()))
}

/// What must be hidden from children, so that they cannot read the secrets in `files`: each file,
/// and the directory of a Kubernetes volume, whose links lead to another place after each change.
pub fn hidden_places(files: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    files.iter().map(|file| match (fs::read_link(file), file.parent()) {
        (Ok(target), Some(volume)) if target.starts_with("..data") => volume.to_owned(),
        _ => file.clone(),
    })
}

/// Reads a secret, without one line break at its end.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let bytes = files::read_regular(path, MOST).map_err(|error| {
        format!("which cannot be read: {error}; put the secret there, readable by the user of this process")
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| "which is not UTF-8 text; put the value alone into it".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_line_break_is_no_part_of_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        for (content, expected) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")]
        {
            fs::write(&file, content).unwrap();
            assert_eq!(read(&file).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("bytes"), b"hidden\xff").unwrap();
        fs::write(at("large"), vec![b'h'; (64 << 10) + 1]).unwrap();
        for (name, words) in [
            ("bytes", "is not UTF-8 text"),
            ("large", "it is over 64 KiB"),
            ("missing", "No such file"),
            (".", "it is a directory, not a file"),
        ] {
            let found = resolve(None, Some((name.into(), "X_FILE".into())), dir.path());
            let why = found.unwrap_err();
            assert!(why.starts_with(&format!("X_FILE names {name}, which ")), "{why}");
            assert!(why.contains(words) && !why.contains("hidden"), "{why}");
        }
    }

    #[test]
    fn a_volume_of_kubernetes_is_hidden_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), "x").unwrap();
        symlink("..data/session", at("session")).unwrap();
        symlink("plain", at("link")).unwrap();
        let hidden: Vec<_> = hidden_places(&[at("plain"), at("session"), at("link")]).collect();
        assert_eq!(hidden, [at("plain"), dir.path().to_owned(), at("link")]);
    }
}
