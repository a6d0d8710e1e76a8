//! nginx-rtmp as the ingest: runs on a free loopback port with its own configuration and records
//! the received streams.
//!
//! It runs as one process in the foreground, with a parent-death signal, so that no test and no
//! demo leaves it running. The signal follows the *thread* that calls [`Nginx::start`] or
//! [`Nginx::restart`]: call them from a long-lived thread. `flvcheck` checks the recordings.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Path of nginx-rtmp in Debian and Ubuntu (package libnginx-mod-rtmp).
pub const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

const READY_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Server options; the default records and uses nginx-rtmp's chunk size.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Size in bytes of the server's chunks; `None` keeps nginx-rtmp's default (4096).
    pub chunk_size: Option<u32>,
    /// Disables recording (long runs, demo).
    pub no_recording: bool,
    /// Further directives for `application live { … }`, each with its semicolon.
    pub application: String,
}

/// A running, stopped or paused server; dropping it kills the process and removes its directory.
#[derive(Debug)]
pub struct Nginx {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Nginx {
    /// Starts a recording server and waits until it listens.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts a server with `options` and waits until it listens.
    pub fn start_with(options: &Options) -> Result<Self> {
        ensure!(Path::new(MODULE).exists(), "{MODULE} is missing: apt-get install libnginx-mod-rtmp");
        let dir = tempfile::Builder::new().prefix("tgs-nginx-").tempdir().context("make a directory")?;
        fs::create_dir(dir.path().join("rec")).context("make the directory of recordings")?;
        let mut nginx = Self { dir, port: 0, child: None };
        // Retries: another process can take the port between its choice and nginx's bind.
        let mut outcome = Ok(());
        for _ in 0..5 {
            nginx.port = free_port()?;
            fs::write(nginx.dir.path().join("nginx.conf"), nginx.configuration(options))?;
            outcome = nginx.restart();
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| nginx)
    }

    /// The publishing and playback URL of the stream `key` (application `live`).
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{key}", self.port)
    }

    /// The port at 127.0.0.1; a restart keeps it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id, while the server runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process exists (also while paused).
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Stops the server (SIGTERM) and waits for its exit; clients see their connections close.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// Kills the server (SIGKILL); the kernel closes its connections.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Pauses the process (SIGSTOP): connections stay open without reads or answers.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes a paused process.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Restarts the server on the same port and waits until it listens.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let dir = self.dir.path();
        let log = fs::File::create(dir.join("stderr.log"))?;
        // /usr/sbin is not in the search path of ordinary users.
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program, "-p"])
            .arg(dir)
            .arg("-e")
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            // Protects it from the terminal's Ctrl-C: the ingest must outlive its clients.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start nginx: apt-get install nginx libnginx-mod-rtmp")?;
        self.child = Some(child);
        self.wait_until_listening()
    }

    /// The recordings, oldest first: one file per connection. Two connections that begin within one
    /// second share a file, with the second's timestamps shifted after the first's.
    pub fn recordings(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.dir.path().join("rec"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "flv") {
                found.push((fs::metadata(&path)?.created()?, path));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// The only recording; an error if there are none or several.
    pub fn recording(&self) -> Result<PathBuf> {
        let mut found = self.recordings()?;
        ensure!(found.len() == 1, "{} recordings where there should be one: {found:?}", found.len());
        Ok(found.remove(0))
    }

    /// Bytes recorded so far in all recordings.
    pub fn recorded_bytes(&self) -> Result<u64> {
        self.recordings()?.iter().map(|path| Ok(fs::metadata(path)?.len())).sum()
    }

    /// Waits until all recordings hold at least `bytes`.
    pub fn wait_recorded(&self, bytes: u64, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        while self.recorded_bytes()? < bytes {
            ensure!(
                Instant::now() < until,
                "{} bytes recorded after {within:?}, not {bytes}; the server says:\n{}",
                self.recorded_bytes()?,
                self.log()
            );
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// The server's log at level `info` since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        self.read("error.log") + &self.read("stderr.log")
    }

    fn configuration(&self, options: &Options) -> String {
        let dir = self.dir.path().display();
        let port = self.port;
        let chunks = options.chunk_size.map(|n| format!("chunk_size {n};")).unwrap_or_default();
        let record = if options.no_recording {
            String::new()
        } else {
            format!(
                "record all; record_path {dir}/rec; record_unique on; record_append on; record_suffix .flv;"
            )
        };
        let more = &options.application;
        format!(
            "load_module {MODULE};\n\
             daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log info;\n\
             events {{ worker_connections 64; }}\n\
             rtmp {{\n  access_log off;\n  server {{\n    listen 127.0.0.1:{port};\n    {chunks}\n    \
             application live {{ live on; {record} {more} }}\n  }}\n}}\n"
        )
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let until = Instant::now() + READY_WITHIN;
        loop {
            // Checks nginx's bind error first: another server on this port would accept as well.
            let complaint = self.read("stderr.log");
            if !self.is_running() || complaint.contains("bind() to") {
                self.end(Signal::KILL)?;
                bail!("nginx does not listen on {address}; it says:\n{complaint}");
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "nginx does not listen on {address} after {READY_WITHIN:?}");
            thread::sleep(POLL);
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the server is not running")?;
        let pid = Pid::from_raw(pid.cast_signed()).context("pid 0")?;
        kill_process(pid, signal).context("signal nginx")
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        if self.is_running() {
            self.signal(signal)?;
            self.resume()?;
        }
        if let Some(mut child) = self.child.take() {
            child.wait().context("wait for nginx")?;
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Best effort: the parent-death signal also kills the process.
        let _ = self.kill();
    }
}

/// A port without a listener, below the ephemeral port range, so that it stays free while a server
/// is down between two starts.
pub fn free_port() -> Result<u16> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        // Tests run in processes with adjacent ids: a large odd step spreads them over the range.
        let spread = std::process::id().wrapping_mul(7919).wrapping_add(turn.wrapping_mul(104_729));
        let port = 12_000 + (spread % 20_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between 12000 and 32000")
}
