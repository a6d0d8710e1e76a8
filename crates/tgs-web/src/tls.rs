//! The certificate of the desk. A renewed one is used for new connections without a restart; one
//! that cannot be used is reported, and the one before stays.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tgs_core::files;

use crate::settings::TlsFiles;

/// The files are looked at no more often.
const EVERY: Duration = Duration::from_secs(1);

/// The certificate in use.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    state: Mutex<InUse>,
}

#[derive(Debug)]
struct InUse {
    config: Arc<ServerConfig>,
    stamps: [Stamp; 2],
    looked: Instant,
}

/// Inode and time of change of a file, links followed.
type Stamp = Option<(u64, i64, i64)>;

impl Certificate {
    /// Loads the certificate.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self> {
        let stamps = stamps(files);
        let state = InUse { config: config(files)?, stamps, looked: Instant::now() };
        Ok(Self { files: files.clone(), state: Mutex::new(state) })
    }

    /// The configuration for a new connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= EVERY {
            state.looked = Instant::now();
            let now = stamps(&self.files);
            if now != state.stamps {
                state.stamps = now;
                match config(&self.files) {
                    Ok(config) => {
                        state.config = config;
                        log::info!("the certificate {} was renewed", self.files.cert.display());
                    }
                    Err(error) => {
                        log::warn!(
                            "the certificate was changed and cannot be used; keeping the one before: {error:#}"
                        );
                    }
                }
            }
        }
        state.config.clone()
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.cert, &files.key].map(|path| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.ino(), meta.mtime(), meta.mtime_nsec()))
    })
}

fn config(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let pem =
        |path: &Path| files::read_regular(path, 1 << 20).with_context(|| format!("read {}", path.display()));
    let certs = CertificateDer::pem_slice_iter(&pem(&files.cert)?)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("read the certificates in {}", files.cert.display()))?;
    ensure!(!certs.is_empty(), "there is no certificate in {}", files.cert.display());
    let key = PrivateKeyDer::from_pem_slice(&pem(&files.key)?)
        .with_context(|| format!("read the key in {}", files.key.display()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose the versions of TLS")?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .with_context(|| format!("use {} with {}", files.key.display(), files.cert.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
