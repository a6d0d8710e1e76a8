//! The pages over HTTP, by `tiny_http`.
//!
//! `tiny_http` 0.12 bounds nothing a client does. Evened out here: a request's body holds up no other answer, a client
//! that reads nothing does so for a few times [`SEND_TIME`], and a listener that has ended comes back.
//!
//! What remains: a connection holds two descriptors and a thread for as long as the client likes, some broken requests
//! (`HTTP/2.0`, an absurd Content-Length) hold them until the process ends, a header without an end is kept in memory,
//! and in a burst of connections one may wait until another is done. The broadcast waits for nothing here, but it
//! shares the process, and who may connect can use up what that has. Hence PROMETHEUS_HOST is the loopback address by
//! default; elsewhere only the scraper should reach it.

use std::{
    io::{self, Cursor},
    mem,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use tiny_http::{Header, Method, Request, Response, Server};

use super::{Pages, closed_within};

/// How long one write waits for a client to read.
const SEND_TIME: Duration = Duration::from_secs(1);

/// How often it is looked whether the listener is still there.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// The longest body that is read (to be thrown away). No honest request for these pages has one at all.
const MAX_BODY: usize = 1024 * 1024;

/// Listens at the first of `addrs` that can be had.
pub(super) fn listen(addrs: &[SocketAddr]) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addrs)?;
    // On Linux its connections inherit this. A limit for reading would end accept too, and the listener with it.
    set_socket_timeout(&listener, Timeout::Send, Some(SEND_TIME))?;
    Ok(listener)
}

/// Serves until the other end of `stopped` is closed.
pub(super) fn run(listener: TcpListener, pages: &Pages, stopped: &UnixStream) {
    let mut next = Ok(Some(listener));
    while let Ok(Some(listener)) = next {
        next = serve(listener, pages, stopped);
    }
    if let Err(e) = next {
        log::error!("metrics, health and status are off from now on: {e}");
    }
}

/// Serves until stopped, or until the listener has ended; then there is a new one.
fn serve(listener: TcpListener, pages: &Pages, stopped: &UnixStream) -> io::Result<Option<TcpListener>> {
    let addr = listener.local_addr()?;
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    thread::scope(|scope| {
        let watching = thread::Builder::new().spawn_scoped(scope, || watch(&server, addr, stopped))?;
        while let Ok(request) = server.recv() {
            answer(request, pages);
            if closed_within(stopped, Duration::ZERO) {
                break;
            }
        }
        Ok(watching.join().unwrap_or_default())
    })
}

/// Ends the wait for requests when it is time to stop, or when the listener has ended, of which `tiny_http` does not
/// always tell; the sign is that its address can be had again.
fn watch(server: &Server, addr: SocketAddr, stopped: &UnixStream) -> Option<TcpListener> {
    let mut free = None;
    while free.is_none() && !closed_within(stopped, WATCH_EVERY) {
        free = listen(&[addr]).ok();
    }
    if free.is_some() {
        log::warn!("the listener for metrics, health and status had ended; it is back at http://{addr}");
    }
    server.unblock();
    free
}

fn answer(request: Request, pages: &Pages) {
    let body = request.body_length().unwrap_or(0);
    if body > MAX_BODY {
        // Dropped, it would allocate as much as it claims to have, and a failed allocation ends the process.
        log::warn!("a request that claims to have {body} bytes of body is left unanswered");
        mem::forget(request);
        return;
    }
    let page = page(&request, pages);
    // What cannot be sent has nobody waiting for it.
    let send = move || drop(request.respond(page));
    if body == 0 {
        return send();
    }
    // Dropping the request reads its body, for as long as that takes to come.
    if let Err(e) = thread::Builder::new().spawn(send) {
        log::warn!("failed to start a thread for a request with a body: {e}");
    }
}

fn page(request: &Request, pages: &Pages) -> Response<Cursor<Vec<u8>>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let path = request.url().split('?').next().unwrap_or_default();
    let get = matches!(request.method(), Method::Get | Method::Head);
    let (status, kind, text) = match path {
        "/metrics" | "/healthz" | "/status" if !get => {
            (405, TEXT, "only GET and HEAD are answered here".into())
        }
        "/metrics" => match super::render(|_| true) {
            Ok(text) => (200, prometheus::TEXT_FORMAT, text),
            Err(e) => (500, TEXT, format!("failed to write out the metrics: {e}")),
        },
        "/healthz" => match (pages.health)() {
            Ok(()) => (200, TEXT, "ok".into()),
            Err(reason) => (503, TEXT, reason),
        },
        "/status" => (200, "application/json", (pages.status_json)()),
        _ => (404, TEXT, "there are /metrics, /healthz and /status".into()),
    };
    let header = |name: &str, value| Header::from_bytes(name, value).expect("these headers are ASCII");
    Response::from_string(text.trim_end().to_owned() + "\n")
        .with_status_code(status)
        .with_header(header("Content-Type", kind))
        .with_header(header("Allow", "GET, HEAD"))
        .with_chunked_threshold(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_listener_that_has_ended_comes_back() {
        let listener = listen(&[([127, 0, 0, 1], 0).into()]).unwrap();
        let addr = listener.local_addr().unwrap();
        let same = listener.try_clone().unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let pages = Pages { health: Box::new(|| Ok(())), status_json: Box::new(String::new) };
        let server = thread::spawn(move || run(listener, &pages, &stopped));
        let healthy = || {
            let mut stream = TcpStream::connect(addr)?;
            stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            io::Result::Ok(answer.ends_with("ok\n"))
        };
        assert!(healthy().unwrap());
        rustix::net::shutdown(&same, rustix::net::Shutdown::Both).unwrap();
        assert!(healthy().is_err(), "accept fails from now on");
        drop(same);
        let end = Instant::now() + 10 * WATCH_EVERY;
        while !healthy().is_ok_and(|ok| ok) {
            assert!(Instant::now() < end, "it did not come back");
            thread::yield_now();
        }
        drop(stop);
        server.join().unwrap();
    }
}
