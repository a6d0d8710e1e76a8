//! One client's connection, from accept to close: reads frames, answers service messages, applies
//! faults, passes calls to [`crate::rpc`]. Invalid input ends only the client's own connection.

mod service;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use grammers_tl_types::{Deserializable, Identifiable, Serializable, enums, types};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use self::service::{bad_message, bad_salt, is_service};
use crate::{
    crypt::{decrypt, encrypt, random_id},
    error::RpcError,
    exchange::{Exchange, Step},
    fault::{Fault, Occasion},
    message::{Incoming, Kind, Message, Numbers, now, rpc_result, unpack},
    rpc::{self, Caller, Unwrapped},
    state::{Connection, Key, Login, Outgoing, ReplyLater, Request, Shared, State},
    transport::Transport,
};

/// Whether the connection continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Close,
}

/// One connection.
#[derive(Debug)]
struct Client {
    id: u64,
    dc_id: i32,
    peer: SocketAddr,
    shared: Arc<Shared>,
    transport: Transport,
    exchange: Exchange,
    numbers: Numbers,
    /// Bytes to write next.
    wire: Vec<u8>,
    /// Sender for other threads' instructions to this connection.
    out: UnboundedSender<Outgoing>,
    /// When to close unless a `ping_delay_disconnect` arrives.
    deadline: Option<Instant>,
}

/// Serves a connection until either side closes it.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, id: u64, dc_id: i32, shared: Arc<Shared>) {
    let (out, mut orders) = unbounded_channel();
    let mut client = Client {
        id,
        dc_id,
        peer,
        shared: Arc::clone(&shared),
        transport: Transport::default(),
        exchange: Exchange::default(),
        numbers: Numbers::default(),
        wire: Vec::new(),
        out,
        deadline: None,
    };
    if let Err(error) = client.run(stream, &mut orders).await {
        log::debug!("{peer}: {error}");
    }
    shared.lock().connections.remove(&id);
}

