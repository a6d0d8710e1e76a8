//! TLS in front of a plain RTMP server: stunnel4, and a certificate authority of the test's own
//! (made by `openssl`).

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

/// How long a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From now on for a day.
    Now,
    /// It ended yesterday.
    Expired,
}

impl Authority {
    /// A new, unknown certificate authority.
    pub fn new() -> Result<Self> {
        let authority = Self { dir: tempfile::Builder::new().prefix("tgs-ca-").tempdir()? };
        // Two authorities of one name would differ by their signatures only.
        let name =
            format!("/CN={}", authority.dir.path().file_name().and_then(|n| n.to_str()).unwrap_or("test"));
        let subject =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
        authority
            .openssl(&[&subject[..], &["-subj", &name, "-keyout", "ca.key", "-out", "ca.pem"]].concat())?;
        Ok(authority)
    }

    /// The file to name in SSL_CERT_FILE.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for `names`, in openssl's form (`IP:127.0.0.1,DNS:localhost`).
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

/// A running TLS terminator; dropping it kills it.
#[derive(Debug)]
pub struct Stunnel {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Stunnel {
    /// Takes TLS on a free port of 127.0.0.1, shows `certificate` and passes everything on to
    /// `backend`, a port there. Call it from a thread that lasts: the process dies with it.
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

    /// The port it takes TLS on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The publishing address of the stream `key` (application `live`) at this host name.
    #[must_use]
    pub fn url(&self, host: &str, key: &str) -> String {
        format!("rtmps://{host}:{}/live/{key}", self.port)
    }

    /// What it has logged.
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
        // It may be gone already, and the parent-death signal is behind it.
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
