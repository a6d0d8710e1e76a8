//! The one connection that the whole broadcast goes out on, and what was sent over it but may not have arrived.
//!
//! [`Publisher`] remembers every tag back to the last keyframe that the server's TCP has acknowledged. When the
//! connection breaks, the next one begins with that keyframe: nothing is skipped, whatever was still on its way. When
//! to connect again is the caller's decision.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::{ChildStdin, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::{
    cancel::Cancel,
    process::{self, Child, describe},
    secret::Secret,
};

use crate::{
    clock::{Clock, Real},
    flv::{self, Kind, Tag},
    profile::Profile,
    rtmp::{self, Connection, Target},
    status::METRICS,
    timeline::{Origin, Placed},
};

/// Why a connection ended, as a fragment in words without a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One way out. Times on it are the connection's own.
pub(crate) trait Link: Send {
    /// Takes one tag, to be sent by the next `flush` at the latest.
    fn queue(&mut self, tag: &Tag) -> Result<(), Broken>;
    /// Sends what is queued; blocks while the way is full.
    fn flush(&mut self) -> Result<(), Broken>;
    /// Waits, serving what the other side says.
    fn wait(&mut self, until: Instant) -> Result<(), Broken>;
    /// Bytes sent so far.
    fn written(&self) -> u64;
    /// Bytes of these that have arrived.
    fn acked(&self) -> u64;
    /// Ends it in order, within a second or two.
    fn goodbye(self: Box<Self>);
}

/// Where the broadcast goes.
#[derive(Debug, Clone)]
pub enum Output {
    /// An RTMP(S) server, by the native publisher.
    Rtmp(Target),
    /// The same by an ffmpeg child that copies (`PUBLISHER=ffmpeg`).
    Ffmpeg {
        /// The ffmpeg executable.
        ffmpeg: PathBuf,
        /// Where to, the stream key included.
        url: Secret<String>,
        /// The same, fit to be shown.
        shown: String,
    },
    /// An FLV file.
    File(PathBuf),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtmp(target) => write!(f, "{target}"),
            Self::Ffmpeg { shown, .. } => f.write_str(shown),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An ffmpeg that takes nothing for this long is replaced.
const STALL: Duration = Duration::from_secs(10);

/// How long one attempt to connect may take.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(10);

/// The connection and its memory.
pub struct Publisher {
    output: Output,
    profile: Profile,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    open: Open,
    link: Option<Box<dyn Link>>,
    /// What was sent since the last keyframe that has arrived.
    sent: VecDeque<Sent>,
    /// The sequence headers in force before that, of picture and sound.
    headers: [Option<Tag>; 2],
    /// The broadcast's time that is time `origin` on this connection.
    base: u64,
    /// The connection's time of its first tag; above 0 only to test clocks that run over.
    first_timestamp: u64,
    /// Bytes that wait to be sent.
    queued: usize,
}

/// Makes one connection to an output.
pub(crate) type Open = Box<dyn FnMut(&Output, &Profile, &Cancel) -> Result<Box<dyn Link>, Broken> + Send>;

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({}, {} tags kept)", self.output, self.sent.len())
    }
}

struct Sent {
    placed: Placed,
    /// Bytes written on the connection when this had been sent.
    end: u64,
}

/// This much is sent without waiting for more: a fraction of a second of media.
const FLUSH_AT: usize = 32 << 10;

/// The memory is cut to this many bytes even if the server acknowledges nothing: a dead peer is found within 5 s.
const MAX_KEPT: usize = 8 << 20;

impl Publisher {
    /// A publisher that is not connected yet.
    #[must_use]
    pub fn new(output: Output, profile: Profile, first_timestamp: u64, cancel: Cancel) -> Self {
        Self {
            output,
            profile,
            cancel,
            clock: Arc::new(Real),
            open: Box::new(open),
            link: None,
            sent: VecDeque::new(),
            headers: [None, None],
            base: 0,
            first_timestamp,
            queued: 0,
        }
    }

    /// The same over connections that `open` makes, in the time of `clock`.
    #[cfg(test)]
    pub(crate) fn simulated(self, open: Open, clock: Arc<dyn Clock>) -> Self {
        Self { clock, open, ..self }
    }

