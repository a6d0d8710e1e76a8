//! A recording RTMP server on 127.0.0.1 that misbehaves on request. It stores every message of
//! every connection with its arrival time, so that a test can check content, order and timing.
//!
//! No playback. Tests with `nginx` cover a real server.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::Sender,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rml_amf0::Amf0Value;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::set_socket_linger,
};
use tgs_rtmp::{
    amf0::{self, AmfValue},
    chunk::{Received, kind},
    flv::{FILE_HEADER, Kind, Tag, write_tag},
    metadata::Metadata,
    server::{KeyCheck, Rate, ServerConfig, ServerLimits, ServerSession},
};

/// Metadata of the connection tests.
pub const METADATA: Metadata = Metadata {
    width: 320,
    height: 180,
    fps: 25,
    video_kbps: 300,
    audio_kbps: 64,
    audio_rate: 44_100,
    channels: 2,
};

/// Length in bytes of C1, S1, C2 and S2.
const BLOCK: usize = 1536;

/// Interval at which threads check for instructions.
const LOOK: Duration = Duration::from_millis(10);

/// The server's answer to `connect`.
#[derive(Debug, Clone, Default)]
pub enum Welcome {
    /// Accept.
    #[default]
    Accept,
    /// An error that redirects the publisher to this address.
    Redirect(String),
    /// An error that requires a user name and password of this mode (`adobe`, `llnw`).
    Authenticate(&'static str),
    /// An error with this code and description.
    Reject(&'static str, &'static str),
    /// Close the connection without an answer.
    Close,
    /// No answer.
    Silence,
}

/// The treatment of connections.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The answer to `connect`.
    pub welcome: Welcome,
    /// The answer to `publish`: `None` accepts; otherwise the code of an error whose description
    /// repeats the stream's name.
    pub refuse_key: Option<&'static str>,
    /// Size of the server's chunks in bytes; `None` keeps the default of 128 and sends no message.
    pub chunk_size: Option<u32>,
    /// Send a bandwidth check (`onBWDone`), as Adobe's servers do.
    pub check_bandwidth: bool,
    /// Interval of ping requests.
    pub ping: Option<Duration>,
    /// Reset the connection after this many messages of any type.
    pub reset_after: Option<usize>,
    /// Stop reading after this many messages of any type.
    pub silent_after: Option<usize>,
    /// Also store the bytes after the handshake.
    pub keep_bytes: bool,
    /// Pass each message on with its connection number (from 0) instead of storing it: for runs of
    /// any length.
    pub pass_on: Option<Sender<(usize, Message)>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            welcome: Welcome::Accept,
            refuse_key: None,
            chunk_size: Some(4096),
            check_bandwidth: false,
            ping: None,
            reset_after: None,
            silent_after: None,
            keep_bytes: false,
            pass_on: None,
        }
    }
}

/// A message and its arrival time.
#[derive(Debug, Clone)]
pub struct Message {
    /// The message.
    pub received: Received,
    /// The time at which its last byte was read.
    pub arrived: Instant,
}

impl Message {
    /// The message as a tag, if it is audio or video.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        let kind = match self.received.kind {
            kind::AUDIO => Kind::Audio,
            kind::VIDEO => Kind::Video,
            _ => return None,
        };
        Some(Tag {
            kind,
            timestamp: self.received.timestamp.into(),
            body: self.received.body.as_slice().into(),
        })
    }
}

/// The record of one connection.
#[derive(Debug, Clone)]
pub struct Record {
    /// The time at which the connection was accepted.
    pub began: Instant,
    /// The client's C0, C1 and C2.
    pub handshake: Vec<u8>,
    /// The server's S0, S1 and S2.
    pub handshake_answer: Vec<u8>,
    /// Every message, oldest first.
    pub messages: Vec<Message>,
    /// Every byte after the handshake, if [`Setup::keep_bytes`] is set.
    pub bytes: Vec<u8>,
    /// Time and cause of the end.
    pub ended: Option<(Instant, String)>,
}

impl Record {
    /// The commands: name and arguments.
    #[must_use]
    pub fn commands(&self) -> Vec<(String, Vec<AmfValue>)> {
        let read = |m: &Message| {
            let mut values = amf0::read(&m.received.body).into_iter();
            let name = values.next()?.as_str()?.to_owned();
            Some((name, values.collect()))
        };
        self.messages.iter().filter(|m| m.received.kind == kind::COMMAND).filter_map(read).collect()
    }

