//! Bounded, non-blocking reads of files that another user may have planted. [`replace()`] writes.

pub mod lock;
mod replace;
pub mod shared_dir;
mod version;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use self::{replace::replace, version::FileVersion};

/// O_NONBLOCK: the path may be a FIFO planted by another user.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Limit of [`read`], in bytes.
const LONGEST: u64 = 16 << 20;

/// Reads the file at `path`, up to 16 MiB. Never blocks: a FIFO or socket is an error.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return Err(io::Error::other("it is a pipe, not a file"));
    }
    whole(file, LONGEST)
}

/// Opens the regular file at `path` for reading. Never blocks; rejects FIFOs, devices and
/// directories.
pub fn open_regular(path: &Path) -> io::Result<File> {
    regular(File::options().read(true).custom_flags(NONBLOCK).open(path)?)
}

/// Reads the regular file at `path`, up to `most` bytes. Never blocks, like [`open_regular`].
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    whole(open_regular(path)?, most)
}

/// Reads the text of a small regular file, such as the tools' state: up to 64 KiB.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_regular(path, 64 << 10)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
}

/// Reads the pipe at `path` until its writer closes it, for at most `limit` and up to `most` bytes.
pub fn read_pipe(path: &Path, most: u64, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let file = File::options().read(true).custom_flags(NONBLOCK).open(path)?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    while bytes.len() as u64 <= most {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match (&file).read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Err(too_large(most))
}

fn regular(file: File) -> io::Result<File> {
    let kind = file.metadata()?.file_type();
    let other = match kind {
        _ if kind.is_file() => return Ok(file),
        _ if kind.is_dir() => "directory",
        _ if kind.is_fifo() || kind.is_socket() => "pipe",
        _ => "device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is a {other}, not a file")))
}

fn whole(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(bytes)
}

fn too_large(most: u64) -> io::Error {
    let most = if most < 1 << 20 { format!("{} KiB", most >> 10) } else { format!("{} MiB", most >> 20) };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is over {most}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, os::unix::fs::symlink, path::PathBuf};

    use super::*;

    #[test]
    fn opening_a_fifo_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file) = (dir.path().join("pipe"), dir.path().join("file"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        fs::write(&file, "x").unwrap();
        assert_eq!(read(&pipe).unwrap_err().to_string(), "it is a pipe, not a file");
        assert_eq!(read(&file).unwrap(), b"x");
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().to_string(), "it is over 16 MiB");
        assert_eq!(read(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(read(dir.path()).is_err());
    }

    #[test]
    fn only_regular_files_are_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        fs::write(at("large"), vec![b' '; 70 << 10]).unwrap();
        fs::write(at("bytes"), [0xFF]).unwrap();
        assert_eq!(read_text(&at("file")).unwrap(), "text");
        assert_eq!(read_text(&at("link")).unwrap(), "text");
        assert_eq!(read_regular(&at("file"), 4).unwrap(), b"text");
        let words = |path: &Path| read_text(path).unwrap_err().to_string();
        assert_eq!(words(&at("pipe")), "it is a pipe, not a file");
        assert_eq!(words(dir.path()), "it is a directory, not a file");
        assert_eq!(words(Path::new("/dev/zero")), "it is a device, not a file");
        assert_eq!(words(&at("large")), "it is over 64 KiB");
        assert_eq!(words(&at("bytes")), "it is no text");
        assert_eq!(read_regular(&at("file"), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_text(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read(at("file")).unwrap(), b"text");
    }

    #[test]
    fn a_pipe_is_read_until_it_is_closed_and_not_for_ever() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
        writer.write_all(b"a\nb").unwrap();
        let error = read_pipe(&path, 100, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let write = std::thread::spawn(move || writer.write_all(b"c\n"));
        assert_eq!(read_pipe(&path, 100, Duration::from_mins(1)).unwrap(), b"c\n");
        write.join().unwrap().unwrap();
        let endless = read_pipe(Path::new("/dev/zero"), 100, Duration::from_mins(1)).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
    }
}
