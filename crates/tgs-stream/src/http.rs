//! The status server: `/metrics`, `/healthz`, `/status`, and the metrics file.
//!
//! Never blocks the broadcast: without a free port the metrics go to a file, and every error is
//! only logged. `http/acceptor.rs` limits clients. Metrics and health are defined elsewhere.

mod acceptor;
mod backend;
mod exposition;
mod pages;
mod request;
mod serve;
mod stop;
mod textfile;

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::LazyLock,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{Gauge, IntGaugeVec, register_gauge, register_int_gauge_vec};
use tgs_control::AddressFile;
use tgs_core::{cancel::Cancel, supervise::keep_running};

pub use pages::Pages;
pub(crate) use stop::closed_within;

/// How often [`HttpConfig::metrics_file`] is written.
pub const FILE_EVERY: Duration = Duration::from_secs(15);

/// How many following ports are tried.
const FOLLOWING_PORTS: u16 = 10;

static BUILD_INFO: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("tgs_build_info", "Always 1; the labels say which tgs-stream runs.", &["version"])
        .expect("the name is valid and registered here only")
});

/// Replaces the prometheus crate's value, which needs /proc/stat: `ProcSubset=pid` hides that.
static START_TIME: LazyLock<Gauge> = LazyLock::new(|| {
    let help = "Unix time when this tgs-stream started.";
    register_gauge!("tgs_start_time_seconds", help).expect("the name is valid and registered here only")
});

/// Addresses and files of the server.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The address or name to listen on (`PROMETHEUS_HOST`). IPv6 may be in brackets.
    pub host: String,
    /// The port (`PROMETHEUS_PORT`); 0 takes any free one.
    pub port: u16,
    /// Whether following ports are not tried.
    pub fixed_port: bool,
    /// Also write the metrics to this file (`METRICS_FILE`).
    pub metrics_file: Option<PathBuf>,
    /// The directory of `metrics.port`, and of `metrics.prom` without port and file. It must exist.
    pub state_dir: PathBuf,
    /// The write interval: [`FILE_EVERY`], except in tests.
    pub file_every: Duration,
}

/// The running server and file writer. Drop ends the threads, writes the file and removes
/// `metrics.port`.
#[derive(Debug)]
pub struct HttpServer {
    addr: Option<SocketAddr>,
    address_file: AddressFile,
    /// Closing this end stops the threads.
    stop: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
    /// A copy of the listener, for the process that takes this one's place.
    listener: Option<TcpListener>,
    /// Once set, another process serves at the address.
    handed_over: Cancel,
}

impl HttpServer {
    /// Starts the threads of the pages and of the metrics file. Errors are logged, never returned.
    #[must_use]
    pub fn start(config: &HttpConfig, pages: Pages) -> Self {
        Self::start_with(config, pages, None, Cancel::new())
    }

    /// The same with a `listener` of the process whose place this one takes. Once `handed_over` is
    /// set, `metrics.port` stays.
    pub(crate) fn start_with(
        config: &HttpConfig,
        pages: Pages,
        listener: Option<TcpListener>,
        handed_over: Cancel,
    ) -> Self {
        BUILD_INFO.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        START_TIME.set(now.as_secs_f64());
        let address_file = AddressFile::in_dir(&config.state_dir);
        let mut web =
            Self { addr: None, address_file, stop: None, threads: Vec::new(), listener: None, handed_over };
        let (stop, stopped) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(e) => {
                log::error!("metrics, health and status are off: failed to make a socket pair: {e}");
                return web;
            }
        };
        web.stop = Some(stop);
        let following = if config.fixed_port { 0 } else { FOLLOWING_PORTS };
        let listener = listener
            .filter(|handed| is_wanted(handed, &config.host, config.port, following))
            .or_else(|| bind(&config.host, config.port, following));
        web.listener = listener.as_ref().and_then(|listener| listener.try_clone().ok());
        web.addr = listener.as_ref().and_then(|l| l.local_addr().ok());
        web.write_address_file();
        let file = config
            .metrics_file
            .clone()
            .or_else(|| web.addr.is_none().then(|| config.state_dir.join("metrics.prom")));
        if let Some(file) = file {
            if web.addr.is_none() {
                log::warn!(
                    "metrics are written to {} every {:?}; there is no /healthz and no /status",
                    file.display(),
                    config.file_every
                );
            }
            let every = config.file_every;
            web.spawn("metrics-file", &stopped, move |stopped| textfile::run(&file, every, stopped));
        }
        if let Some(listener) = listener {
            let state_dir = config.state_dir.clone();
            web.spawn("web", &stopped, move |stopped| serve::run(&listener, &pages, &state_dir, stopped));
        }
        web
    }

    /// The server's address; `None` without a port.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// The listener, for the process that takes this one's place.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        stopped: &UnixStream,
        run: impl Fn(&UnixStream) + Send + 'static,
    ) {
        let started = stopped.try_clone().and_then(|stopped| {
            thread::Builder::new().name(name.into()).spawn(move || {
                keep_running(name, |delay| closed_within(&stopped, delay), || run(&stopped));
            })
        });
        match started {
            Ok(handle) => self.threads.push(handle),
            Err(e) => log::error!("failed to start the thread {name}, going on without it: {e}"),
        }
    }

    /// Writes the address for the other tools, or removes the file of a killed run.
    fn write_address_file(&self) {
        let path = self.address_file.path();
        let done = match self.addr {
            Some(addr) => self.address_file.write(addr),
            None => self.address_file.remove(),
        };
        if let Err(e) = done {
            log::warn!(
                "failed to update {}: {e}; other tools will not find this one's status page",
                path.display()
            );
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if self.handed_over.is_cancelled() {
            return;
        }
        // Another instance with the same STATE_DIR may have written its own address since.
        let Some(addr) = self.addr else { return };
        let ours = self.address_file.read().is_ok_and(|held| held == addr);
        if ours && let Err(e) = self.address_file.remove() {
            log::warn!("failed to remove {}: {e}", self.address_file.path().display());
        }
    }
}

fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Ok((name, port).to_socket_addrs()?.collect())
}

/// Whether `handed`, which the process before has opened, listens where [`bind`] may.
fn is_wanted(handed: &TcpListener, host: &str, port: u16, following: u16) -> bool {
    let (Ok(at), Ok(addrs)) = (handed.local_addr(), addresses(host, port)) else { return false };
    let is_port = port == 0 || (port..=port.saturating_add(following)).contains(&at.port());
    is_port && addrs.iter().any(|addr| addr.ip() == at.ip())
}

/// Listens on `port` or the next free one of the `following`. Logs the result.
fn bind(host: &str, port: u16, following: u16) -> Option<TcpListener> {
    let addrs = match addresses(host, port) {
        Ok(addrs) => addrs,
        Err(e) => {
            log::error!("failed to find an address for PROMETHEUS_HOST {host:?}: {e}");
            return None;
        }
    };
    let last = port.saturating_add(if port == 0 { 0 } else { following });
    for candidate in port..=last {
        let addrs: Vec<_> = addrs.iter().map(|a| SocketAddr::new(a.ip(), candidate)).collect();
        match acceptor::listen(&addrs) {
            Ok(listener) => {
                log_success(&listener, port, candidate);
                return Some(listener);
            }
            Err(e) => {
                if candidate == port {
                    log_first_failure(host, port, &e);
                }
                // Other errors (no such address) apply to every port.
                if !matches!(e.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) {
                    return None;
                }
            }
        }
    }
    log::error!("no free port from {port} to {last} on {host}: free one or set PROMETHEUS_PORT");
    None
}

fn log_success(listener: &TcpListener, wanted: u16, port: u16) {
    let at = listener.local_addr().map_or_else(|_| format!("port {port}"), |a| format!("http://{a}"));
    if port == wanted {
        log::info!("metrics, health and status at {at}");
    } else {
        log::warn!(
            "metrics, health and status at {at}, port {port} instead of {wanted}: point the scraper at it"
        );
    }
}

fn log_first_failure(host: &str, port: u16, error: &io::Error) {
    if error.kind() == ErrorKind::AddrInUse {
        let guess = if port == 9090 { " (9090 is Prometheus' own default port)" } else { "" };
        log::error!(
            "port {port} on {host} is taken{guess}: set PROMETHEUS_PORT to another; \
             `ss -ltnp 'sport = :{port}'` shows who holds it"
        );
    } else {
        log::error!(
            "failed to listen on port {port} of {host}: {error}; see PROMETHEUS_HOST and PROMETHEUS_PORT"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_the_process_before_is_used_where_the_settings_still_name_it() {
        let handed = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = handed.local_addr().unwrap().port();
        for (host, wanted, expected) in [
            ("127.0.0.1", port, true),
            ("127.0.0.1", port - 3, true),
            ("127.0.0.1", 0, true),
            ("127.0.0.1", port - 11, false),
            ("127.0.0.1", port.saturating_add(1), false),
            ("0.0.0.0", port, false),
            ("[::1]", port, false),
            ("no such host", port, false),
        ] {
            assert_eq!(is_wanted(&handed, host, wanted, FOLLOWING_PORTS), expected, "{host} {wanted}");
        }
    }
}
