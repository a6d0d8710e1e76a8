//! Opens a connection over what a dialler has connected: TLS, and cancellable waits. Independent of
//! RTMP.

use std::{io, sync::Arc};

use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName};

use super::{
    acked::acked,
    dial::{Deadline, Dial},
    error::{CertificateProblem, OpenError, OpenStage, TlsError},
};
use crate::socket::again;
pub(super) use crate::transport::Transport;

impl Transport {
    /// Connects to `host` by `dialler`.
    pub(super) fn connect(
        dialler: &dyn Dial,
        host: &str,
        port: u16,
        deadline: Deadline<'_>,
    ) -> Result<Self, OpenError> {
        let fence = dialler.fence();
        if fence.as_ref().is_some_and(|fence| !fence.may_send()) {
            return Err(OpenError::Fenced);
        }
        let socket = dialler.dial(host, port, deadline)?;
        let failed = |source| OpenError::Connect { host: host.to_owned(), port, source };
        socket.set_nonblocking(true).map_err(failed)?;
        // The kernel's count of acknowledged bytes includes what the dialler has written.
        let before = acked(&socket, u64::MAX);
        let mut transport = Self::after(socket, before);
        if let Some(fence) = fence {
            transport.fenced_by(fence).map_err(failed)?;
        }
        Ok(transport)
    }

    /// Sets up TLS and verifies the server's certificate for `host`.
    pub(super) fn start_tls(&mut self, host: &str, deadline: Deadline<'_>) -> Result<(), OpenError> {
        let tls_error = |error| OpenError::Tls(TlsError::Failed(error));
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| OpenError::Tls(TlsError::Name { host: host.to_owned() }))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?
            .with_root_certificates(authorities()?)
            .with_no_client_auth();
        self.set_tls(ClientConnection::new(Arc::new(config), name).map_err(tls_error)?);
        self.shake_hands(deadline)
    }

    fn shake_hands(&mut self, deadline: Deadline<'_>) -> Result<(), OpenError> {
        loop {
            // Before failing, sends the TLS alert that states the reason.
            let outcome = self.advance_tls().map_err(OpenError::from);
            let sent = self.push(&mut Vec::new());
            outcome?;
            let all_sent = sent.map_err(|e| closed_or_broken(e, OpenStage::Tls))?;
            if !self.is_handshaking() && all_sent {
                return Ok(());
            }
            if !self.poll(!all_sent, deadline.slice(OpenStage::Tls)?) {
                continue;
            }
            match self.read_tls() {
                Ok(0) => return Err(OpenError::Closed(OpenStage::Tls)),
                Ok(_) => {}
                Err(e) if again(&e) => {}
                Err(e) => return Err(closed_or_broken(e, OpenStage::Tls)),
            }
        }
    }

    pub(super) fn acked(&self) -> u64 {
        acked(self.socket(), self.written())
    }
}

fn authorities() -> Result<RootCertStore, OpenError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let problem = CertificateProblem::NoAuthorities(found.errors.into_iter().next());
        return Err(OpenError::Certificate(problem));
    }
    Ok(roots)
}

pub(super) fn closed_or_broken(error: io::Error, stage: OpenStage) -> OpenError {
    use super::error::ConnectionLost;
    match ConnectionLost::from(error) {
        ConnectionLost::Closed | ConnectionLost::Reset => OpenError::Closed(stage),
        ConnectionLost::NoAnswer => OpenError::Timeout(stage),
        broken => OpenError::Broken { stage, broken },
    }
}
