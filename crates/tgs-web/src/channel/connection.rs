//! A connection to a control socket for the desk's one thread: requests and notifications, without
//! blocking. Commands use [`tgs_control::ControlClient`].

use std::{io, path::Path, time::Duration};

use serde_json::Value;
use tgs_control::{
    Hello,
    method::{Call, HelloParams},
    rpc::{self, RpcError, RpcMessage},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// Time limit of an answer.
const LIMIT: Duration = Duration::from_secs(15);

/// Longest line of a broadcast.
const LONGEST: usize = 4 << 20;

/// A connection to one broadcast.
#[derive(Debug)]
pub(crate) struct AsyncControl {
    stream: UnixStream,
    received: Vec<u8>,
    next_id: u64,
    /// The server's greeting.
    pub(crate) hello: Hello,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side does not speak the protocol.
    #[error("it does not speak the protocol of tgs-stream: {0}")]
    Protocol(String),
    /// The broadcast refuses the request.
    #[error(transparent)]
    Refused(#[from] RpcError),
}

impl AsyncControl {
    /// Connects, and states `name` for the broadcast's log.
    pub(crate) async fn connect(socket: &Path, name: &str) -> Result<Self, LinkError> {
        let stream = within(LIMIT, UnixStream::connect(socket)).await??;
        let hello =
            Hello { server: String::new(), version: String::new(), protocol: 0, channel: String::new() };
        let mut control = Self { stream, received: Vec::new(), next_id: 1, hello };
        match within(LIMIT, control.receive()).await?? {
            RpcMessage::Notification(method, params) if method == "hello" => {
                let wrong = |error: serde_json::Error| LinkError::Protocol(error.to_string());
                control.hello = serde_json::from_value(params).map_err(wrong)?;
            }
            RpcMessage::Answer(_, Err(error)) => return Err(error.into()),
            _ => return Err(LinkError::Protocol("its first line is no greeting".into())),
        }
        control.call(&Call::Hello(HelloParams { client: name.to_owned() })).await?;
        Ok(control)
    }

    /// Sends a request and returns its result. Notifications before the answer are dropped.
    pub(crate) async fn call(&mut self, call: &Call) -> Result<Value, LinkError> {
        let id = self.send(call).await?;
        loop {
            match within(LIMIT, self.receive()).await?? {
                RpcMessage::Answer(of, answer) if of == id => return Ok(answer?),
                RpcMessage::Answer(Value::Null, Err(error)) => return Err(error.into()),
                _ => {}
            }
        }
    }

    /// Sends a request and returns its ID.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<u64, LinkError> {
        let (method, params) = call.to_parts();
        let id = self.next_id;
        self.next_id += 1;
        let line = rpc::request_line(id, &method, &params);
        within(LIMIT, self.stream.write_all(line.as_bytes())).await??;
        Ok(id)
    }

    /// Waits for the next line. Dropping the future loses nothing that was received.
    pub(crate) async fn receive(&mut self) -> Result<RpcMessage, LinkError> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return rpc::parse_received(&line).map_err(|error| LinkError::Protocol(error.to_string()));
            }
            if self.received.len() > LONGEST {
                return Err(LinkError::Protocol("a line is too long".into()));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the broadcast").into());
            }
        }
    }

    /// The connection after `monitor`: bytes received beyond the answer, and the stream.
    pub(crate) fn into_stream(self) -> (Vec<u8>, UnixStream) {
        (self.received, self.stream)
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()));
    timeout(limit, work).await.map_err(late)
}