    /// The time that it waits in.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Where it publishes, fit to be shown.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Whether it writes a file: what cannot be written there is lost, and trying again would begin it anew.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.output, Output::File(_))
    }

    /// Connects once. The error says in words what is wrong.
    pub fn connect(&mut self) -> Result<(), Broken> {
        self.link = Some((self.open)(&self.output, &self.profile, &self.cancel)?);
        Ok(())
    }

    /// Begins a new connection's stream: the headers, then what may not have arrived over the one before.
    pub fn resume(&mut self) -> Result<(), Broken> {
        let Some(first) = self.sent.front() else { return Ok(()) };
        self.base = first.placed.tag.timestamp;
        let sent = std::mem::take(&mut self.sent);
        let none = Origin { run: 0, offset_ms: 0 };
        // From here on they are a part of what was sent.
        for header in std::mem::take(&mut self.headers).into_iter().flatten() {
            let tag = Tag { timestamp: self.base, ..header };
            let _ = self.queue(Placed { tag, origin: none });
        }
        for placed in sent.into_iter().map(|sent| sent.placed) {
            // An error shows again at the flush; all of them stay in the memory.
            let _ = self.queue(placed);
        }
        self.flush()
    }

    /// Forgets what was sent: the next connection begins with the next tag, which must be a keyframe.
    pub fn forget(&mut self, next: u64) {
        self.sent.clear();
        self.headers = [None, None];
        self.base = next;
    }

    /// Sends one tag, or leaves it for the next [`Publisher::flush`], where few have gathered: waking the kernel and the
    /// other side is most of what a tag costs, so those that are due together go together.
    pub fn send(&mut self, placed: Placed) -> Result<(), Broken> {
        let (kind, bytes) = (placed.tag.kind, placed.tag.body.len());
        let picture = kind == Kind::Video && placed.tag.is_frame();
        let keyframe = placed.tag.is_keyframe();
        self.queue(placed)?;
        if self.queued >= FLUSH_AT {
            self.flush()?;
        }
        METRICS.output_bytes.inc_by(bytes as u64);
        if picture {
            METRICS.output_seconds.inc_by(1.0 / f64::from(self.profile.fps));
        }
        if keyframe {
            self.trim();
        }
        Ok(())
    }

    /// Waits until `until`, serving the connection.
    pub fn wait(&mut self, until: Instant) -> Result<(), Broken> {
        if let Some(link) = &mut self.link {
            return link.wait(until);
        }
        let _ = self.clock.wait(until.saturating_duration_since(self.clock.now()), &self.cancel);
        Ok(())
    }

    /// Gives the connection up. Answers the broadcast's time up to which everything has arrived.
    pub fn lose(&mut self) -> Option<u64> {
        let arrived = self.arrived().map(|sent| sent.placed.tag.timestamp);
        self.trim();
        self.link = None;
        self.queued = 0;
        for sent in &mut self.sent {
            sent.end = u64::MAX;
        }
        arrived.or_else(|| self.sent.front().map(|sent| sent.placed.tag.timestamp))
    }

    /// What was published last, for certain.
    #[must_use]
    pub fn published(&self) -> Option<Origin> {
        let frame = |sent: &&Sent| sent.placed.tag.is_frame();
        self.sent.range(..self.arrived_count()?).rfind(frame).map(|sent| sent.placed.origin)
    }

    /// Seconds of media sent and not acknowledged.
    #[must_use]
    pub fn queue_seconds(&self) -> f64 {
        let (Some(last), arrived) = (self.sent.back(), self.arrived()) else { return 0.0 };
        let from = arrived.or(self.sent.front()).map_or(0, |sent| sent.placed.tag.timestamp);
        last.placed.tag.timestamp.saturating_sub(from) as f64 / 1000.0
    }

    /// Ends the connection in order.
    pub fn goodbye(&mut self) {
        if let Some(mut link) = self.link.take() {
            // What cannot be sent any more is not waited for.
            let _ = link.flush();
            link.goodbye();
        }
    }

    fn queue(&mut self, placed: Placed) -> Result<(), Broken> {
        let timestamp = placed.tag.timestamp.saturating_sub(self.base) + self.first_timestamp;
        let tag = Tag { timestamp, ..placed.tag.clone() };
        // Kept even when it could not be sent: the next connection sends it.
        if placed.tag.is_frame() || placed.tag.is_sequence_header() {
            self.sent.push_back(Sent { placed, end: u64::MAX });
        }
        self.queued += tag.body.len();
        self.link.as_mut().ok_or_else(not_connected)?.queue(&tag)
    }

    /// Sends what was left to wait.
    pub fn flush(&mut self) -> Result<(), Broken> {
        if self.queued == 0 {
            return Ok(());
        }
        let link = self.link.as_mut().ok_or_else(not_connected)?;
        link.flush()?;
        let end = link.written();
        for queued in self.sent.iter_mut().rev().take_while(|sent| sent.end == u64::MAX) {
            queued.end = end;
        }
        self.queued = 0;
        Ok(())
    }

    fn arrived(&self) -> Option<&Sent> {
        self.sent.get(self.arrived_count()?.checked_sub(1)?)
    }

    fn arrived_count(&self) -> Option<usize> {
        let acked = self.link.as_ref()?.acked();
        Some(self.sent.partition_point(|sent| sent.end <= acked))
    }

    /// Forgets what comes before the last keyframe that has arrived.
    fn trim(&mut self) {
        let Some(acked) = self.link.as_ref().map(|link| link.acked()) else { return };
        let arrived = self.sent.partition_point(|sent| sent.end <= acked);
        let is_key = |sent: &Sent| sent.placed.tag.is_keyframe();
        let mut from = self.sent.range(..arrived).rposition(is_key).unwrap_or(0);
        let kept =
            |from: usize| self.sent.range(from..).map(|sent| sent.placed.tag.body.len()).sum::<usize>();
        while kept(from) > MAX_KEPT {
            match self.sent.range(from + 1..).position(is_key) {
                Some(next) => from += 1 + next,
                None => break,
            }
        }
        for Sent { placed: Placed { tag, .. }, .. } in self.sent.drain(..from) {
            if tag.is_sequence_header() {
                let of = usize::from(tag.kind == Kind::Audio);
                self.headers[of] = Some(tag);
            }
        }
    }
}

