//! Serves the proxy's connections, a thread each: one request, its answer, and no more.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{
    Account, Proxy, Reads, Trouble, carrier,
    exchange::{Exchange, IDLE, Origin, Said},
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
pub(super) struct Counted<'a>(&'a Account);

impl<'a> Counted<'a> {
    pub(super) fn new(account: &'a Account) -> Self {
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
    account.heard.store(true, Ordering::SeqCst);
    match asked.request {
        Request::Tunnel(server) => {
            let server = match connect(&account, &server) {
                Ok((server, _)) => Origin::server(server),
                Err(trouble) => return refuse_for(client, &account, trouble),
            };
            (&*client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            Exchange::new(Some(server), rest, Vec::new()).run(client);
        }
        Request::Fetch { server, path, is_get, is_part, identity, head } => {
            let key = match &account.carried {
                Some(carried) if server.host == carrier::HOST => {
                    (server, carried.source.url.clone(), Vec::new())
                }
                _ => (server, path, identity),
            };
            // Of what is asked for several times, playlists above all, each answer is to be new.
            let gets = {
                let mut record = account.record();
                record.gets += u32::from(is_get);
                record.gets
            };
            if is_get
                && !is_part
                && let Some(held) = proxy.take_held(&key)
                && held.address.is_none_or(|address| account.permits(&key.0.host, address))
            {
                if let Some(address) = held.address {
                    account.reached(&key.0.host, address);
                }
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
    if let Some(seconds) = proxy.wait_for(key) {
        return refuse_for(client, account, Trouble::Busy { status: 503, seconds: Some(seconds) });
    }
    let opened = match &account.carried {
        Some(carried) if key.0.host == carrier::HOST => {
            carrier::open(carried, client).map(|(o, answer)| (o, None, answer))
        }
        _ => ask_server(client, account, &key.0, request),
    };
    let (origin, address, (answer, first)) = match opened {
        Ok(opened) => opened,
        Err(trouble) => return refuse_for(client, account, trouble),
    };
    let Some(answer) = answer else {
        // It is for the client to say what is wrong with it.
        Exchange::new(Some(origin), Vec::new(), first).run(client);
        return Ok(());
    };
    if let status @ (429 | 503) = answer.status {
        account.record().trouble = Some(Trouble::Busy { status, seconds: answer.retry_after });
        if let Some(seconds) = answer.retry_after {
            proxy.leave_alone(key, seconds);
        }
    }
    let keeps = keeps && answer.status == 200 && !answer.ranges && !answer.text;
    let mut exchange = Exchange::new(Some(origin), Vec::new(), answer.head.clone());
    exchange.recording = if keeps { Recording::new().ok() } else { None };
    exchange.came(&first);
    exchange.run(client);
    keep(exchange, Kept { key: key.clone(), address, answer }, account, proxy);
    Ok(())
}

/// Sends `request` to `server` and waits for its answer.
fn ask_server(
    client: &TcpStream,
    account: &Account,
    server: &Authority,
    request: &[u8],
) -> Result<(Origin, Option<IpAddr>, Said), Trouble> {
    let (stream, address) = connect(account, server)?;
    let said = (&stream).write_all(request).and_then(|()| read_answer(&stream, client));
    let said = said.map_err(|error| Trouble::Unreachable(error.kind()))?;
    Ok((Origin::server(stream), Some(address), said))
}

/// What is known of an answer beside its body.
struct Kept {
    key: Key,
    address: Option<IpAddr>,
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

/// A connection to `server`, at an address that the client may reach.
pub(super) fn connect(account: &Account, server: &Authority) -> Result<(TcpStream, IpAddr), Trouble> {
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
fn read_answer(server: &TcpStream, client: &TcpStream) -> io::Result<Said> {
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
    let status = trouble.status();
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
