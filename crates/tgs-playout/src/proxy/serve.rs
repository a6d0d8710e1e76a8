//! Serves the proxy's connections: one thread, one request and one response for each.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{
    account::{ClientAccount, CountedConnection, ReadPurpose},
    bridge,
    connect::connect,
    error::ProxyError,
    exchange::{Exchange, IDLE, Upstream, UpstreamReply},
    head::{self, Authority, MAX_HEAD, ProxyRequest, ResponseHead},
    loopback::LoopbackProxy,
    parked::{ParkedResponse, RequestKey},
    protocols::BRIDGED_HOST,
    spool::Spool,
};

/// Limit of connections; more wait to be accepted. An HLS item with separate sound has about six.
const MAX_CONNECTIONS: usize = 64;

/// Time limit of a client's request.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Accepts connections, forever.
pub(super) fn run(listener: &TcpListener, proxy: &Arc<LoopbackProxy>) {
    let slots: Arc<(Mutex<usize>, Condvar)> = Arc::default();
    loop {
        let taken = slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = slots.1.wait_while(taken, |taken| *taken >= MAX_CONNECTIONS);
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        let slot = ConnectionSlot(Arc::clone(&slots));
        match listener.accept() {
            Ok((client, _)) => {
                let proxy = Arc::clone(proxy);
                let serve = move || {
                    let _slot = slot;
                    if let Err(error) = serve(&client, &proxy) {
                        log::debug!("a connection through the proxy ended: {error}");
                    }
                };
                // Without a thread the connection closes, which the client takes for a refusal.
                let _ = thread::Builder::new().name("proxied".into()).stack_size(256 << 10).spawn(serve);
            }
            Err(error) => {
                log::debug!("the proxy cannot accept a connection: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// A share of [`MAX_CONNECTIONS`].
struct ConnectionSlot(Arc<(Mutex<usize>, Condvar)>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.1.notify_one();
    }
}

fn serve(client: &TcpStream, proxy: &LoopbackProxy) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_write_timeout(Some(REQUEST_TIME))?;
    let Some((head, rest)) = read_head(client, Instant::now() + REQUEST_TIME)? else {
        return refuse(client, "400 Bad Request", "incomplete head");
    };
    let asked = match head::parse_request(&head) {
        Ok(asked) => asked,
        Err(why) => return refuse(client, "400 Bad Request", why),
    };
    let Some(account) = asked.authorization.and_then(|shown| proxy.client(&shown)) else {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"tgs\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        return (&*client).write_all(answer.as_bytes());
    };
    let _counted = CountedConnection::new(&account);
    account.note_answer();
    match asked.request {
        ProxyRequest::Tunnel(server) => {
            let server = match connect(&account, &server) {
                Ok((server, _)) => Upstream::server(server),
                Err(error) => return refuse_for(client, &account, error),
            };
            (&*client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            Exchange::new(Some(server), rest, Vec::new()).run(client);
        }
        ProxyRequest::Fetch { server, path, is_get, is_part, identity, head } => {
            let key = match &account.bridged {
                Some(bridged) if server.host == BRIDGED_HOST => {
                    (server, bridged.source.url.clone(), Vec::new())
                }
                _ => (server, path, identity),
            };
            // A repeated request, such as for a live playlist, needs a new response each time.
            let gets = {
                let mut record = account.record();
                record.gets += u32::from(is_get);
                record.gets
            };
            if is_get
                && !is_part
                && let Some(parked) = proxy.parked.take(&key)
                && parked.address.is_none_or(|address| account.permits(&key.0.host, address))
            {
                if let Some(address) = parked.address {
                    account.reached(&key.0.host, address);
                }
                replay(client, parked, &account, proxy);
            } else {
                let keeps = is_get && gets == 1 && !is_part && account.purpose == ReadPurpose::Probe;
                fetch(client, &key, &[head, rest].concat(), keeps, (&account, proxy))?;
            }
        }
    }
    Ok(())
}

/// Sends `request` to the server; with `keeps`, its response is parked for the next client.
fn fetch(
    client: &TcpStream,
    key: &RequestKey,
    request: &[u8],
    keeps: bool,
    (account, proxy): (&ClientAccount, &LoopbackProxy),
) -> io::Result<()> {
    if let Some(seconds) = proxy.busy_for(key) {
        return refuse_for(client, account, ProxyError::Busy { status: 503, seconds: Some(seconds) });
    }
    let opened = match &account.bridged {
        Some(bridged) if key.0.host == BRIDGED_HOST => {
            bridge::open(bridged, client).map(|(o, answer)| (o, None, answer))
        }
        _ => send_request(client, account, &key.0, request),
    };
    let (origin, address, (answer, first)) = match opened {
        Ok(opened) => opened,
        Err(error) => return refuse_for(client, account, error),
    };
    let Some(answer) = answer else {
        // The client reports the malformed response.
        Exchange::new(Some(origin), Vec::new(), first).run(client);
        return Ok(());
    };
    if let status @ (429 | 503) = answer.status {
        account.record().error = Some(ProxyError::Busy { status, seconds: answer.retry_after });
        if let Some(seconds) = answer.retry_after {
            proxy.note_busy(key, seconds);
        }
    }
    let keeps = keeps && answer.status == 200 && !answer.ranges && !answer.text;
    let mut exchange = Exchange::new(Some(origin), Vec::new(), answer.head.clone());
    exchange.spool = if keeps { Spool::new().ok() } else { None };
    exchange.push_body(&first);
    exchange.run(client);
    keep(exchange, FetchedHead { key: key.clone(), address, answer }, account, proxy);
    Ok(())
}

/// Sends `request` to `server` and waits for the head of its response.
fn send_request(
    client: &TcpStream,
    account: &ClientAccount,
    server: &Authority,
    request: &[u8],
) -> Result<(Upstream, Option<IpAddr>, UpstreamReply), ProxyError> {
    let (stream, address) = connect(account, server)?;
    let said = (&stream).write_all(request).and_then(|()| read_answer(&stream, client));
    let said = said.map_err(|error| ProxyError::Unreachable(error.kind()))?;
    Ok((Upstream::server(stream), Some(address), said))
}

/// A response without its body.
struct FetchedHead {
    key: RequestKey,
    address: Option<IpAddr>,
    answer: ResponseHead,
}

fn keep(exchange: Exchange, kept: FetchedHead, account: &ClientAccount, proxy: &LoopbackProxy) {
    let Some(spool) = exchange.spool.filter(|_| account.record().gets == 1) else { return };
    let FetchedHead { key, address, answer } = kept;
    // A response that ended before its length is incomplete.
    let whole = exchange.server.is_some() || answer.length.is_none_or(|length| spool.len >= length);
    if whole {
        let (head, length, since) = (answer.head, answer.length, Instant::now());
        proxy.parked.park(ParkedResponse {
            key,
            address,
            head,
            spool,
            length,
            server: exchange.server,
            since,
        });
    }
}

/// Serves a parked response to another client, from its beginning.
fn replay(client: &TcpStream, parked: ParkedResponse, account: &ClientAccount, proxy: &LoopbackProxy) {
    log::debug!("continuing the response of {} that the probe has begun", parked.key.0.host);
    let ParkedResponse { key, address, head, spool, length, server, .. } = parked;
    let mut exchange = Exchange::new(server, Vec::new(), head.clone());
    exchange.replay_at = Some(0);
    exchange.spool = Some(spool);
    exchange.records = account.purpose == ReadPurpose::Probe;
    exchange.run(client);
    if exchange.records {
        let answer =
            ResponseHead { status: 200, length, ranges: false, text: false, retry_after: None, head };
        keep(exchange, FetchedHead { key, address, answer }, account, proxy);
    }
}

/// Reads a head, and the bytes after it. `None` if it is too long or incomplete.
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

/// Reads a response's head and the bytes after it; if it is not HTTP, only the bytes.
fn read_answer(server: &TcpStream, client: &TcpStream) -> io::Result<UpstreamReply> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = head::end(&bytes) {
            return Ok(match head::parse_response(&bytes[..end]) {
                Some(answer) => (Some(answer), bytes.split_off(end)),
                None => (None, bytes),
            });
        }
        // Bytes that do not begin like a response are not HTTP.
        let known = [&b"HTTP/1."[..], b"ICY "].iter().any(|begin| {
            let common = begin.len().min(bytes.len());
            begin[..common] == bytes[..common]
        });
        if !known || bytes.len() > MAX_HEAD {
            return Ok((None, bytes));
        }
        // A slow server may respond for as long as the client waits.
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

/// Refuses with the reason in the status line, which yt-dlp reports.
fn refuse_for(client: &TcpStream, account: &ClientAccount, error: ProxyError) -> io::Result<()> {
    let status = error.status();
    let why = error.failure().detail;
    account.record().error = Some(error);
    refuse(client, &format!("{status} {why}"), &why)
}

fn refuse(mut client: &TcpStream, status: &str, why: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    client.write_all(head.as_bytes())
}
