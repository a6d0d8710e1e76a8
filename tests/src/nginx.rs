//! nginx-rtmp as the ingest: started on a free loopback port with a configuration of its own,
//! recording what it is sent.
//!
//! It runs as one process in the foreground, with a parent-death signal, so that no test and no
//! demo leaves it behind (the signal follows the *thread* that calls [`Nginx::start`] or
//! [`Nginx::restart`]: call them from one that lasts). What it records is checked elsewhere
//! (`flvcheck`).

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

/// Where Debian and Ubuntu put nginx-rtmp (package libnginx-mod-rtmp).
pub const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

const READY_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// How the server is set up; the default records and uses nginx-rtmp's own chunk size.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Size in bytes of the chunks that the server sends; `None`: nginx-rtmp's own (4096).
    pub chunk_size: Option<u32>,
    /// Do not write recordings (long runs, demo).
    pub no_recording: bool,
    /// Further lines for `application live { … }`, each with its semicolon.
    pub application: String,
}

/// A running (or stopped, or paused) server; dropping it kills the process and removes its
/// directory.
#[derive(Debug)]
pub struct Nginx {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Nginx {
    /// Starts a server that records, and waits until it listens.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts a server set up as `options` say, and waits until it listens.
    pub fn start_with(options: &Options) -> Result<Self> {
        ensure!(Path::new(MODULE).exists(), "{MODULE} is missing: apt-get install libnginx-mod-rtmp");
        let dir = tempfile::Builder::new().prefix("tgs-nginx-").tempdir().context("make a directory")?;
        fs::create_dir(dir.path().join("rec")).context("make the directory of recordings")?;
        let mut nginx = Self { dir, port: 0, child: None };
        // Another process can take the port between its choice and nginx' bind: choose again.
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

    /// The publishing and playing address of the stream `key` (application `live`).
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{key}", self.port)
    }

    /// The port it listens on at 127.0.0.1; the same after every restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process is there (a paused one is).
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Asks the server to go (SIGTERM) and waits for it: clients see their connections close.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// Kills the server (SIGKILL). The kernel closes its connections.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Stops the process (SIGSTOP): connections stay open, nothing is read or answered.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts the server again on the same port, ending the one that runs, and waits until it
    /// listens.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let dir = self.dir.path();
        let log = fs::File::create(dir.join("stderr.log"))?;
        // Plain users have not got /usr/sbin in their search path.
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program, "-p"])
            .arg(dir)
            .arg("-e")
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            // Away from the terminal's Ctrl-C: the ingest goes after its clients.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start nginx: apt-get install nginx libnginx-mod-rtmp")?;
        self.child = Some(child);
        self.wait_until_listening()
    }

    /// The recordings, oldest first: one file a connection (two that begin within the same second
    /// share one, the second's timestamps moved behind the first's).
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

    /// The only recording; an error where there are none or several.
    pub fn recording(&self) -> Result<PathBuf> {
        let mut found = self.recordings()?;
        ensure!(found.len() == 1, "{} recordings where there should be one: {found:?}", found.len());
        Ok(found.remove(0))
    }

    /// Bytes recorded so far, over all recordings.
    pub fn recorded_bytes(&self) -> Result<u64> {
        self.recordings()?.iter().map(|path| Ok(fs::metadata(path)?.len())).sum()
    }

    /// Waits until at least `bytes` are recorded over all recordings.
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

    /// What the server has logged at level `info` since it was first started.
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
            // A foreign server on this port would accept as well, so nginx' own word on the bind
            // counts first.
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
        // Nothing more can be done where this fails, and the parent-death signal is behind it.
        let _ = self.kill();
    }
}

/// A port without a listener, below the range that outgoing connections are given ports from: it
/// stays free while a server is down between two starts.
pub fn free_port() -> Result<u16> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        // Tests are processes of neighbouring ids: a large odd step spreads them over the range.
        let spread = std::process::id().wrapping_mul(7919).wrapping_add(turn.wrapping_mul(104_729));
        let port = 12_000 + (spread % 20_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between 12000 and 32000")
}
