//! Bridges protocols that the proxy does not speak (SRT, RIST, TCP): one ffmpeg connects to the
//! sender, and its output is the body of a response. Senders that take a single connection serve
//! probe and encoder.

use std::{io::Read, net::TcpStream, path::PathBuf, process::Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::process;

use super::{
    error::ProxyError,
    exchange::{Upstream, UpstreamReply},
    head, protocols,
};
use crate::{item::MediaSource, source_failure::explain};

/// Limit for the first bytes: ffmpeg waits ten seconds for a response.
const TIME: Timespec = Timespec { tv_sec: 9, tv_nsec: 0 };

/// A source, and the ffmpeg that opens it.
#[derive(Debug, Clone)]
pub(super) struct BridgedSource {
    pub(super) source: MediaSource,
    pub(super) ffmpeg: PathBuf,
}

/// Connects to the sender. Its response has no length.
pub(super) fn open(
    bridged: &BridgedSource,
    client: &TcpStream,
) -> Result<(Upstream, UpstreamReply), ProxyError> {
    let source = &bridged.source;
    let mut command = process::command(&bridged.ffmpeg);
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
    let failed = |messages: &str| ProxyError::Upstream(explain(messages, source));
    let child = process::spawn(command).map_err(|error| failed(&error.to_string()))?;
    let output = child.take_stdout().ok_or_else(|| failed("no output"))?;
    let mut fds = [PollFd::new(&output, PollFlags::IN), PollFd::new(client, PollFlags::RDHUP)];
    let came = poll(&mut fds, Some(&TIME)).is_ok() && fds[0].revents().contains(PollFlags::IN);
    if !came {
        // The kill ends the pipe, so that reading the reason does not block.
        let messages = child.take_stderr();
        child.kill_group();
        let mut text = Vec::new();
        let _ = messages.map(|pipe| pipe.take(4096).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        return Err(failed(if text.trim().is_empty() { "Connection timed out" } else { &text }));
    }
    let answer = head::parse_response(b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n");
    Ok((Upstream::child(child, output.into()), (answer, Vec::new())))
}
