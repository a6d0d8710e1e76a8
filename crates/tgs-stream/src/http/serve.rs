//! Serves the pages with `tiny_http`, on a private socket. `acceptor.rs` forwards one checked
//! request at a time, without headers and body.

use std::{
    io::{self, Cursor},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use tgs_control::{
    Health,
    health::{STANDBY, STOPPED},
};
use tgs_core::supervise::{contain, keep_running};
use tiny_http::{Header, Method, Request, Response};

use super::{acceptor, backend::Backend, exposition, pages::Pages, stop::closed_within};

/// The pause before a failed server is replaced.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Serves on `listener` until the other end of `stopped` closes.
pub(super) fn run(listener: &TcpListener, pages: &Pages, state_dir: &Path, stopped: &UnixStream) {
    if let Err(e) = serve(listener, pages, state_dir, stopped) {
        log::error!("metrics, health and status are off from now on: {e}");
    }
}

fn serve(listener: &TcpListener, pages: &Pages, state_dir: &Path, stopped: &UnixStream) -> io::Result<()> {
    let backend = Arc::new(Backend::new(state_dir)?);
    thread::scope(|scope| {
        let accept = || {
            keep_running(
                "web-accept",
                |delay| closed_within(stopped, delay),
                || match listener.try_clone() {
                    Ok(listener) => acceptor::run(listener, &backend, stopped),
                    Err(e) => log::error!("metrics, health and status are off from now on: {e}"),
                },
            );
            backend.server().unblock();
        };
        thread::Builder::new().name("web-accept".into()).spawn_scoped(scope, accept)?;
        while !closed_within(stopped, Duration::ZERO) {
            match backend.server().recv() {
                Ok(request) => answer(request, pages),
                // Unblocked by the stop, or accept failed without a descriptor.
                Err(e) => {
                    log::debug!("the status server failed, restarting it: {e}");
                    while !closed_within(stopped, RESTART_PAUSE) && backend.renew().is_err() {}
                }
            }
        }
        Ok(())
    })
}

fn answer(request: Request, pages: &Pages) {
    // The panic hook logs it. The next request is answered.
    let page = contain(|| page(&request, pages)).unwrap_or_else(|panic| {
        Response::from_string(format!("internal error of tgs-stream: {panic}\n")).with_status_code(500)
    });
    // The client has disconnected.
    drop(request.respond(page));
}

fn page(request: &Request, pages: &Pages) -> Response<Cursor<Vec<u8>>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let path = request.url().split('?').next().unwrap_or_default();
    let get = matches!(request.method(), Method::Get | Method::Head);
    let (status, kind, text) = match path {
        "/metrics" | "/healthz" | "/status" if !get => {
            (405, TEXT, "only GET and HEAD are answered here".into())
        }
        "/metrics" => match exposition::render(|_| true) {
            Ok(text) => (200, prometheus::TEXT_FORMAT, text),
            Err(e) => (500, TEXT, format!("failed to write out the metrics: {e}")),
        },
        "/healthz" => match (pages.health)() {
            Health::Healthy => (200, TEXT, "ok".into()),
            Health::Stopped => (200, TEXT, STOPPED.into()),
            Health::Standby => (200, TEXT, STANDBY.into()),
            Health::Unhealthy(reason) => (503, TEXT, reason),
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
    fn a_failed_listener_is_reopened() {
        let listener = acceptor::listen(&[([127, 0, 0, 1], 0).into()]).unwrap();
        let addr = listener.local_addr().unwrap();
        let same = listener.try_clone().unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let pages = Pages { health: Box::new(|| Health::Healthy), status_json: Box::new(String::new) };
        let server = thread::spawn(move || run(&listener, &pages, Path::new("/tmp"), &stopped));
        let healthy = || {
            let mut stream = TcpStream::connect(addr)?;
            stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            io::Result::Ok(answer.ends_with("ok\n"))
        };
        assert!(healthy().unwrap());
        rustix::net::shutdown(&same, rustix::net::Shutdown::Both).unwrap();
        drop(same);
        let end = Instant::now() + Duration::from_mins(1);
        while !healthy().is_ok_and(|ok| ok) {
            assert!(Instant::now() < end, "it did not come back");
            thread::yield_now();
        }
        drop(stop);
        server.join().unwrap();
    }
}