    /// The audio and video messages.
    pub fn media(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|m| matches!(m.received.kind, kind::AUDIO | kind::VIDEO))
    }

    /// The audio and video messages as tags.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.messages.iter().filter_map(Message::tag)
    }

    /// Writes the media into an FLV file.
    pub fn write_flv(&self, path: &Path) -> io::Result<()> {
        let mut bytes = FILE_HEADER.to_vec();
        for tag in self.tags() {
            write_tag(&mut bytes, &tag)?;
        }
        std::fs::write(path, bytes)
    }
}

/// The server. Dropping it closes all connections.
#[derive(Debug)]
pub struct Ingest {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    paused: AtomicBool,
    /// Connections of an older generation are reset.
    generation: AtomicU32,
    /// Tells the acceptor to end.
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    setup: Setup,
    records: Vec<Record>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.lock().records[index]);
        self.changed.notify_all();
    }
}

impl Ingest {
    /// Starts a server that accepts every stream.
    pub fn start() -> Result<Self> {
        Self::start_with(Setup::default())
    }

    /// Starts a server that treats connections as `setup` says.
    pub fn start_with(setup: Setup) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { setup, records: Vec::new() }),
            changed: Condvar::new(),
            paused: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        });
        let mut ingest = Self { port: 0, shared, acceptor: None };
        ingest.listen()?;
        Ok(ingest)
    }

    /// The publishing URL of the stream `key` (application `live`).
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{key}", self.port)
    }

    /// The port at 127.0.0.1; it never changes.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Applies `setup` to new connections.
    pub fn set(&self, setup: Setup) {
        self.shared.lock().setup = setup;
    }

    /// Refuses new connections until [`Ingest::listen`]. Open connections stay.
    pub fn refuse(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic of the acceptor already appears in the test's output.
            let _ = acceptor.join();
        }
    }

    /// Accepts new connections again, on the same port.
    pub fn listen(&mut self) -> Result<()> {
        self.refuse();
        self.shared.closed.store(false, Ordering::SeqCst);
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
            .context("listen on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        self.port = listener.local_addr()?.port();
        let shared = Arc::clone(&self.shared);
        self.acceptor = Some(thread::spawn(move || accept(&listener, &shared)));
        Ok(())
    }

    /// Resets every open connection and waits until that is done; the publisher may have
    /// reconnected by then.
    pub fn reset(&self) {
        let state = self.shared.lock();
        let count = state.records.len();
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        let open = |state: &mut State| state.records[..count].iter().any(|r| r.ended.is_none());
        drop(self.shared.changed.wait_while(state, open).unwrap_or_else(PoisonError::into_inner));
    }

    /// Stops reading from every connection; the connections stay open.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::SeqCst);
    }

    /// Resumes reading.
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::SeqCst);
    }

    /// The records of all connections so far, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.shared.lock().records.clone()
    }

    /// The record of the only connection; an error if there were none or several.
    pub fn record(&self) -> Result<Record> {
        let mut records = self.records();
        ensure!(records.len() == 1, "{} connections where there should be one", records.len());
        Ok(records.remove(0))
    }

    /// Waits until `enough` accepts the records; fails after `within`, naming `what`.
    pub fn wait(&self, what: &str, within: Duration, enough: impl Fn(&[Record]) -> bool) -> Result<()> {
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), within, |state| !enough(&state.records))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let records = &state.records;
            let last = records.last().map_or_else(|| "none".to_owned(), summary);
            bail!("waited {within:?} for {what}; {} connections, the last: {last}", records.len());
        }
        Ok(())
    }

    /// Waits until every connection has ended.
    pub fn wait_ended(&self, within: Duration) -> Result<()> {
        self.wait("the end of the connections", within, |records| {
            !records.is_empty() && records.iter().all(|r| r.ended.is_some())
        })
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.refuse();
        self.resume();
        self.reset();
    }
}