impl Client {
    async fn run(
        &mut self,
        mut stream: TcpStream,
        orders: &mut UnboundedReceiver<Outgoing>,
    ) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let fault = self.shared.lock().faults.pick(Occasion::Accept);
        let mut chunk = vec![0; 16 * 1024];
        match fault {
            None
            | Some(
                Fault::Rpc(_)
                | Fault::BadSalt
                | Fault::WrongSession
                | Fault::Endless
                | Fault::ShortPage
                | Fault::OddDialogs,
            ) => {}
            Some(Fault::Drop) => return Ok(()),
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Silence) => {
                while stream.read(&mut chunk).await? > 0 {}
                return Ok(());
            }
            Some(Fault::Garbage) => stream.write_all(&self.transport.garbage()).await?,
            Some(Fault::Transport(code)) => {
                stream.write_all(&self.transport.encode_error(code)).await?;
                return Ok(());
            }
        }
        let mut buffer = Vec::new();
        loop {
            let mut flow = Flow::GoOn;
            let deadline = self.deadline.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            tokio::select! {
                read = stream.read(&mut chunk) => {
                    let length = read?;
                    if length == 0 {
                        return Ok(());
                    }
                    buffer.extend(&chunk[..length]);
                    flow = self.on_bytes(&mut buffer);
                }
                order = orders.recv() => match order {
                    Some(Outgoing::Message { key, session, kind, body }) => self.send(key, session, kind, &body),
                    Some(Outgoing::Close) | None => flow = Flow::Close,
                },
                () = sleep_until(deadline), if self.deadline.is_some() => flow = Flow::Close,
            }
            if !self.wire.is_empty() {
                stream.write_all(&std::mem::take(&mut self.wire)).await?;
            }
            if flow == Flow::Close {
                stream.shutdown().await?;
                return Ok(());
            }
        }
    }

    fn on_bytes(&mut self, buffer: &mut Vec<u8>) -> Flow {
        loop {
            match self.transport.decode(buffer) {
                Ok(None) => return Flow::GoOn,
                Ok(Some(payload)) => {
                    if self.on_payload(&payload) == Flow::Close {
                        return Flow::Close;
                    }
                }
                Err(broken) => {
                    log::debug!("{}: {broken}", self.peer);
                    return Flow::Close;
                }
            }
        }
    }

    fn on_payload(&mut self, payload: &[u8]) -> Flow {
        let Some((key, rest)) = payload.split_first_chunk::<8>() else { return self.fail(-404) };
        match i64::from_le_bytes(*key) {
            0 => self.on_plain(rest),
            key => self.on_encrypted(key, rest),
        }
    }

    /// Sends a transport error and closes, as the real server does.
    fn fail(&mut self, code: i32) -> Flow {
        self.wire.extend(self.transport.encode_error(code));
        Flow::Close
    }

    /// Handles a message without a key: a step of the key exchange.
    fn on_plain(&mut self, rest: &[u8]) -> Flow {
        // msg_id:long length:int, then the request; any further bytes are padding.
        let Some((header, body)) = rest.split_first_chunk::<12>() else { return self.fail(-404) };
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some(request) = body.get(..length) else { return self.fail(-404) };
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let method = grammers_tl_types::name_for_id(u32::from_bytes(request).unwrap_or_default());
        self.log(&mut state, 0, method);
        if let Some(fault) = state.faults.pick(Occasion::Service { method, session: 0 }) {
            match self.act(fault) {
                Acted::Done(flow) => return flow,
                Acted::Late(_) | Acted::Answer(_) | Acted::Salt | Acted::Astray | Acted::Dialogs(_) => {}
            }
        }
        drop(state);
        // Without the lock: the arithmetic is slow.
        let answer = match self.exchange.step(request, now()) {
            None => return self.fail(-404),
            Some(Step::Answer(answer)) => answer,
            Some(Step::Done { answer, key, salt }) => {
                shared.lock().add_key(*key, self.dc_id, salt, Login::Nobody);
                answer
            }
        };
        let mut payload = 0_i64.to_le_bytes().to_vec();
        self.numbers.id(true).serialize(&mut payload);
        (answer.len() as u32).serialize(&mut payload);
        payload.extend(answer);
        self.wire.extend(self.transport.encode(&payload));
        Flow::GoOn
    }

    fn on_encrypted(&mut self, key_id: i64, rest: &[u8]) -> Flow {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let Some(key) = state.keys.get_mut(&key_id).filter(|key| key.dc_id == self.dc_id) else {
            return self.fail(-404);
        };
        let Some(plain) = decrypt(&key.bytes, rest) else { return self.fail(-404) };
        let incoming = match unpack(&plain) {
            Ok(incoming) => incoming,
            Err(malformed) => {
                log::debug!("{}: {malformed}", self.peer);
                return Flow::Close;
            }
        };
        key.active = now();
        if let Some(notice) = bad_message(key, &incoming) {
            let body = notice.to_bytes();
            self.send_with(key, incoming.session, Kind::Notice, &body);
            return Flow::GoOn;
        }
        if key.sessions.insert(incoming.session) {
            let created = types::NewSessionCreated {
                first_msg_id: incoming.messages.first().map_or(incoming.outer, |first| first.id),
                unique_id: random_id(),
                server_salt: key.salts[0],
            };
            let body = enums::NewSession::from(created).to_bytes();
            self.send_with(key, incoming.session, Kind::Push, &body);
        }
        let connection = Connection { key: key_id, session: incoming.session, out: self.out.clone() };
        state.connections.insert(self.id, connection);
        for message in &incoming.messages {
            let flow = self.on_message(&mut state, key_id, &incoming, message);
            match flow {
                After::Next => {}
                After::Drop => break,
                After::Close => return Flow::Close,
            }
        }
        Flow::GoOn
    }

    fn on_message(&mut self, state: &mut State, key: i64, frame: &Incoming, message: &Message) -> After {
        let Ok(id) = u32::from_bytes(&message.body) else { return After::Next };
        let session = frame.session;
        let rest = &message.body[4..];
        // Neither needs an answer.
        if matches!(id, types::MsgsAck::CONSTRUCTOR_ID | types::HttpWait::CONSTRUCTOR_ID) {
            return After::Next;
        }
        let service = is_service(id);
        let call = if service { Err(RpcError::named("SERVICE")) } else { rpc::unwrap(&message.body) };
        let method = match &call {
            Ok(call) => call.method(),
            Err(_) => grammers_tl_types::name_for_id(id).to_owned(),
        };
        self.log(state, key, &method);
        let init = call.as_ref().is_ok_and(|call| call.init.is_some());
        let occasion = if service {
            Occasion::Service { method: &method, session: key }
        } else {
            Occasion::Call { method: &method, session: key, init }
        };
        let mut late = Duration::ZERO;
        let mut answer = None;
        let mut sent_to = session;
        if let Some(fault) = state.faults.pick(occasion) {
            match self.act(fault) {
                Acted::Done(Flow::GoOn) => return After::Next,
                Acted::Done(Flow::Close) => return After::Close,
                Acted::Late(delay) => late = delay,
                Acted::Answer(error) => answer = Some(error),
                Acted::Astray => sent_to = !session,
                Acted::Dialogs(fault) => state.dialogs = Some(fault),
                Acted::Salt => {
                    self.change_salt(state, key, frame);
                    return After::Drop;
                }
            }
        }
        let answered = match (answer, service) {
            (None, true) => {
                let deadline = &mut self.deadline;
                let body = service::answer(state, key, message.id, id, rest, deadline);
                body.map(|body| (Kind::Notice, body))
            }
            (Some(error), _) => Some(answer_to(message, Err(error))),
            (None, false) => {
                let (request, out) = (message.id, self.out.clone());
                let later = ReplyLater { key, session, request, out };
                let result = call.and_then(|call| self.call(state, &call, later));
                let is_later = result.as_ref().is_err_and(RpcError::is_later);
                (!is_later).then(|| answer_to(message, result))
            }
        };
        let Some((kind, body)) = answered else { return After::Next };
        if !late.is_zero() {
            self.send_later(late, Outgoing::Message { key, session, kind, body });
        } else if let Some(key) = state.keys.get(&key) {
            self.send_with(key, sent_to, kind, &body);
        }
        After::Next
    }

    fn change_salt(&mut self, state: &mut State, key: i64, frame: &Incoming) {
        if let Some(key) = state.keys.get_mut(&key) {
            key.salts = vec![random_id(), random_id()];
            let notice = bad_salt(key, frame).to_bytes();
            self.send_with(key, frame.session, Kind::Notice, &notice);
        }
    }

    fn send_later(&self, delay: Duration, message: Outgoing) {
        let out = self.out.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = out.send(message);
        });
    }

    /// Executes an API call; faults have been applied before.
    fn call(&self, state: &mut State, call: &Unwrapped<'_>, later: ReplyLater) -> Result<Vec<u8>, RpcError> {
        let (key_id, session) = (later.key, later.session);
        let api_id = state.world.api_id;
        if let Some(key) = state.keys.get_mut(&key_id) {
            if let Some(init) = &call.init {
                if init.api_id != api_id {
                    return Err(RpcError::named("CONNECTION_API_ID_INVALID"));
                }
                key.client = init.clone();
                key.initialised.insert(session);
            } else if !key.initialised.contains(&session) {
                return Err(RpcError::named("CONNECTION_NOT_INITED"));
            }
        }
        rpc::answer(call, &mut Caller { state, key: key_id, dc_id: self.dc_id, later })
    }

    /// Applies the part of a fault that concerns the connection only.
    fn act(&mut self, fault: Fault) -> Acted {
        match fault {
            Fault::Rpc(error) => Acted::Answer(error),
            Fault::Transport(code) => Acted::Done(self.fail(code)),
            Fault::Silence => Acted::Done(Flow::GoOn),
            Fault::Drop => Acted::Done(Flow::Close),
            Fault::Garbage => {
                let bytes = self.transport.garbage();
                self.wire.extend(bytes);
                Acted::Done(Flow::GoOn)
            }
            Fault::Delay(delay) => Acted::Late(delay),
            Fault::BadSalt => Acted::Salt,
            Fault::WrongSession => Acted::Astray,
            Fault::Endless | Fault::ShortPage | Fault::OddDialogs => Acted::Dialogs(fault),
        }
    }

    fn log(&self, state: &mut State, session: i64, method: &str) {
        log::debug!("{}: DC {}, {method}", self.peer, self.dc_id);
        let at = std::time::SystemTime::now();
        state.requests.push(Request { at, session, dc_id: self.dc_id, method: method.to_owned() });
        self.shared.requested.notify_all();
    }

    /// Encrypts a message and queues it.
    fn send(&mut self, key: i64, session: i64, kind: Kind, body: &[u8]) {
        let shared = Arc::clone(&self.shared);
        if let Some(key) = shared.lock().keys.get(&key) {
            self.send_with(key, session, kind, body);
        }
    }

    fn send_with(&mut self, key: &Key, session: i64, kind: Kind, body: &[u8]) {
        let plain = self.numbers.pack(key.salts[0], session, kind, body);
        let payload = encrypt(&key.bytes, plain);
        self.wire.extend(self.transport.encode(&payload));
    }
}

/// The answer to a call.
fn answer_to(message: &Message, result: Result<Vec<u8>, RpcError>) -> (Kind, Vec<u8>) {
    (Kind::Answer, rpc_result(message.id, &result.unwrap_or_else(|error| error.to_bytes())))
}

/// The step after a message.
#[derive(Debug, Clone, Copy)]
enum After {
    /// Handle the next message of the frame.
    Next,
    /// Refuse the whole frame; the client sends it again.
    Drop,
    Close,
}

/// The result of applying a fault.
#[derive(Debug)]
enum Acted {
    /// The fault is complete; no answer follows.
    Done(Flow),
    /// Delay the answer.
    Late(Duration),
    /// Send this answer.
    Answer(RpcError),
    /// Send the answer with another session id.
    Astray,
    /// Answer with a list of dialogs that has this fault.
    Dialogs(Fault),
    /// Change the salt.
    Salt,
}
