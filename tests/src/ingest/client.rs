//! One connection: answers a publisher as a server does, or misbehaves as the setup says.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rml_amf0::Amf0Value;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::set_socket_linger,
};
use tgs_rtmp::{
    amf0::{self, AmfValue},
    chunk::{Received, kind},
    server::{KeyCheck, Rate, ServerConfig, ServerLimits, ServerSession},
};

use super::{
    record::Message,
    setup::{Setup, Welcome},
    state::Shared,
};

/// Length in bytes of C1, S1, C2 and S2.
const BLOCK: usize = 1536;

/// Interval at which threads check for instructions.
const LOOK: Duration = Duration::from_millis(10);

/// Waits briefly for readable data.
pub(super) fn readable(socket: &impl std::os::fd::AsFd) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)).is_ok_and(|n| n > 0)
}

/// One connection of a publisher.
pub(super) struct Client {
    stream: TcpStream,
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    setup: Setup,
    generation: u32,
    session: ServerSession,
    count: usize,
    next_ping: Option<Instant>,
}

/// No effective limit: the tests publish faster than real time.
const LIMITS: ServerLimits = ServerLimits {
    longest_message: 16 << 20,
    bytes: Rate { at_once: u64::MAX, per_second: 1 },
    messages: Rate { at_once: u64::MAX, per_second: 1 },
    time_to_publish: Duration::MAX,
    idle: Duration::MAX,
};

impl Client {
    pub(super) fn new(
        stream: TcpStream,
        shared: Arc<Shared>,
        index: usize,
        setup: Setup,
        generation: u32,
    ) -> Self {
        let next_ping = setup.ping.map(|every| Instant::now() + every);
        let config =
            ServerConfig { app: None, key: KeyCheck::Any, chunk_size: setup.chunk_size, limits: LIMITS };
        let session = ServerSession::new(config, Instant::now());
        Self { stream, shared, index, setup, generation, session, count: 0, next_ping }
    }

