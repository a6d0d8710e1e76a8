//! One connection: its requests one after another, then perhaps notifications or the broadcast.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::RecvTimeoutError,
    },
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tgs_control::{
    method::Call,
    rpc::{self, ErrorCode, LONGEST_MESSAGE, RpcError},
};
use tgs_core::cancel::Cancel;
use tgs_playout::monitor::Monitor;

use super::{
    answer::{Answer, Answers},
    connections::ServedConnection,
    lines::{Line, Lines},
    sender,
    subscribers::Subscription,
};

/// How long a client may take to accept a line, or a part of the broadcast.
const WRITE_TIME_OUT: Duration = Duration::from_secs(5);

/// How often a thread that waits for events looks whether the client has left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves a connection to its end. Errors are the client's.
pub(super) fn serve(served: &ServedConnection, answers: &Answers) {
    let client = Client { socket: &served.socket, writing: Mutex::default(), gone: AtomicBool::new(false) };
    thread::scope(|threads| {
        let notify = |subscription| {
            let thread = thread::Builder::new().name("control-events".into());
            let run = {
                let client = &client;
                move || client.forward(&subscription)
            };
            thread.spawn_scoped(threads, run).map(drop)
        };
        // A panic must not leave the other thread without an end.
        let _guard = LeaveOnDrop(&client);
        let _ = requests(served, &client, answers, notify);
    });
}

/// The client's side of a connection.
struct Client<'a> {
    socket: &'a UnixStream,
    /// Held while a line is written: two threads write.
    writing: Mutex<()>,
    gone: AtomicBool,
}

struct LeaveOnDrop<'a>(&'a Client<'a>);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

impl Client<'_> {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (&mut &*self.socket).write_all(bytes)
    }

    /// Whether the client has closed its side; what it sends is dropped.
    fn has_left(&self) -> bool {
        let mut fds = [PollFd::new(self.socket, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).unwrap_or_default() == 0 {
            return false;
        }
        matches!((&mut &*self.socket).read(&mut [0; 4096]), Ok(0) | Err(_))
    }

    fn answer(&self, id: &Value, answer: &Result<Value, RpcError>) -> io::Result<()> {
        self.write(rpc::answer_line(id, answer).as_bytes())
    }

    /// Sends the notifications of a subscription until the client has left or is too slow.
    fn forward(&self, subscription: &Subscription) {
        while !self.gone.load(Ordering::Relaxed) {
            match subscription.lines.recv_timeout(LOOK_EVERY) {
                Ok(line) if self.write(line.as_bytes()).is_ok() => {}
                Err(RecvTimeoutError::Timeout) => {}
                Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if subscription.was_too_slow() {
            let why = json!({ "reason": "too slow: 256 notifications were waiting" });
            let _ = self.write(rpc::notification_line("dropped", &why).as_bytes());
        }
        // Ends the thread that reads requests.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Answers requests until the client leaves. `notify` starts sending the notifications of a
/// subscription.
fn requests(
    served: &ServedConnection,
    client: &Client<'_>,
    answers: &Answers,
    notify: impl Fn(Subscription) -> io::Result<()>,
) -> io::Result<()> {
    client.socket.set_nonblocking(false)?;
    client.socket.set_write_timeout(Some(WRITE_TIME_OUT))?;
    let hello = serde_json::to_value(answers.hello()).unwrap_or_default();
    client.write(rpc::notification_line("hello", &hello).as_bytes())?;
    let (mut peer, mut lines, mut subscribed) = (sender::peer(client.socket), Lines::default(), false);
    loop {
        served.set_idle(!subscribed);
        let line = match lines.next(client.socket)? {
            Line::Whole(line) if line.trim_ascii().is_empty() => continue,
            Line::Whole(line) => line,
            Line::End => return Ok(()),
            refused => {
                let why = match refused {
                    Line::TooLong => format!("a message has at most {LONGEST_MESSAGE} bytes"),
                    _ => "a message must be complete within 10 s".to_owned(),
                };
                let error = RpcError::new(ErrorCode::InvalidRequest, why);
                return client.answer(&Value::Null, &Err(error));
            }
        };
        served.set_idle(false);
        let request = match rpc::parse_request(&line) {
            Ok(request) => request,
            Err((id, error)) => {
                client.answer(&id, &Err(error))?;
                continue;
            }
        };
        let id = request.id.clone();
        let reply = |answer: Result<Value, RpcError>| match &id {
            // A notification gets no answer.
            None => Ok(()),
            Some(id) => client.answer(id, &answer),
        };
        let call = Call::parse(request);
        let turn = call.as_ref().map_or(Ok(None), |call| answers.turn(call));
        match turn.and_then(|turn| Ok((turn, answers.answer(call?, &mut peer)?))) {
            // The turn ends behind the reply.
            Ok((_turn, Answer::Result(result))) => reply(Ok(result))?,
            Ok((_, Answer::Subscribed(..))) if subscribed => {
                let why = "this connection is subscribed already; use another one";
                reply(Err(RpcError::new(ErrorCode::Refused, why)))?;
            }
            Ok((_, Answer::Subscribed(result, subscription))) => {
                reply(Ok(result))?;
                notify(subscription)?;
                subscribed = true;
            }
            Ok((_, Answer::Monitor(result, monitor))) => {
                reply(Ok(result))?;
                return show(client, monitor, &answers.over());
            }
            Err(error) => reply(Err(error))?,
        }
    }
}

/// Sends the broadcast as FLV until the client leaves or the broadcast is over.
fn show(client: &Client<'_>, mut monitor: Monitor, over: &Cancel) -> io::Result<()> {
    while !over.is_cancelled() {
        match monitor.read(LOOK_EVERY) {
            Some(bytes) => client.write(&bytes)?,
            None if client.has_left() => break,
            None => {}
        }
    }
    Ok(())
}