fn summary(record: &Record) -> String {
    let kinds = record.messages.iter().fold(HashMap::new(), |mut kinds: HashMap<u8, usize>, m| {
        *kinds.entry(m.received.kind).or_default() += 1;
        kinds
    });
    let last = record.messages.last().map(|m| (m.received.timestamp, m.arrived.elapsed()));
    format!("messages by type {kinds:?}, last (time stamp, age) {last:?}, ended {:?}", record.ended)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.closed.load(Ordering::SeqCst) {
        if !readable(listener) {
            continue;
        }
        let Ok((stream, _)) = listener.accept() else { continue };
        let generation = shared.generation.load(Ordering::SeqCst);
        let mut state = shared.lock();
        let (index, setup) = (state.records.len(), state.setup.clone());
        state.records.push(Record {
            began: Instant::now(),
            handshake: Vec::new(),
            handshake_answer: Vec::new(),
            messages: Vec::new(),
            bytes: Vec::new(),
            ended: None,
        });
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut client = Client::new(stream, shared, index, setup, generation);
            let end = match client.serve() {
                Ok(end) => end.to_owned(),
                Err(error) => format!("{error:#}"),
            };
            let (shared, index) = (Arc::clone(&client.shared), client.index);
            // Closed before the record shows the end.
            drop(client);
            shared.change(index, |record| record.ended = Some((Instant::now(), end)));
        });
    }
}

/// Waits briefly for readable data.
fn readable(socket: &impl std::os::fd::AsFd) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)).is_ok_and(|n| n > 0)
}

/// One connection of a publisher.
struct Client {
    stream: TcpStream,
    shared: Arc<Shared>,
    index: usize,
    setup: Setup,
    generation: u32,
    session: ServerSession,
    count: usize,
    next_ping: Option<Instant>,
}

/// No effective limit: the tests publish faster than real time.
const LIMITS: ServerLimits = ServerLimits {
    longest_message: 16 << 20,
    bytes: Rate { at_once: u64::MAX, per_second: 1 },
    messages: Rate { at_once: u64::MAX, per_second: 1 },
    time_to_publish: Duration::MAX,
    idle: Duration::MAX,
};

impl Client {
    fn new(stream: TcpStream, shared: Arc<Shared>, index: usize, setup: Setup, generation: u32) -> Self {
        let next_ping = setup.ping.map(|every| Instant::now() + every);
        let config =
            ServerConfig { app: None, key: KeyCheck::Any, chunk_size: setup.chunk_size, limits: LIMITS };
        let session = ServerSession::new(config, Instant::now());
        Self { stream, shared, index, setup, generation, session, count: 0, next_ping }
    }

