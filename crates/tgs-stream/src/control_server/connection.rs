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
    time::{Duration, Instant},
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
    connections::ServedControl,
    lines::{Line, RequestLines},
    recordings::CutAnswer,
    sender,
    subscribers::Subscription,
};
use crate::{live_input::LivePreview, upgrade::Upgrade};

/// How long a client may take to accept a whole line, or a part of the broadcast.
const WRITE_TIME_OUT: Duration = Duration::from_secs(15);

/// How often a thread that waits for events looks whether the client has left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves a connection to its end. Errors are the client's.
pub(super) fn serve(served: &ServedControl, answers: &Answers) {
    let client =
        ConnectedClient { socket: &served.socket, writing: Mutex::default(), gone: AtomicBool::new(false) };
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
struct ConnectedClient<'a> {
    socket: &'a UnixStream,
    /// Held while a line is written: two threads write.
    writing: Mutex<()>,
    gone: AtomicBool,
}

struct LeaveOnDrop<'a>(&'a ConnectedClient<'a>);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

impl ConnectedClient<'_> {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        write_within(self.socket, bytes, WRITE_TIME_OUT)
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

/// Bytes of one `write`: the kernel applies the time-out to each of its buffers, so a longer write
/// to a slow reader takes many times as long.
const MOST_AT_ONCE: usize = 16 << 10;

/// Writes all of `bytes` within `limit`. The socket's own time limit is that of each call: a client
/// that takes a byte now and then would never reach it.
fn write_within(mut socket: &UnixStream, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_write_timeout(Some(left))?;
        match socket.write(&bytes[..bytes.len().min(MOST_AT_ONCE)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Answers requests until the client leaves. `notify` starts sending the notifications of a
/// subscription.
fn requests(
    served: &ServedControl,
    client: &ConnectedClient<'_>,
    answers: &Answers,
    notify: impl Fn(Subscription) -> io::Result<()>,
) -> io::Result<()> {
    client.socket.set_nonblocking(false)?;
    let hello = serde_json::to_value(answers.hello()).unwrap_or_default();
    client.write(rpc::notification_line("hello", &hello).as_bytes())?;
    let (mut peer, mut lines, mut subscribed) = (sender::peer(client.socket), RequestLines::default(), false);
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
                return reply(Ok(result)).and_then(|()| show(client, monitor, &answers.over()));
            }
            Ok((_, Answer::Cut(result, cut))) => {
                reply(Ok(result))?;
                return send_cut(client, cut, &answers.over());
            }
            Ok((_, Answer::Upgraded(result, upgrade))) => end_process(reply(Ok(result)), &upgrade)?,
            Ok((_, Answer::Preview(result, preview))) => {
                reply(Ok(result))?;
                return show_live(client, preview, &answers.over());
            }
            Err(error) => reply(Err(error))?,
        }
    }
}

/// Ends this process once the reply is sent, or cannot be.
fn end_process(replied: io::Result<()>, upgrade: &Upgrade) -> io::Result<()> {
    upgrade.finish();
    replied
}

/// Sends a part of the recordings. A client that gets fewer bytes than announced knows that one of
/// them could not be read.
fn send_cut(client: &ConnectedClient<'_>, mut cut: CutAnswer, over: &Cancel) -> io::Result<()> {
    while !over.is_cancelled() {
        let next = cut.stream.next_bytes();
        let next = next.inspect_err(|error| log::warn!("failed to cut the recordings: {error}"));
        let Some(bytes) = next? else { break };
        client.write(&bytes)?;
    }
    Ok(())
}

/// Sends the publisher's stream as FLV until it ends or the client leaves.
fn show_live(client: &ConnectedClient<'_>, mut preview: LivePreview, over: &Cancel) -> io::Result<()> {
    while !over.is_cancelled()
        && let Some(bytes) = preview.read(LOOK_EVERY)
    {
        if !bytes.is_empty() {
            client.write(&bytes)?;
        } else if client.has_left() {
            break;
        }
    }
    Ok(())
}

/// Sends the broadcast as FLV until the client leaves or the broadcast is over.
fn show(client: &ConnectedClient<'_>, mut monitor: Monitor, over: &Cancel) -> io::Result<()> {
    while !over.is_cancelled() {
        match monitor.read(LOOK_EVERY) {
            Some(bytes) => client.write(&bytes)?,
            None if client.has_left() => break,
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_is_dropped() {
        let (server, mut client) = UnixStream::pair().unwrap();
        let reading = thread::spawn(move || {
            let mut taken = 0;
            while client.read(&mut [0]).is_ok_and(|count| count > 0) {
                taken += 1;
                thread::yield_now();
            }
            taken
        });
        let answer = vec![b'x'; 64 << 20];
        let error = write_within(&server, &answer, Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        drop(server);
        let taken: usize = reading.join().unwrap();
        assert!(0 < taken && taken < answer.len());
    }
}