    /// Serves the connection and returns the cause of its end.
    pub(super) fn serve(&mut self) -> Result<&'static str> {
        self.stream.set_nonblocking(false)?;
        let mut hello = [0; 1 + BLOCK];
        let mut echo = [0; BLOCK];
        if !self.read_whole(&mut hello)? {
            return Ok("closed before the handshake");
        }
        self.session.receive(&hello, Instant::now())?;
        let answer = self.session.output().clone();
        self.flush()?;
        if !self.read_whole(&mut echo)? {
            return Ok("closed in the handshake");
        }
        self.session.receive(&echo, Instant::now())?;
        self.shared.change(self.index, |r| {
            r.handshake = [&hello[..], &echo[..]].concat();
            r.handshake_answer = answer;
        });
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(end) = self.asked_to_end()? {
                return Ok(end);
            }
            self.ping()?;
            if !self.may_read() {
                thread::sleep(LOOK);
                continue;
            }
            if !readable(&self.stream) {
                continue;
            }
            let n = self.stream.read(&mut buffer)?;
            if n == 0 {
                return Ok("closed by the publisher");
            }
            if self.setup.keep_bytes {
                self.shared.change(self.index, |r| r.bytes.extend(&buffer[..n]));
            }
            self.session.receive(&buffer[..n], Instant::now())?;
            while let Some(received) = self.session.next_message(Instant::now())? {
                self.count += 1;
                let end = self.answer(&received)?;
                let message = Message { received, arrived: Instant::now() };
                match &self.setup.pass_on {
                    // The receiver may have ended already.
                    Some(to) => drop(to.send((self.index, message))),
                    None => self.shared.change(self.index, |r| r.messages.push(message)),
                }
                // Sent after the record is stored: a test that sees an answer finds its cause.
                self.flush()?;
                if let Some(end) = end {
                    return Ok(end);
                }
                if let Some(end) = self.asked_to_end()? {
                    return Ok(end);
                }
            }
        }
    }

    /// Reads all of `buffer`; `false` if the client closes first.
    fn read_whole(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let mut have = 0;
        while have < buffer.len() {
            if self.asked_to_end()?.is_some() {
                return Ok(false);
            }
            if self.shared.paused.load(Ordering::SeqCst) || !readable(&self.stream) {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            match self.stream.read(&mut buffer[have..])? {
                0 => return Ok(false),
                n => have += n,
            }
        }
        Ok(true)
    }

    fn may_read(&self) -> bool {
        !self.shared.paused.load(Ordering::SeqCst)
            && self.setup.silent_after.is_none_or(|after| self.count < after)
    }

    fn asked_to_end(&self) -> Result<Option<&'static str>> {
        let counted = self.setup.reset_after.is_some_and(|after| self.count >= after);
        let replaced = self.index < self.shared.oldest.load(Ordering::SeqCst);
        if !counted && !replaced && self.generation == self.shared.generation.load(Ordering::SeqCst) {
            return Ok(None);
        }
        set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(Some("reset by the server"))
    }

    fn ping(&mut self) -> Result<()> {
        if let (Some(at), Some(every)) = (self.next_ping, self.setup.ping)
            && at <= Instant::now()
        {
            self.next_ping = Some(at + every);
            self.session.send_control(kind::USER_CONTROL, &[0, 6, 0xDE, 0xAD, 0xBE, 0xEF]);
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(self.session.output()).context("write to the publisher")?;
        self.session.output().clear();
        self.session.output_sent();
        Ok(())
    }

    /// Answers a message as a server does, or misbehaves as the setup says. Returns the cause of
    /// the connection's end, if it ends.
    fn answer(&mut self, message: &Received) -> Result<Option<&'static str>> {
        let values = if message.kind == kind::COMMAND { amf0::read(&message.body) } else { Vec::new() };
        let id = values.get(1).and_then(AmfValue::as_number).unwrap_or_default();
        let name = values.first().and_then(AmfValue::as_str).unwrap_or_default();
        match (name, self.setup.refuse_key) {
            ("connect", _) if !matches!(self.setup.welcome, Welcome::Accept) => return self.refuse_app(id),
            ("releaseStream", _) => {
                // Several real servers answer so; publishers must ignore it.
                let info = status("error", "NetConnection.Call.Failed", "no such method");
                self.command("_error", id, 0, info)?;
            }
            ("publish", Some(code)) => {
                let stream = values.get(3).and_then(AmfValue::as_str).unwrap_or_default();
                let info = status("error", code, &format!("stream {stream} is not welcome"));
                self.command("onStatus", 0.0, message.stream, info)?;
                return Ok(Some("the key was refused"));
            }
            _ => _ = self.session.handle(message, Instant::now())?,
        }
        if name == "connect" && self.setup.check_bandwidth {
            self.command("onBWDone", 0.0, 0, Amf0Value::Number(8192.0))?;
        }
        Ok(None)
    }

    fn refuse_app(&mut self, id: f64) -> Result<Option<&'static str>> {
        let rejected = "NetConnection.Connect.Rejected";
        let mut info = match &self.setup.welcome {
            Welcome::Accept | Welcome::Silence => return Ok(None),
            Welcome::Close => return Ok(Some("closed by the server")),
            Welcome::Redirect(_) => status("error", rejected, "redirect"),
            Welcome::Authenticate(mode) => status(
                "error",
                rejected,
                &format!("[ AccessManager.Reject ] : [ authmod={mode} ] : code=403 need auth"),
            ),
            Welcome::Reject(code, description) => status("error", code, description),
        };
        if let (Amf0Value::Object(fields), Welcome::Redirect(to)) = (&mut info, &self.setup.welcome) {
            let ex = [("code", Amf0Value::Number(302.0)), ("redirect", Amf0Value::Utf8String(to.clone()))];
            fields.insert("ex".to_owned(), object(ex));
        }
        self.command("_error", id, 0, info)?;
        Ok(Some("the application was refused"))
    }

    fn command(&mut self, name: &str, id: f64, stream: u32, info: Amf0Value) -> Result<()> {
        let name = Amf0Value::Utf8String(name.to_owned());
        let values = vec![name, Amf0Value::Number(id), Amf0Value::Null, info];
        self.session.send_command(stream, &rml_amf0::serialize(&values).context("write AMF0")?);
        Ok(())
    }
}

fn object<const N: usize>(fields: [(&str, Amf0Value); N]) -> Amf0Value {
    Amf0Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn status(level: &str, code: &str, description: &str) -> Amf0Value {
    let text = |text: &str| Amf0Value::Utf8String(text.to_owned());
    object([("level", text(level)), ("code", text(code)), ("description", text(description))])
}
