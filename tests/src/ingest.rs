//! A recording RTMP server that misbehaves on request, on 127.0.0.1 if no other address is given.
//! It stores every message of every connection with its arrival time, so that a test can check
//! content, order and timing.
//!
//! No playback. Tests with `nginx` cover a real server.

mod client;
mod record;
mod setup;
mod state;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tgs_rtmp::metadata::Metadata;

use self::{
    client::{Client, readable},
    state::{Shared, State},
};
pub use self::{
    record::{Message, Record},
    setup::{Setup, Welcome},
};
use crate::nginx::free_port;

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

/// The server. Dropping it closes all connections.
#[derive(Debug)]
pub struct Ingest {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Ingest {
    /// Starts a server that accepts every stream.
    pub fn start() -> Result<Self> {
        Self::start_with(Setup::default())
    }

    /// Starts a server that treats connections as `setup` says.
    pub fn start_with(setup: Setup) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, setup)
    }

    /// The same on another address of this machine.
    pub fn start_at(address: Ipv4Addr, setup: Setup) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { setup, records: Vec::new() }),
            changed: Condvar::new(),
            paused: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            oldest: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let mut ingest = Self { address: SocketAddr::from((address, 0)), shared, acceptor: None };
        // Another test may take the port before it is listened at.
        for attempt in 0.. {
            ingest.address.set_port(free_port()?);
            match ingest.listen() {
                Err(error) if attempt == 4 => return Err(error),
                Err(_) => {}
                Ok(()) => break,
            }
        }
        Ok(ingest)
    }

    /// The publishing URL of the stream `key` (application `live`).
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.address)
    }

    /// The port; it never changes.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
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
        let listener =
            TcpListener::bind(self.address).with_context(|| format!("listen on {}", self.address))?;
        listener.set_nonblocking(true)?;
        self.address = listener.local_addr()?;
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

    /// Resets the open connections that are older than the one of this number.
    pub fn end_before(&self, oldest: usize) {
        self.shared.oldest.fetch_max(oldest, Ordering::SeqCst);
    }

    /// Stops reading from every connection; the connections stay open.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::SeqCst);
    }

    /// Resumes reading.
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::SeqCst);
    }

    /// The address of the publisher of the connection of this number.
    #[must_use]
    pub fn peer(&self, connection: usize) -> Option<IpAddr> {
        self.shared.lock().records.get(connection).map(|record| record.peer)
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
        let Ok((stream, peer)) = listener.accept() else { continue };
        let generation = shared.generation.load(Ordering::SeqCst);
        let mut state = shared.lock();
        let (index, setup) = (state.records.len(), state.setup.clone());
        state.records.push(Record {
            peer: peer.ip(),
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
            // Closed before the record shows the end, and not later than its time.
            let ended = Instant::now();
            drop(client);
            shared.change(index, |record| record.ended = Some((ended, end)));
        });
    }
}
