//! TLS for a plain RTMP server: stunnel4, and a test certificate authority made by `openssl`.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::nginx::free_port;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A certificate authority. Dropping it removes its files.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
}

/// A server's certificate and key.
#[derive(Debug, Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
}

/// The validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid for one day from now.
    Now,
    /// Expired yesterday.
    Expired,
}

impl Certificate {
    /// The file of the certificate.
    #[must_use]
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// The file of its key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }
}

impl Authority {
    /// Creates a new certificate authority that nothing trusts.
    pub fn new() -> Result<Self> {
        let authority = Self { dir: tempfile::Builder::new().prefix("tgs-ca-").tempdir()? };
        // A unique name: two authorities with one name would differ by their signatures only.
        let name =
            format!("/CN={}", authority.dir.path().file_name().and_then(|n| n.to_str()).unwrap_or("test"));
        let subject =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
        authority
            .openssl(&[&subject[..], &["-subj", &name, "-keyout", "ca.key", "-out", "ca.pem"]].concat())?;
        Ok(authority)
    }

    /// The CA file for SSL_CERT_FILE.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Issues a certificate for `names` in openssl's syntax (`IP:127.0.0.1,DNS:localhost`).
    pub fn certificate(&self, name: &str, names: &str, validity: Validity) -> Result<Certificate> {
        let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let extensions = format!("{name}.ext");
        fs::write(self.dir.path().join(&extensions), format!("subjectAltName={names}\n"))?;
        let new =
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server"];
        self.openssl(&[&new[..], &["-keyout", &key, "-out", &request]].concat())?;
        let days = if validity == Validity::Now { "1" } else { "-1" };
        let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&[&sign[..], &["-days", days, "-extfile", &extensions, "-out", &cert]].concat())?;
        Ok(Certificate { chain: self.dir.path().join(cert), key: self.dir.path().join(key) })
    }

    fn openssl(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("openssl")
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .context("run openssl: apt-get install openssl")?;
        ensure!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// A running TLS terminator; dropping it kills the process.
#[derive(Debug)]
pub struct Stunnel {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Stunnel {
    /// Accepts TLS on a free port of 127.0.0.1, presents `certificate` and forwards to the local
    /// port `backend`. Call it from a long-lived thread: the process dies with the thread.
    pub fn start(certificate: &Certificate, backend: u16) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tgs-stunnel-").tempdir()?;
        let port = free_port()?;
        let configuration = format!(
            "foreground = yes\npid =\nsyslog = no\n\n[rtmps]\naccept = 127.0.0.1:{port}\n\
             connect = 127.0.0.1:{backend}\ncert = {}\nkey = {}\n",
            certificate.chain.display(),
            certificate.key.display()
        );
        let file = dir.path().join("stunnel.conf");
        fs::write(&file, configuration)?;
        let child = spawn(&file, &dir.path().join("log"))?;
        let mut stunnel = Self { dir, port, child };
        stunnel.wait_until_listening()?;
        Ok(stunnel)
    }

    /// The TLS port at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The publishing URL of the stream `key` (application `live`) at this host name.
    #[must_use]
    pub fn url(&self, host: &str, key: &str) -> String {
        format!("rtmps://{host}:{}/live/{key}", self.port)
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > until {
                bail!("stunnel does not listen on {}; it says:\n{}", self.port, self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Stunnel {
    fn drop(&mut self) {
        // Best effort: the process may have exited, and the parent-death signal also kills it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(configuration: &Path, log: &Path) -> Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "stunnel4"])
        .arg(configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(log)?)
        .spawn()
        .context("start stunnel4: apt-get install stunnel4")
}
