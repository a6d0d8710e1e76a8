//! Queries `/status` and `/healthz` of a running `tgs-stream`. Does not retry.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use crate::{
    AddressError, AddressFile, Health, Status, health,
    http_get::{self, HttpAnswer},
};

/// Time limit of one request: the pages come from memory on the same machine.
const LIMIT: Duration = Duration::from_secs(2);

/// A client of one `tgs-stream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusClient {
    address: SocketAddr,
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer within the time limit.
    #[error("{url} does not answer: {source}")]
    NoAnswer {
        /// The URL of the page.
        url: String,
        /// The cause.
        source: io::Error,
    },
    /// An unexpected HTTP status code.
    #[error("{url} answers {code}")]
    Code {
        /// The URL of the page.
        url: String,
        /// The HTTP status code.
        code: u16,
    },
    /// The answer is not the status document of `tgs-stream`.
    #[error("{url} is not the status of a tgs-stream: {source}")]
    NotStatus {
        /// The URL of the page.
        url: String,
        /// The cause.
        source: serde_json::Error,
    },
}

impl StatusClient {
    /// A client of the `tgs-stream` whose pages are at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// A client of the `tgs-stream` that runs with this STATE_DIR.
    pub fn of_state_dir(state_dir: &Path) -> Result<Self, AddressError> {
        AddressFile::in_dir(state_dir).read().map(Self::new)
    }

    /// The address of the pages.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gets `/status`.
    pub fn status(&self) -> Result<Status, ClientError> {
        let path = "/status";
        let answer = self.get(path)?;
        if answer.code != 200 {
            return Err(ClientError::Code { url: self.url(path), code: answer.code });
        }
        serde_json::from_str(&answer.body)
            .map_err(|source| ClientError::NotStatus { url: self.url(path), source })
    }

    /// Gets `/healthz`.
    pub fn health(&self) -> Result<Health, ClientError> {
        self.health_at("/healthz")
    }

    /// Gets a health page at another `path`: 200, or 503 with the reason as its body.
    pub fn health_at(&self, path: &str) -> Result<Health, ClientError> {
        let answer = self.get(path)?;
        match answer.code {
            200 if answer.body.trim() == health::STOPPED => Ok(Health::Stopped),
            200 if answer.body.trim() == health::STANDBY => Ok(Health::Standby),
            200 => Ok(Health::Healthy),
            503 => Ok(Health::Unhealthy(answer.body.trim().to_owned())),
            code => Err(ClientError::Code { url: self.url(path), code }),
        }
    }

    fn get(&self, path: &str) -> Result<HttpAnswer, ClientError> {
        http_get::get(self.address, path, LIMIT)
            .map_err(|source| ClientError::NoAnswer { url: self.url(path), source })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    #[test]
    fn status_and_health_are_distinguished_from_other_answers() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        AddressFile::in_dir(dir.path()).write(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            for (path, answer) in [
                ("/status", "200 OK\r\n\r\n{\"on_air\":{\"state\":\"stopped\"}}"),
                ("/status", "200 OK\r\n\r\n<html>"),
                ("/status", "503 Busy\r\n\r\n"),
                ("/healthz", "200 OK\r\n\r\nok\n"),
                ("/healthz", "200 OK\r\n\r\nstopped\n"),
                ("/healthz", "503 No\r\n\r\ndegraded: no session\n"),
                ("/x", "404 No\r\n\r\n"),
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = BufReader::new(&stream).lines().map(Result::unwrap);
                assert_eq!(asked.next().unwrap(), format!("GET {path} HTTP/1.0"));
                assert!(asked.any(|line| line.is_empty()));
                stream.write_all(format!("HTTP/1.0 {answer}").as_bytes()).unwrap();
            }
        });
        let client = StatusClient::of_state_dir(dir.path()).unwrap();
        assert_eq!(client.status().unwrap().engine.on_air, crate::OnAir::Stopped);
        assert!(matches!(client.status(), Err(ClientError::NotStatus { .. })));
        assert!(matches!(client.status(), Err(ClientError::Code { code: 503, .. })));
        assert_eq!(client.health().unwrap(), Health::Healthy);
        assert_eq!(client.health().unwrap(), Health::Stopped);
        assert_eq!(client.health().unwrap(), Health::Unhealthy("degraded: no session".into()));
        assert!(client.health_at("/x").unwrap_err().to_string().ends_with("/x answers 404"));
        server.join().unwrap();
        assert!(client.health().unwrap_err().to_string().contains("/healthz does not answer: "));
    }
}
