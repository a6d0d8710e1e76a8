//! `metrics.port` in STATE_DIR: the address at which a running `tgs-stream` serves its pages.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tgs_core::files;

/// Longer than any address; further bytes are not read.
const LONGEST: u64 = 64;

/// The file that holds the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressFile(PathBuf);

/// Why the file gives no address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The file does not exist: no `tgs-stream` serves pages for this STATE_DIR.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The file holds no address. Its content may be a secret and is not shown.
    #[error("{} holds no address", .0.display())]
    NoAddress(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl AddressFile {
    /// The address file of the `tgs-stream` with this STATE_DIR.
    #[must_use]
    pub fn in_dir(state_dir: &Path) -> Self {
        Self(state_dir.join("metrics.port"))
    }

    /// An address file at `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the address. The service's user can replace the file, so symlinks are not followed and
    /// a FIFO does not block.
    pub fn read(&self) -> Result<SocketAddr, AddressError> {
        self.text()
            .map_err(|source| self.error(source))
            .and_then(|text| text.trim().parse().map_err(|_| AddressError::NoAddress(self.0.clone())))
    }

    fn text(&self) -> io::Result<String> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(&self.0)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    }

    fn error(&self, source: io::Error) -> AddressError {
        let path = self.0.clone();
        match source.kind() {
            io::ErrorKind::NotFound => AddressError::Missing(path),
            io::ErrorKind::InvalidData => AddressError::NoAddress(path),
            _ => AddressError::Unreadable { path, source },
        }
    }

    /// Writes the address, readable by every user.
    pub fn write(&self, address: SocketAddr) -> io::Result<()> {
        files::replace(&self.0, format!("{address}\n").as_bytes(), 0o644)
    }

    /// Removes the file; a missing file is not an error.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_address_is_written_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = AddressFile::in_dir(dir.path());
        assert!(matches!(file.read(), Err(AddressError::Missing(_))));
        let address = "[::1]:9090".parse().unwrap();
        file.write(address).unwrap();
        assert_eq!(file.read().unwrap(), address);
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o644);
        file.remove().unwrap();
        file.remove().unwrap();
        assert!(!file.path().exists());
    }

    #[test]
    fn a_planted_address_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("secret"), "hidden").unwrap();
        fs::write(at("bytes"), [0xff, 0xfe]).unwrap();
        symlink(at("secret"), at("link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
            .unwrap();
        for (name, words) in [
            ("secret", "holds no address"),
            ("bytes", "holds no address"),
            ("link", "cannot read"),
            ("pipe", "it is not a regular file"),
            ("missing", "does not exist"),
        ] {
            let error = AddressFile::at(at(name)).read().unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hidden"), "{error}");
        }
    }
}
