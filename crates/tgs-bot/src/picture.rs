//! The picture that is on air: the newest keyframe of the broadcast's monitor, as JPEG. Each takes
//! one run of ffmpeg, bounded in time and size; one at a time of a channel, and few at all.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Read,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tgs_control::{
    ControlClient,
    method::{Call, MonitorFormat, NoParams},
};
use tgs_core::{cancel::Cancel, process};

/// Time limit for the first keyframe: groups of pictures last about two seconds.
const FIRST_KEYFRAME: Duration = Duration::from_secs(5);
/// Bytes that are read for a keyframe at most.
const LONGEST: usize = 8 << 20;
/// Time limit of ffmpeg.
const DECODING: Duration = Duration::from_secs(10);
/// Largest picture in bytes.
const LARGEST: usize = 2 << 20;
/// Pictures at once; a thread that waits for one answers nothing else.
const AT_ONCE: usize = 2;
/// Widest picture; Telegram shows photos with up to 1280 columns.
const SCALE: &str = "scale='min(1280,iw)':-2";

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPicture {
    #[error("another picture is being taken")]
    Busy,
    #[error("the broadcast sends no picture: {0}")]
    NothingSent(String),
    #[error("ffmpeg: {0}; check that it is installed: ffmpeg -version")]
    Ffmpeg(String),
}

/// Takes pictures.
#[derive(Debug)]
pub(crate) struct PictureTaker {
    /// Where ffmpeg reads from and may write to.
    scratch: PathBuf,
    /// The sockets of which a picture is being taken.
    busy: Mutex<BTreeSet<PathBuf>>,
    cancel: Cancel,
}

impl PictureTaker {
    pub(crate) fn new(scratch: PathBuf, cancel: Cancel) -> Self {
        Self { scratch, busy: Mutex::default(), cancel }
    }

    /// The picture that the broadcast at `socket` sends now.
    pub(crate) fn take(&self, socket: &Path, name: &str) -> Result<Vec<u8>, NoPicture> {
        {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if busy.len() >= AT_ONCE || !busy.insert(socket.to_owned()) {
                return Err(NoPicture::Busy);
            }
        }
        let _busy = Busy { taker: self, socket };
        let refused = |error: &dyn std::fmt::Display| NoPicture::NothingSent(error.to_string());
        let mut client = ControlClient::connect(socket, name).map_err(|error| refused(&error))?;
        let _: MonitorFormat = client.get(&Call::Monitor(NoParams {})).map_err(|error| refused(&error))?;
        let (received, stream) = client.into_stream();
        let flv = first_picture(received, &stream).map_err(|error| refused(&error))?;
        self.decode(&flv).map_err(NoPicture::Ffmpeg)
    }

    fn decode(&self, flv: &[u8]) -> Result<Vec<u8>, String> {
        let file = tempfile::Builder::new().prefix("picture-").suffix(".flv").tempfile_in(&self.scratch);
        let file = file.map_err(|error| format!("{}: {error}", self.scratch.display()))?;
        fs::write(file.path(), flv).map_err(|error| format!("{}: {error}", file.path().display()))?;
        let mut command = process::command("ffmpeg");
        command.current_dir(&self.scratch).args(["-nostdin", "-v", "error", "-threads", "1"]);
        command.args(["-protocol_whitelist", "file", "-format_whitelist", "flv", "-i"]).arg(file.path());
        command.args(["-map", "0:v:0", "-frames:v", "1", "-vf", SCALE, "-pix_fmt", "yuvj420p"]);
        command.args(["-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "pipe:1"]);
        let done =
            process::output(command, DECODING, LARGEST, &self.cancel).map_err(|error| error.to_string())?;
        if done.status.success() && done.stdout.starts_with(&[0xff, 0xd8]) {
            return Ok(done.stdout);
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(said.lines().last().unwrap_or("no picture").to_owned())
    }
}

/// Marks a channel as free again.
struct Busy<'a> {
    taker: &'a PictureTaker,
    socket: &'a Path,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.taker.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(self.socket);
    }
}

/// The beginning of a monitor's stream up to the end of its first keyframe.
fn first_picture(mut received: Vec<u8>, mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + FIRST_KEYFRAME;
    let mut chunk = vec![0; 64 << 10];
    loop {
        if let Some(end) = end_of_keyframe(&received) {
            received.truncate(end);
            return Ok(received);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no keyframe within 5 s"));
        }
        if received.len() > LONGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "no keyframe within 8 MiB"));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream has ended")),
            Ok(read) => received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The deadline decides.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the first whole keyframe of H.264 ends in an FLV file.
fn end_of_keyframe(flv: &[u8]) -> Option<usize> {
    const FILE_HEADER: usize = 13;
    const TAG_HEADER: usize = 11;
    const VIDEO: u8 = 9;
    let mut at = FILE_HEADER;
    loop {
        let header = flv.get(at..at + TAG_HEADER)?;
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let body = flv.get(at + TAG_HEADER..at + TAG_HEADER + length)?;
        // The length of the tag follows it.
        at += TAG_HEADER + length + 4;
        if header[0] == VIDEO && body.starts_with(&[0x17, 1]) {
            return (flv.len() >= at).then_some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut tag = vec![kind, 0, 0, body.len() as u8, 0, 0, 0, 0, 0, 0, 0];
        tag.extend(body);
        tag.extend((body.len() as u32 + 11).to_be_bytes());
        tag
    }

    #[test]
    fn the_first_keyframe_is_found_in_whole_tags_only() {
        let header = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        let before = [header, tag(9, &[0x17, 0, 1]), tag(8, &[0x17, 1]), tag(9, &[0x27, 1, 0])].concat();
        assert_eq!(end_of_keyframe(&before), None);
        let whole = [before, tag(9, &[0x17, 1, 0, 7])].concat();
        for length in 0..whole.len() {
            assert_eq!(end_of_keyframe(&whole[..length]), None, "{length}");
        }
        assert_eq!(end_of_keyframe(&[&whole[..], b"more"].concat()), Some(whole.len()));
    }

    #[test]
    fn one_picture_of_a_channel_and_few_at_all() {
        let taker = PictureTaker::new(PathBuf::new(), Cancel::new());
        for socket in ["/none/a", "/none/b"] {
            taker.busy.lock().unwrap().insert(socket.into());
        }
        for socket in ["/none/a", "/none/c"] {
            assert_eq!(taker.take(Path::new(socket), "x"), Err(NoPicture::Busy));
        }
        taker.busy.lock().unwrap().remove(Path::new("/none/b"));
        let missing = taker.take(Path::new("/none/c"), "x");
        assert!(matches!(missing, Err(NoPicture::NothingSent(_))), "{missing:?}");
        assert_eq!(taker.busy.lock().unwrap().len(), 1);
    }
}
