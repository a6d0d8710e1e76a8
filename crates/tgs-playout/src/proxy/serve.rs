//! Serves the proxy's connections, a thread each: one request, its answer, and no more.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, TcpListener, TcpStream, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Account, Proxy, Reads, Trouble,
    head::{self, Answer, Authority, MAX_HEAD, Request},
    held::{Held, Key, Recording},
};

/// Connections at a time; more wait to be accepted. An HLS item with its sound apart has about six.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take for its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long connecting may take in all, so that the answer comes before ffmpeg gives up after ten seconds.
const CONNECT_TIME: Duration = Duration::from_secs(8);

/// How long one address of several may take.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

/// A connection on which nothing moves for that long is closed: an encoder may be paused, a server may be silent.
const IDLE: Timespec = Timespec { tv_sec: 3600, tv_nsec: 0 };

/// Bytes on their way, in each direction.
const BUFFER: usize = 32 << 10;

/// Accepts connections for ever.
pub(super) fn run(listener: &TcpListener, proxy: &Arc<Proxy>) {
    let slots: Arc<(Mutex<usize>, Condvar)> = Arc::default();
    loop {
        let taken = slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = slots.1.wait_while(taken, |taken| *taken >= MAX_CONNECTIONS);
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        let slot = Slot(Arc::clone(&slots));
        match listener.accept() {
            Ok((client, _)) => {
                let proxy = Arc::clone(proxy);
                let serve = move || {
                    let _slot = slot;
                    if let Err(error) = serve(&client, &proxy) {
                        log::debug!("a connection through the proxy ended: {error}");
                    }
                };
                // Where there is no thread to be had the connection is closed, which the client takes for a refusal.
                let _ = thread::Builder::new().name("proxied".into()).stack_size(256 << 10).spawn(serve);
            }
            Err(error) => {
                log::debug!("the proxy cannot accept a connection: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// One of the connections that may be.
struct Slot(Arc<(Mutex<usize>, Condvar)>);

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.1.notify_one();
    }
}

/// A client's connection, counted while it lasts.
struct Counted<'a>(&'a Account);

impl<'a> Counted<'a> {
    fn new(account: &'a Account) -> Self {
        account.connections.fetch_add(1, Ordering::SeqCst);
        Self(account)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(client: &TcpStream, proxy: &Proxy) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_write_timeout(Some(REQUEST_TIME))?;
    let Some((head, rest)) = read_head(client, Instant::now() + REQUEST_TIME)? else {
        return refuse(client, "400 Bad Request", "no head of a request");
    };
    let asked = match head::request(&head) {
        Ok(asked) => asked,
        Err(why) => return refuse(client, "400 Bad Request", why),
    };
    let Some(account) = asked.authorization.and_then(|shown| proxy.client(&shown)) else {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"tgs\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        return (&*client).write_all(answer.as_bytes());
    };
    let _counted = Counted::new(&account);
    match asked.request {
        Request::Tunnel(server) => {
            let server = match connect(&account, &server) {
                Ok((server, _)) => server,
                Err(trouble) => return refuse_for(client, &account, trouble),
            };
            (&*client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            Exchange::new(Some(server), rest, Vec::new()).run(client);
        }
        Request::Fetch { server, path, is_get, is_part, identity, head } => {
            let key = (server, path, identity);
            // Of what is asked for several times, playlists above all, each answer is to be new.
            let gets = {
                let mut record = account.record();
                record.gets += u32::from(is_get);
                record.gets
            };
            if is_get
                && !is_part
                && let Some(held) = proxy.take_held(&key)
                && account.permits(&key.0.host, held.address)
            {
                account.reached(&key.0.host, held.address);
                replay(client, held, &account, proxy);
            } else {
                let keeps = is_get && gets == 1 && !is_part && account.reads == Reads::Looks;
                fetch(client, &key, &[head, rest].concat(), keeps, (&account, proxy))?;
            }
        }
    }
    Ok(())
}

/// Fetches what `request` asks for; with `keeps`, its answer is for the next client too.
fn fetch(
    client: &TcpStream,
    key: &Key,
    request: &[u8],
    keeps: bool,
    (account, proxy): (&Account, &Proxy),
) -> io::Result<()> {
    let (server, address) = match connect(account, &key.0) {
        Ok(connected) => connected,
        Err(trouble) => return refuse_for(client, account, trouble),
    };
    (&server).write_all(request)?;
    let (answer, first) = match read_answer(&server, client)? {
        (Some(answer), first) => (answer, first),
        // It is for the client to say what is wrong with it.
        (None, first) => {
            Exchange::new(Some(server), Vec::new(), first).run(client);
            return Ok(());
        }
    };
    note(account, &answer);
    let keeps = keeps && answer.status == 200 && !answer.ranges && !answer.text;
    let mut exchange = Exchange::new(Some(server), Vec::new(), answer.head.clone());
    exchange.recording = if keeps { Recording::new().ok() } else { None };
    exchange.came(&first);
    exchange.run(client);
    keep(exchange, Kept { key: key.clone(), address, answer }, account, proxy);
    Ok(())
}

/// What is known of an answer beside its body.
struct Kept {
    key: Key,
    address: IpAddr,
    answer: Answer,
}

fn keep(exchange: Exchange, kept: Kept, account: &Account, proxy: &Proxy) {
    let Some(begun) = exchange.recording.filter(|_| account.record().gets == 1) else { return };
    let Kept { key, address, answer } = kept;
    // Nothing but a whole answer ends before its length says so.
    let whole = exchange.server.is_some() || answer.length.is_none_or(|length| begun.len >= length);
    if whole {
        let (head, length, since) = (answer.head, answer.length, Instant::now());
        proxy.hold(Held { key, address, head, begun, length, server: exchange.server, since });
    }
}

/// Gives `held` to another client, from its beginning.
fn replay(client: &TcpStream, held: Held, account: &Account, proxy: &Proxy) {
    log::debug!("{} is read on where the probe left it", held.key.0.host);
    let Held { key, address, head, begun, length, server, .. } = held;
    let mut exchange = Exchange::new(server, Vec::new(), head.clone());
    exchange.replayed = Some(0);
    exchange.recording = Some(begun);
    exchange.grows = account.reads == Reads::Looks;
    exchange.run(client);
    if exchange.grows {
        let answer = Answer { status: 200, length, ranges: false, text: false, retry_after: None, head };
        keep(exchange, Kept { key, address, answer }, account, proxy);
    }
}

/// Notes what an answer tells about its server.
fn note(account: &Account, answer: &Answer) {
    let mut record = account.record();
    record.no_ranges |= answer.status == 200 && !answer.ranges;
    if matches!(answer.status, 429 | 503) {
        record.trouble = Some(Trouble::Busy { status: answer.status, seconds: answer.retry_after });
    }
}

/// A connection to `server`, at an address that the client may reach.
fn connect(account: &Account, server: &Authority) -> Result<(TcpStream, IpAddr), Trouble> {
    let deadline = Instant::now() + CONNECT_TIME;
    let found = (&*server.host, server.port).to_socket_addrs().map_err(|_| Trouble::Unresolved)?;
    let mut trouble = Trouble::Unresolved;
    for address in found {
        if !account.permits(&server.host, address.ip()) {
            trouble = Trouble::Forbidden(address.ip());
            continue;
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(ADDRESS_TIME);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                account.reached(&server.host, address.ip());
                let _ = stream.set_nodelay(true);
                let _ = stream.set_write_timeout(Some(CONNECT_TIME));
                return Ok((stream, address.ip()));
            }
            Err(error) => trouble = Trouble::Unreachable(error.kind()),
        }
    }
    Err(trouble)
}

/// The head that comes, and what came behind it. `None` where it is too long, or ends before its end.
fn read_head(stream: &TcpStream, deadline: Instant) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = head::end(&bytes) {
            let rest = bytes.split_off(end);
            return Ok(Some((bytes, rest)));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if bytes.len() > MAX_HEAD || left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match (&*stream).read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The server's answer and what came behind its head; without an answer, all that came.
fn read_answer(server: &TcpStream, client: &TcpStream) -> io::Result<(Option<Answer>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = head::end(&bytes) {
            return Ok(match head::answer(&bytes[..end]) {
                Some(answer) => (Some(answer), bytes.split_off(end)),
                None => (None, bytes),
            });
        }
        // What does not begin like an answer never becomes one.
        let known = [&b"HTTP/1."[..], b"ICY "].iter().any(|begin| {
            let common = begin.len().min(bytes.len());
            begin[..common] == bytes[..common]
        });
        if !known || bytes.len() > MAX_HEAD {
            return Ok((None, bytes));
        }
        // A server may take its time, as long as the client has it.
        let mut fds = [PollFd::new(server, PollFlags::IN), PollFd::new(client, PollFlags::RDHUP)];
        if poll(&mut fds, Some(&IDLE))? == 0 || !fds[1].revents().is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match (&*server).read(&mut chunk) {
            Ok(0) => return Ok((None, bytes)),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The reason goes into the first line, which yt-dlp repeats.
fn refuse_for(client: &TcpStream, account: &Account, trouble: Trouble) -> io::Result<()> {
    let status = if matches!(trouble, Trouble::Forbidden(_)) { 403 } else { 502 };
    let why = trouble.failure().detail;
    account.record().trouble = Some(trouble);
    refuse(client, &format!("{status} {why}"), &why)
}

fn refuse(mut client: &TcpStream, status: &str, why: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    client.write_all(head.as_bytes())
}

/// Bytes that go both ways until one side is done.
struct Exchange {
    /// `None` once it has closed.
    server: Option<TcpStream>,
    to_server: Buffer,
    to_client: Buffer,
    /// What has come so far.
    recording: Option<Recording>,
    /// How much of the recording the client has been given, where it gets it from the beginning.
    replayed: Option<u64>,
    /// Whether what comes now is recorded too.
    grows: bool,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

impl Buffer {
    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Reads anew into it, which must be empty; how much came.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.bytes.resize(BUFFER, 0);
        self.at = 0;
        let count = read(&mut self.bytes);
        self.bytes.truncate(*count.as_ref().unwrap_or(&0));
        count
    }

    fn drain_into(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        match stream.write(&self.bytes[self.at..]) {
            Ok(n) => self.at += n,
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Exchange {
    /// With what is to be sent first.
    fn new(server: Option<TcpStream>, to_server: Vec<u8>, to_client: Vec<u8>) -> Self {
        Self {
            server,
            to_server: Buffer { bytes: to_server, at: 0 },
            to_client: Buffer { bytes: to_client, at: 0 },
            recording: None,
            replayed: None,
            grows: true,
        }
    }

    /// Takes bytes of the body that came with the head.
    fn came(&mut self, bytes: &[u8]) {
        self.record(bytes);
        self.to_client.bytes.extend_from_slice(bytes);
    }

    fn record(&mut self, bytes: &[u8]) {
        if self.grows {
            self.recording.take_if(|recording| !recording.push(bytes));
        }
    }

    /// Runs until the client goes away, or has all that the server sent.
    fn run(&mut self, client: &TcpStream) {
        let servers = self.server.as_ref().map_or(Ok(()), |server| server.set_nonblocking(true));
        if client.set_nonblocking(true).is_err() || servers.is_err() {
            return;
        }
        while self.step(client).unwrap_or(false) {}
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Moves what can be moved; `false` at the end. An error is the client's.
    fn step(&mut self, mut client: &TcpStream) -> io::Result<bool> {
        self.refill()?;
        if self.to_client.is_empty() && self.server.is_none() {
            return Ok(false);
        }
        let mut of_client = PollFlags::RDHUP;
        of_client.set(PollFlags::IN, self.to_server.is_empty());
        of_client.set(PollFlags::OUT, !self.to_client.is_empty());
        let mut of_server = PollFlags::empty();
        of_server.set(PollFlags::IN, self.to_client.is_empty());
        of_server.set(PollFlags::OUT, !self.to_server.is_empty());
        // A closed server would end each wait while the client has no time for what came before.
        let server = self.server.as_ref().filter(|_| !of_server.is_empty());
        let mut fds = vec![PollFd::new(client, of_client)];
        fds.extend(server.map(|server| PollFd::new(server, of_server)));
        if poll(&mut fds, Some(&IDLE))? == 0 {
            return Ok(false);
        }
        let client_can = fds[0].revents();
        let server_can = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
        if client_can.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            return Ok(false);
        }
        if client_can.contains(PollFlags::OUT) {
            self.to_client.drain_into(client)?;
        }
        if client_can.contains(PollFlags::IN) && self.to_server.is_empty() {
            self.to_server
                .fill(|into| client.read(into))
                .or_else(|e| if is_later(&e) { Ok(1) } else { Err(e) })?;
        }
        if !server_can.is_empty() {
            self.exchange_with_server(server_can);
        }
        Ok(true)
    }

    /// What was recorded goes to the client before what still comes.
    fn refill(&mut self) -> io::Result<()> {
        if let (true, Some(at), Some(recording)) = (self.to_client.is_empty(), self.replayed, &self.recording)
        {
            let count = self.to_client.fill(|into| recording.read(at, into))?;
            self.replayed = Some(at + count as u64).filter(|_| count > 0);
        }
        Ok(())
    }

    fn exchange_with_server(&mut self, can: PollFlags) {
        let Some(server) = &self.server else { return };
        if can.contains(PollFlags::OUT) && self.to_server.drain_into(server).is_err() {
            self.server = None;
            return;
        }
        if can.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && self.to_client.is_empty() {
            let mut from: &TcpStream = server;
            match self.to_client.fill(|into| from.read(into)) {
                Ok(0) => self.server = None,
                Ok(_) => {
                    let bytes = std::mem::take(&mut self.to_client.bytes);
                    self.record(&bytes);
                    self.to_client.bytes = bytes;
                }
                Err(error) if is_later(&error) => {}
                Err(_) => self.server = None,
            }
        }
    }
}