    /// Serves the connection and returns the cause of its end.
    fn serve(&mut self) -> Result<&'static str> {
        self.stream.set_nonblocking(false)?;
        let mut hello = [0; 1 + BLOCK];
        let mut echo = [0; BLOCK];
        if !self.read_whole(&mut hello)? {
            return Ok("closed before the handshake");
        }
        self.session.receive(&hello, Instant::now())?;
        let answer = self.session.output().clone();
        self.flush()?;
        if !self.read_whole(&mut echo)? {
            return Ok("closed in the handshake");
        }
        self.session.receive(&echo, Instant::now())?;
        self.shared.change(self.index, |r| {
            r.handshake = [&hello[..], &echo[..]].concat();
            r.handshake_answer = answer;
        });
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(end) = self.told_to_end()? {
                return Ok(end);
            }
            self.ping()?;
            if !self.may_read() {
                thread::sleep(LOOK);
                continue;
            }
            if !readable(&self.stream) {
                continue;
            }
            let n = self.stream.read(&mut buffer)?;
            if n == 0 {
                return Ok("closed by the publisher");
            }
            if self.setup.keep_bytes {
                self.shared.change(self.index, |r| r.bytes.extend(&buffer[..n]));
            }
            self.session.receive(&buffer[..n], Instant::now())?;
            while let Some(received) = self.session.next_message(Instant::now())? {
                self.count += 1;
                let end = self.answer(&received)?;
                let message = Message { received, arrived: Instant::now() };
                match &self.setup.pass_on {
                    // The receiver may have ended already.
                    Some(to) => drop(to.send((self.index, message))),
                    None => self.shared.change(self.index, |r| r.messages.push(message)),
                }
                // Sent after the record is stored: a test that sees an answer finds its cause.
                self.flush()?;
                if let Some(end) = end {
                    return Ok(end);
                }
                if let Some(end) = self.told_to_end()? {
                    return Ok(end);
                }
            }
        }
    }

    /// Reads all of `buffer`; `false` if the client closes first.
    fn read_whole(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let mut have = 0;
        while have < buffer.len() {
            if self.told_to_end()?.is_some() {
                return Ok(false);
            }
            if self.shared.paused.load(Ordering::SeqCst) || !readable(&self.stream) {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            match self.stream.read(&mut buffer[have..])? {
                0 => return Ok(false),
                n => have += n,
            }
        }
        Ok(true)
    }

    fn may_read(&self) -> bool {
        !self.shared.paused.load(Ordering::SeqCst)
            && self.setup.silent_after.is_none_or(|after| self.count < after)
    }

    fn told_to_end(&self) -> Result<Option<&'static str>> {
        let counted = self.setup.reset_after.is_some_and(|after| self.count >= after);
        if !counted && self.generation == self.shared.generation.load(Ordering::SeqCst) {
            return Ok(None);
        }
        set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(Some("reset by the server"))
    }

    fn ping(&mut self) -> Result<()> {
        if let (Some(at), Some(every)) = (self.next_ping, self.setup.ping)
            && at <= Instant::now()
        {
            self.next_ping = Some(at + every);
            self.session.send_control(kind::USER_CONTROL, &[0, 6, 0xDE, 0xAD, 0xBE, 0xEF]);
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(self.session.output()).context("write to the publisher")?;
        self.session.output().clear();
        self.session.output_sent();
        Ok(())
    }

    /// Answers a message as a server does, or misbehaves as the setup says. Returns the cause of
    /// the connection's end, if it ends.
    fn answer(&mut self, message: &Received) -> Result<Option<&'static str>> {
        let values = if message.kind == kind::COMMAND { amf0::read(&message.body) } else { Vec::new() };
        let id = values.get(1).and_then(AmfValue::as_number).unwrap_or_default();
        let name = values.first().and_then(AmfValue::as_str).unwrap_or_default();
        match (name, self.setup.refuse_key) {
            ("connect", _) if !matches!(self.setup.welcome, Welcome::Accept) => return self.refuse_app(id),
            ("releaseStream", _) => {
                // Several real servers answer so; publishers must ignore it.
                let info = status("error", "NetConnection.Call.Failed", "no such method");
                self.command("_error", id, 0, info)?;
            }
            ("publish", Some(code)) => {
                let stream = values.get(3).and_then(AmfValue::as_str).unwrap_or_default();
                let info = status("error", code, &format!("stream {stream} is not welcome"));
                self.command("onStatus", 0.0, message.stream, info)?;
                return Ok(Some("the key was refused"));
            }
            _ => _ = self.session.handle(message, Instant::now())?,
        }
        if name == "connect" && self.setup.check_bandwidth {
            self.command("onBWDone", 0.0, 0, Amf0Value::Number(8192.0))?;
        }
        Ok(None)
    }

    fn refuse_app(&mut self, id: f64) -> Result<Option<&'static str>> {
        let rejected = "NetConnection.Connect.Rejected";
        let mut info = match &self.setup.welcome {
            Welcome::Accept | Welcome::Silence => return Ok(None),
            Welcome::Close => return Ok(Some("closed by the server")),
            Welcome::Redirect(_) => status("error", rejected, "redirect"),
            Welcome::Authenticate(mode) => status(
                "error",
                rejected,
                &format!("[ AccessManager.Reject ] : [ authmod={mode} ] : code=403 need auth"),
            ),
            Welcome::Reject(code, description) => status("error", code, description),
        };
        if let (Amf0Value::Object(fields), Welcome::Redirect(to)) = (&mut info, &self.setup.welcome) {
            let ex = [("code", Amf0Value::Number(302.0)), ("redirect", Amf0Value::Utf8String(to.clone()))];
            fields.insert("ex".to_owned(), object(ex));
        }
        self.command("_error", id, 0, info)?;
        Ok(Some("the application was refused"))
    }

    fn command(&mut self, name: &str, id: f64, stream: u32, info: Amf0Value) -> Result<()> {
        let name = Amf0Value::Utf8String(name.to_owned());
        let values = vec![name, Amf0Value::Number(id), Amf0Value::Null, info];
        self.session.send_command(stream, &rml_amf0::serialize(&values).context("write AMF0")?);
        Ok(())
    }
}

fn object<const N: usize>(fields: [(&str, Amf0Value); N]) -> Amf0Value {
    Amf0Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn status(level: &str, code: &str, description: &str) -> Amf0Value {
    let text = |text: &str| Amf0Value::Utf8String(text.to_owned());
    object([("level", text(level)), ("code", text(code)), ("description", text(description))])
}
