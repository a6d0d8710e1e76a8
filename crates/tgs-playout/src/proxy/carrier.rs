//! Senders that take one connection only, over protocols that are none of HTTP's (SRT, TCP): one ffmpeg connects, and the
//! proxy gives what it reads to the probe and then to the encoder, as the body of an answer.

use std::{io::Read, net::TcpStream, path::PathBuf, process::Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::process;

use super::{
    Trouble,
    exchange::{Origin, Said},
    head, protocols,
};
use crate::{ffmpeg::messages::explain, item::MediaSource};

/// The host that children ask for such a sender: a name that never resolves.
pub(super) const HOST: &str = "sender.invalid";

/// What children are given to open.
pub(super) const URL: &str = "http://sender.invalid/";

/// How long the first bytes may take: ffmpeg waits ten seconds for the answer.
const TIME: Timespec = Timespec { tv_sec: 9, tv_nsec: 0 };

/// What a carrier opens, and the ffmpeg that does.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    pub(super) source: MediaSource,
    pub(super) ffmpeg: PathBuf,
}

/// Connects to the sender; what it sends is an answer without a length.
pub(super) fn open(carried: &Carried, client: &TcpStream) -> Result<(Origin, Said), Trouble> {
    let source = &carried.source;
    let mut command = process::command(&carried.ffmpeg);
    command.args(["-nostdin", "-v", "error"]).args(protocols::options(source));
    command.args([
        "-f",
        "data",
        "-i",
        &protocols::direct_url(source),
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "data",
        "pipe:1",
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |messages: &str| Trouble::Sender(explain(messages, source));
    let child = process::spawn(command).map_err(|error| failed(&error.to_string()))?;
    let output = child.take_stdout().ok_or_else(|| failed("no output"))?;
    let mut fds = [PollFd::new(&output, PollFlags::IN), PollFd::new(client, PollFlags::RDHUP)];
    let came = poll(&mut fds, Some(&TIME)).is_ok() && fds[0].revents().contains(PollFlags::IN);
    if !came {
        // It is to say why; and not to be waited for.
        let messages = child.take_stderr();
        child.kill_group();
        let mut text = Vec::new();
        let _ = messages.map(|pipe| pipe.take(4096).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        return Err(failed(if text.trim().is_empty() { "Connection timed out" } else { &text }));
    }
    let answer = head::answer(b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n");
    Ok((Origin::child(child, output.into()), (answer, Vec::new())))
}
