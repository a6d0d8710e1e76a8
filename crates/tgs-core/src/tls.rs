//! The certificate of a server. A renewed one is used for new connections without a restart; one
//! that cannot be used is reported, and the one before stays.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use crate::files::{self, FileVersion};

/// The files are looked at no more often.
const EVERY: Duration = Duration::from_secs(1);

/// Longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its intermediates.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A file is not PEM, or holds no key.
    #[error("read {what} in {}: {cause}", path.display())]
    Pem {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: pem::Error,
    },
    /// The file holds no certificate.
    #[error("there is no certificate in {}", .0.display())]
    Empty(PathBuf),
    /// Certificate and key do not belong together, or are not supported.
    #[error("use {} with {}: {cause}", .files.key.display(), .files.cert.display())]
    Unusable {
        /// The files.
        files: TlsFiles,
        /// The cause.
        cause: rustls::Error,
    },
}

/// The certificate in use.
#[derive(Debug)]
pub struct ServerCertificate {
    files: TlsFiles,
    /// The protocols that clients may choose (ALPN).
    protocols: Vec<Vec<u8>>,
    state: Mutex<InUse>,
}

#[derive(Debug)]
struct InUse {
    config: Arc<ServerConfig>,
    versions: [Option<FileVersion>; 2],
    looked: Instant,
}

impl ServerCertificate {
    /// Loads the certificate, for a server of these ALPN `protocols`.
    pub fn load(files: &TlsFiles, protocols: &[&str]) -> Result<Self, CertificateError> {
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let versions = versions(files);
        let state = InUse { config: config(files, &protocols)?, versions, looked: Instant::now() };
        Ok(Self { files: files.clone(), protocols, state: Mutex::new(state) })
    }

    /// The configuration for a new connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= EVERY {
            state.looked = Instant::now();
            let now = versions(&self.files);
            if now != state.versions {
                state.versions = now;
                match config(&self.files, &self.protocols) {
                    Ok(config) => {
                        state.config = config;
                        log::info!("the certificate {} was renewed", self.files.cert.display());
                    }
                    Err(error) => {
                        log::warn!(
                            "the certificate was changed and cannot be used; keeping the one before: {error}"
                        );
                    }
                }
            }
        }
        state.config.clone()
    }
}

fn versions(files: &TlsFiles) -> [Option<FileVersion>; 2] {
    [&files.cert, &files.key].map(|path| FileVersion::of(path))
}

fn config(files: &TlsFiles, protocols: &[Vec<u8>]) -> Result<Arc<ServerConfig>, CertificateError> {
    let read = |path: &Path| {
        files::read_regular(path, LONGEST)
            .map_err(|cause| CertificateError::Read { path: path.to_owned(), cause })
    };
    let malformed = |what, path: &Path, cause| CertificateError::Pem { what, path: path.to_owned(), cause };
    let certs = CertificateDer::pem_slice_iter(&read(&files.cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| malformed("the certificates", &files.cert, cause))?;
    if certs.is_empty() {
        return Err(CertificateError::Empty(files.cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|cause| malformed("the key", &files.key, cause))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certs, key))
        .map_err(|cause| CertificateError::Unusable { files: files.clone(), cause })?;
    config.alpn_protocols = protocols.to_vec();
    Ok(Arc::new(config))
}