/// Makes one connection.
fn open(output: &Output, profile: &Profile, cancel: &Cancel) -> Result<Box<dyn Link>, Broken> {
    Ok(match output {
        Output::Rtmp(target) => Box::new(
            Connection::open(target, profile, cancel, CONNECT_TIME_OUT)
                .map_err(|error| Broken(error.to_string()))?,
        ),
        Output::Ffmpeg { ffmpeg, url, .. } => Box::new(FfmpegLink::start(ffmpeg, url, profile, cancel)?),
        Output::File(path) => Box::new(
            FileLink::create(path, profile)
                .map_err(|error| Broken(format!("cannot write {}: {error}", path.display())))?,
        ),
    })
}

fn not_connected() -> Broken {
    Broken("not connected".into())
}

impl Link for Connection {
    fn queue(&mut self, tag: &Tag) -> Result<(), Broken> {
        Connection::queue(self, tag);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Broken> {
        Connection::flush(self).map_err(|error| Broken(error.to_string()))
    }

    fn wait(&mut self, until: Instant) -> Result<(), Broken> {
        Connection::wait(self, until).map_err(|error| Broken(error.to_string()))
    }

    fn written(&self) -> u64 {
        Connection::written(self)
    }

    fn acked(&self) -> u64 {
        Connection::acked(self)
    }

    fn goodbye(self: Box<Self>) {
        Connection::goodbye(*self);
    }
}

/// An FLV file, written as it comes.
struct FileLink {
    file: BufWriter<File>,
    written: u64,
}

impl FileLink {
    fn create(path: &PathBuf, profile: &Profile) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&flv::FILE_HEADER)?;
        flv::write_tag(&mut file, &metadata_tag(profile))?;
        Ok(Self { file, written: 0 })
    }
}

