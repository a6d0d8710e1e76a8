//! A client of the control socket: one request at a time, each with a time limit. Does not retry.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Hello,
    method::{Call, HelloParams},
    rpc::{self, LONGEST_ANSWER, RpcError, RpcMessage},
};

/// Time limit of an answer: commands are answered from memory; a queue entry waits for the disk.
const LIMIT: Duration = Duration::from_secs(15);

/// A connection to one broadcast.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
    /// RpcMessage bytes that are not parsed yet.
    received: Vec<u8>,
    /// How many of them hold no newline.
    searched: usize,
    next_id: u64,
    hello: Hello,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No broadcast listens at the socket.
    #[error("no broadcast runs with the control socket {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket may not be used by this user.
    #[error("no permission to use {}", .0.display())]
    Denied(PathBuf),
    /// The connection failed.
    #[error("connection to {}: {source}", .path.display())]
    Connection {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The other side does not speak this protocol.
    #[error("{} does not speak the protocol of tgs-stream: {reason}", .path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What was received instead.
        reason: String,
    },
    /// The broadcast refuses the request.
    #[error(transparent)]
    Refused(#[from] RpcError),
    /// The connection was lost.
    #[error("connection to the broadcast: {0}")]
    Lost(#[from] io::Error),
    /// The answer is not what the method returns.
    #[error("the broadcast answers otherwise than this version expects: {0}")]
    Answer(#[from] serde_json::Error),
}

impl ControlClient {
    /// Connects to the broadcast at `socket`, and states `name` for its log.
    pub fn connect(socket: &Path, name: &str) -> Result<Self, ControlError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NotRunning(socket.to_owned())
            }
            io::ErrorKind::PermissionDenied => ControlError::Denied(socket.to_owned()),
            _ => ControlError::Connection { path: socket.to_owned(), source },
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_write_timeout(Some(LIMIT)).map_err(failed)?;
        let hello =
            Hello { server: String::new(), version: String::new(), protocol: 0, channel: String::new() };
        let mut client = Self { stream, received: Vec::new(), searched: 0, next_id: 1, hello };
        let other = |reason: String| ControlError::Protocol { path: socket.to_owned(), reason };
        match client.receive(Instant::now() + LIMIT).map_err(|error| other(error.to_string()))? {
            RpcMessage::Notification(method, params) if method == "hello" => {
                client.hello = serde_json::from_value(params).map_err(|error| other(error.to_string()))?;
            }
            // A server at its limit answers with an error at once.
            RpcMessage::Answer(_, Err(error)) => return Err(error.into()),
            _ => return Err(other("its first line is no greeting".to_owned())),
        }
        client.call(&Call::Hello(HelloParams { client: name.chars().take(64).collect() }))?;
        Ok(client)
    }

    /// The server's greeting.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Sends a request and returns its result, unparsed. Notifications before the answer are
    /// dropped.
    pub fn call(&mut self, call: &Call) -> Result<Value, ControlError> {
        self.call_within(call, LIMIT)
    }

    /// The same with another time limit.
    pub fn call_within(&mut self, call: &Call, limit: Duration) -> Result<Value, ControlError> {
        let (method, params) = call.to_parts();
        let id = self.next_id;
        self.next_id += 1;
        self.stream.write_all(rpc::request_line(id, &method, &params).as_bytes())?;
        let deadline = Instant::now() + limit;
        loop {
            match self.receive(deadline)? {
                RpcMessage::Answer(of, answer) if of == id => return Ok(answer?),
                // The server rejects what it cannot attribute, and closes.
                RpcMessage::Answer(Value::Null, Err(error)) => return Err(error.into()),
                RpcMessage::Answer(..) | RpcMessage::Notification(..) => {}
            }
        }
    }

    /// Sends a request and returns its result.
    pub fn get<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, ControlError> {
        Ok(serde_json::from_value(self.call(call)?)?)
    }

    /// Waits for the next notification after `subscribe`, without a limit of time.
    pub fn notification(&mut self) -> Result<(String, Value), ControlError> {
        self.stream.set_read_timeout(None)?;
        loop {
            if let Some(RpcMessage::Notification(method, params)) = self.parse_line()? {
                return Ok((method, params));
            }
            self.fill()?;
        }
    }

    /// The connection after `monitor`: bytes received beyond the answer, and the stream.
    #[must_use]
    pub fn into_stream(self) -> (Vec<u8>, UnixStream) {
        (self.received, self.stream)
    }

    fn receive(&mut self, deadline: Instant) -> Result<RpcMessage, ControlError> {
        loop {
            if let Some(received) = self.parse_line()? {
                return Ok(received);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 15 s").into());
            }
            self.stream.set_read_timeout(Some(left))?;
            self.fill()?;
        }
    }

    fn parse_line(&mut self) -> Result<Option<RpcMessage>, ControlError> {
        let found = self.received[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = found.map(|at| self.searched + at) else {
            self.searched = self.received.len();
            if self.received.len() > LONGEST_ANSWER {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long").into());
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        self.searched = 0;
        Ok(Some(rpc::parse_received(&line)?))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let read = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the broadcast")),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 15 s"));
            }
            Err(error) => return Err(error),
        };
        self.received.extend_from_slice(&buffer[..read]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;
    use crate::method::NoParams;

    /// Serves one client: the greeting, then for each request the next of `answers`, in which `ID`
    /// stands for the request's ID.
    fn serve(greeting: &'static str, answers: &[&'static str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let answers = answers.to_vec();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            let mut requests = BufReader::new(stream.try_clone().unwrap()).lines();
            for answer in answers {
                let Some(Ok(request)) = requests.next() else { return };
                let request: Value = serde_json::from_str(&request).unwrap();
                stream.write_all(answer.replace("ID", &request["id"].to_string()).as_bytes()).unwrap();
            }
        });
        (dir, path)
    }

    const GREETING: &str = concat!(
        r#"{"jsonrpc":"2.0","method":"hello","params":{"server":"tgs-stream","version":"9.0","protocol":7,"new":1}}"#,
        "\n"
    );
    const ANSWERED: &str = "{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{}}\n";

    #[test]
    fn a_newer_server_is_understood() {
        let status = concat!(
            r#"{"jsonrpc":"2.0","method":"event","params":{"event":"new"}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":ID,"result":{"on_air":{"state":"item","title":"a"},"more":[1]},"x":2}"#,
            "\n"
        );
        let (_dir, path) = serve(GREETING, &[ANSWERED, status]);
        let mut client = ControlClient::connect(&path, "test").unwrap();
        assert_eq!((client.hello().protocol, client.hello().version.as_str()), (7, "9.0"));
        let status: crate::BroadcastStatus = client.get(&Call::Status(NoParams {})).unwrap();
        assert!(matches!(status.status.engine.on_air, crate::OnAir::Item(item) if item.title == "a"));
    }

    #[test]
    fn each_failure_is_distinguished_from_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let missing = ControlClient::connect(&dir.path().join("none"), "test").unwrap_err();
        assert!(matches!(missing, ControlError::NotRunning(_)), "{missing}");

        let (_dir, path) = serve("SSH-2.0-OpenSSH_9.2\r\n", &[]);
        let other = ControlClient::connect(&path, "test").unwrap_err();
        assert!(matches!(other, ControlError::Protocol { .. }), "{other}");

        let refused = "{\"jsonrpc\":\"2.0\",\"id\":ID,\"error\":{\"code\":-32001,\"message\":\"live\"}}\n";
        let (_dir, path) = serve(GREETING, &[ANSWERED, refused, "not json\n"]);
        let mut client = ControlClient::connect(&path, "test").unwrap();
        let error = client.call(&Call::Next(NoParams {})).unwrap_err();
        assert!(matches!(&error, ControlError::Refused(why) if why.message == "live"), "{error}");
        let error = client.call(&Call::Next(NoParams {})).unwrap_err();
        assert!(matches!(error, ControlError::Answer(_)), "{error}");
        let error = client.call(&Call::Next(NoParams {})).unwrap_err();
        assert!(matches!(error, ControlError::Lost(_)), "{error}");
    }
}