impl Link for FileLink {
    fn queue(&mut self, tag: &Tag) -> Result<(), Broken> {
        flv::write_tag(&mut self.file, tag)
            .map_err(|error| Broken(format!("cannot write the file: {error}")))?;
        self.written += tag.body.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    fn wait(&mut self, until: Instant) -> Result<(), Broken> {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn acked(&self) -> u64 {
        self.written
    }

    fn goodbye(mut self: Box<Self>) {
        if let Err(error) = self.file.flush().and_then(|()| self.file.get_ref().sync_all()) {
            log::error!("the end of the file may be missing: {error}");
        }
    }
}

/// The metadata of a file, as a tag.
fn metadata_tag(profile: &Profile) -> Tag {
    Tag { kind: Kind::Script, timestamp: 0, body: profile.flv_body().into() }
}

/// An ffmpeg child that copies what it reads to the server and reconnects by itself.
struct FfmpegLink {
    child: Child,
    stdin: Option<ChildStdin>,
    cancel: Cancel,
    buffer: Vec<u8>,
    written: u64,
    /// When something was last given to it.
    given: Instant,
}

/// ffmpeg is given what has gathered this often: waking it for each frame costs more than copying the frame.
const GATHER: Duration = Duration::from_millis(100);

impl FfmpegLink {
    fn start(
        ffmpeg: &PathBuf,
        url: &Secret<String>,
        profile: &Profile,
        cancel: &Cancel,
    ) -> Result<Self, Broken> {
        let mut command = process::command(ffmpeg);
        // The fifo muxer's options as measured to come back 0.25 s after the server does.
        command
            .args([
                "-hide_banner",
                "-nostats",
                "-v",
                "error",
                "-probesize",
                "200k",
                // Not 20 frames of waiting to find out the rate: the copy needs none, and a viewer is waiting.
                "-fpsprobesize",
                "0",
                "-f",
                "flv",
                "-i",
                "pipe:0",
            ])
            .args([
                "-c",
                "copy",
                "-map",
                "0",
                "-flags",
                "+global_header",
                "-f",
                "fifo",
                "-fifo_format",
                "flv",
            ])
            .args(["-attempt_recovery", "1", "-recover_any_error", "1", "-drop_pkts_on_overflow", "1"])
            .args(["-recovery_wait_time", "0.5", "-restart_with_keyframe", "1", "-queue_size", "1000"])
            .arg(url.expose())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child =
            process::spawn(command).map_err(|e| Broken(format!("cannot start {}: {e}", ffmpeg.display())))?;
        let stdin = child.take_stdin().ok_or_else(|| Broken("ffmpeg has no input".into()))?;
        rustix::io::ioctl_fionbio(&stdin, true)
            .map_err(|e| Broken(format!("cannot prepare ffmpeg's input: {e}")))?;
        let mut link = Self {
            child,
            stdin: Some(stdin),
            cancel: cancel.clone(),
            buffer: flv::FILE_HEADER.to_vec(),
            written: 0,
            given: Instant::now(),
        };
        link.queue(&metadata_tag(profile))?;
        Ok(link)
    }

    /// Gives it all that is queued.
    fn give(&mut self) -> Result<(), Broken> {
        self.given = Instant::now();
        let (mut from, mut moved) = (0, Instant::now());
        while from < self.buffer.len() {
            let Some(stdin) = &mut self.stdin else { return Err(Broken("ffmpeg's input is closed".into())) };
            match stdin.write(&self.buffer[from..]) {
                Ok(count) => (from, moved) = (from + count, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                    let _ = poll(&mut [PollFd::new(stdin, PollFlags::OUT)], Some(&timeout));
                    if self.cancel.is_cancelled() {
                        return Err(Broken("stopped".into()));
                    }
                    if moved.elapsed() > STALL {
                        return Err(Broken("the ffmpeg that publishes took no data for 10 s".into()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.stdin = None;
                    self.child.kill_group();
                    return Err(self.ended());
                }
            }
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn ended(&self) -> Broken {
        let how = self.child.wait().map_or_else(|e| e.to_string(), describe);
        Broken(format!("the ffmpeg that publishes ended: {how}"))
    }
}

impl Link for FfmpegLink {
    fn queue(&mut self, tag: &Tag) -> Result<(), Broken> {
        flv::write_tag(&mut self.buffer, tag).map_err(|e| Broken(e.to_string()))
    }

    fn flush(&mut self) -> Result<(), Broken> {
        if self.given.elapsed() < GATHER && self.buffer.len() < FLUSH_AT { Ok(()) } else { self.give() }
    }

    fn wait(&mut self, until: Instant) -> Result<(), Broken> {
        // Nothing is said back; a dead child shows at the next write.
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn acked(&self) -> u64 {
        self.written
    }

    fn goodbye(mut self: Box<Self>) {
        // What cannot be given any more is not waited for.
        let _ = self.give();
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Reads an output as the operator writes it: an RTMP(S) URL, or a path that ends in `.flv`.
pub fn parse_output(text: &str, by_ffmpeg: Option<PathBuf>) -> Result<Output, String> {
    if !text.contains("://") {
        let path = PathBuf::from(text);
        let flv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("flv"));
        return if flv {
            Ok(Output::File(path))
        } else {
            Err("it is neither an rtmp:// or rtmps:// URL nor a file name that ends in .flv".into())
        };
    }
    let target = Target::parse(text).map_err(|error: rtmp::TargetError| error.to_string())?;
    Ok(match by_ffmpeg {
        Some(ffmpeg) => {
            Output::Ffmpeg { ffmpeg, url: Secret::new(text.to_owned()), shown: target.to_string() }
        }
        None => Output::Rtmp(target),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    /// A way out whose acknowledgements the test decides: with a real server they come when the kernel likes.
    #[derive(Clone, Default)]
    struct Wire(Arc<Mutex<(Vec<Tag>, u64)>>, Vec<Tag>, Arc<AtomicBool>);

    impl Link for Wire {
        fn queue(&mut self, tag: &Tag) -> Result<(), Broken> {
            self.1.push(tag.clone());
            Ok(())
        }

        fn flush(&mut self) -> Result<(), Broken> {
            if self.2.load(Ordering::SeqCst) {
                return Err(Broken("cut".into()));
            }
            self.0.lock().unwrap().0.append(&mut self.1);
            Ok(())
        }

        fn wait(&mut self, _until: Instant) -> Result<(), Broken> {
            Ok(())
        }

        fn written(&self) -> u64 {
            self.0.lock().unwrap().0.len() as u64
        }

        fn acked(&self) -> u64 {
            self.0.lock().unwrap().1
        }

        fn goodbye(self: Box<Self>) {}
    }

    const PROFILE: Profile = Profile { fps: 10, ..Profile::P720 };

    fn publisher() -> Publisher {
        Publisher::new(Output::File("unused.flv".into()), PROFILE, 0, Cancel::new())
    }

    fn connect(publisher: &mut Publisher) -> Wire {
        let wire = Wire::default();
        publisher.link = Some(Box::new(wire.clone()));
        wire
    }

    /// Picture `n` at `100 n` ms; every fifth is a keyframe.
    fn picture(n: u64) -> Placed {
        let body = vec![if n.is_multiple_of(5) { 0x17 } else { 0x27 }, 1, 0, 0, 0, n as u8].into();
        let tag = Tag { kind: Kind::Video, timestamp: n * 100, body };
        Placed { tag, origin: Origin { run: 1, offset_ms: n * 100 } }
    }

    fn send(publisher: &mut Publisher, placed: Placed) {
        publisher.send(placed).unwrap();
        publisher.flush().unwrap();
    }

    /// The sequence header of the encoder `which`.
    fn header(which: u8) -> Placed {
        let tag = Tag { kind: Kind::Video, timestamp: 0, body: vec![0x17, 0, 0, 0, 0, which].into() };
        Placed { tag, origin: Origin { run: 1, offset_ms: 0 } }
    }

    fn pictures(wire: &Wire) -> Vec<(u8, u64)> {
        let sent = wire.0.lock().unwrap();
        sent.0.iter().filter(|tag| tag.is_frame()).map(|tag| (tag.body[5], tag.timestamp)).collect()
    }

    #[test]
    fn after_a_break_it_goes_on_from_the_last_keyframe_that_arrived() {
        let mut publisher = publisher();
        let first = connect(&mut publisher);
        send(&mut publisher, header(1));
        for n in 0..18 {
            // The header and all but the last six arrive.
            first.0.lock().unwrap().1 = 1 + n.min(12);
            send(&mut publisher, picture(n));
        }
        // Picture 11 is the twelfth and the last that arrived.
        assert_eq!(publisher.lose(), Some(1100));
        let second = connect(&mut publisher);
        publisher.resume().unwrap();
        send(&mut publisher, picture(18));
        let expected: Vec<(u8, u64)> = (10..19).map(|n| (n as u8, (n - 10) * 100)).collect();
        assert_eq!(pictures(&second), expected);
        assert!(second.0.lock().unwrap().0[0].is_sequence_header());
    }

    #[test]
    fn each_picture_that_is_sent_again_has_its_own_header() {
        let mut publisher = publisher();
        let first = connect(&mut publisher);
        send(&mut publisher, header(1));
        for n in 0..20 {
            if n == 10 {
                send(&mut publisher, header(2));
            }
            // Nothing from picture 7 on arrives.
            first.0.lock().unwrap().1 = 1 + n.min(7);
            send(&mut publisher, picture(n));
        }
        for _ in 0..2 {
            // The second time it is the one that was sent again.
            publisher.lose();
            let again = connect(&mut publisher);
            publisher.resume().unwrap();
            let wire = again.0.lock().unwrap();
            let of = |tag: &Tag| (tag.is_sequence_header(), tag.body[5]);
            let order: Vec<_> = wire.0.iter().map(of).collect();
            assert_eq!(order[..2], [(true, 1), (false, 5)]);
            assert_eq!(order[5..8], [(false, 9), (true, 2), (false, 10)]);
        }
        // A header is no place in an item.
        let last = connect(&mut publisher);
        last.0.lock().unwrap().1 = 1;
        publisher.resume().unwrap();
        assert_eq!(publisher.published(), None);
    }

    #[test]
    fn what_was_queued_has_arrived_with_what_was_sent_behind_it() {
        let mut publisher = publisher();
        let wire = connect(&mut publisher);
        send(&mut publisher, picture(0));
        publisher.send(picture(1)).unwrap();
        wire.0.lock().unwrap().1 = 2;
        assert_eq!(publisher.published().map(|origin| origin.offset_ms), Some(0));
        send(&mut publisher, picture(2));
        wire.0.lock().unwrap().1 = 3;
        assert_eq!(publisher.published().map(|origin| origin.offset_ms), Some(200));
    }

    #[test]
    fn a_break_while_sending_again_loses_nothing() {
        let mut publisher = publisher();
        connect(&mut publisher);
        for n in 0..4 {
            send(&mut publisher, picture(n));
        }
        publisher.lose();
        let second = connect(&mut publisher);
        second.2.store(true, Ordering::SeqCst);
        second.0.lock().unwrap().1 = 2;
        assert!(publisher.resume().is_err());
        assert_eq!(publisher.lose(), Some(0));
        let third = connect(&mut publisher);
        publisher.resume().unwrap();
        assert_eq!(pictures(&third), [(0, 0), (1, 100), (2, 200), (3, 300)]);
    }

    #[test]
    fn a_tag_that_finds_no_connection_is_not_lost() {
        let mut publisher = publisher();
        connect(&mut publisher);
        send(&mut publisher, picture(0));
        publisher.lose();
        assert!(publisher.send(picture(1)).is_err());
        // The second attempt fails as well before the third succeeds.
        assert!(publisher.resume().is_err());
        publisher.lose();
        let third = connect(&mut publisher);
        publisher.resume().unwrap();
        assert_eq!(pictures(&third), [(0, 0), (1, 100)]);
    }

    #[test]
    fn the_memory_is_bounded_where_nothing_is_acknowledged() {
        let mut publisher = publisher();
        connect(&mut publisher);
        for n in 0..200 {
            let mut placed = picture(n);
            let mut body = vec![0; 200_000];
            body[..6].copy_from_slice(&placed.tag.body);
            placed.tag.body = body.into();
            send(&mut publisher, placed);
        }
        let kept: usize = publisher.sent.iter().map(|sent| sent.placed.tag.body.len()).sum();
        assert!(kept <= MAX_KEPT + 5 * 200_000, "{kept} bytes kept");
        assert!(publisher.sent[0].placed.tag.is_keyframe());
    }

    #[test]
    fn outputs_are_read_without_showing_the_key() {
        assert!(matches!(parse_output("out.FLV", None), Ok(Output::File(_))));
        assert!(parse_output("out.mp4", None).is_err());
        let native = parse_output("rtmp://host/app/secretkey", None).unwrap();
        let piped = parse_output("rtmp://host/app/secretkey", Some("ffmpeg".into())).unwrap();
        for output in [native, piped] {
            assert!(!format!("{output} {output:?}").contains("secretkey"), "{output:?}");
        }
        assert!(!parse_output("http://host/app/secretkey", None).unwrap_err().contains("secretkey"));
    }
}
