//! The open connections of the control socket, and their limit.

use std::{
    io::Write,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tgs_control::rpc::{self, ErrorCode, RpcError};
use tgs_core::supervise::contain;

/// Enough for a desk, a bot, a few operators and their scripts.
const MAX_CONNECTIONS: usize = 64;

/// Small: there are 64 of them.
const STACK_SIZE: usize = 256 * 1024;

/// The open connections, oldest first.
#[derive(Debug, Default)]
pub(super) struct ControlConnections(Mutex<Vec<ControlConnection>>);

#[derive(Debug)]
struct ControlConnection {
    socket: Arc<UnixStream>,
    /// Since when it waits for a request; `None` while it is served, subscribed, or a monitor.
    idle: Option<Instant>,
}

/// A served connection; leaves the list on drop.
#[derive(Debug)]
pub(super) struct ServedControl {
    connections: Arc<ControlConnections>,
    /// The client's socket.
    pub(super) socket: Arc<UnixStream>,
}

impl ControlConnections {
    fn lock(&self) -> MutexGuard<'_, Vec<ControlConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves `socket` on a thread of its own. At the limit the connection idle for longest gives
    /// way; if none is idle, the new one is refused.
    pub(super) fn admit(
        self: &Arc<Self>,
        socket: UnixStream,
        serve: impl FnOnce(&ServedControl) + Send + 'static,
    ) {
        let socket = Arc::new(socket);
        let mut open = self.lock();
        if open.len() >= MAX_CONNECTIONS {
            let idle = open.iter().enumerate().filter_map(|(at, client)| Some((client.idle?, at))).min();
            let Some((_, at)) = idle else {
                drop(open);
                return refuse(&socket);
            };
            let _ = open.remove(at).socket.shutdown(Shutdown::Both);
        }
        open.push(ControlConnection { socket: Arc::clone(&socket), idle: Some(Instant::now()) });
        drop(open);
        let served = ServedControl { connections: Arc::clone(self), socket };
        let thread = thread::Builder::new().name("control-client".into()).stack_size(STACK_SIZE);
        // The panic hook logs a panic; it ends this connection only.
        let run = move || drop(contain(|| serve(&served)));
        if let Err(error) = thread.spawn(run) {
            log::warn!("failed to start a thread for a connection to the control socket: {error}");
        }
    }

    pub(super) fn close_all(&self) {
        for client in self.lock().iter() {
            let _ = client.socket.shutdown(Shutdown::Both);
        }
    }
}

/// Tells the client why, without waiting for it.
fn refuse(mut socket: &UnixStream) {
    let message = format!("{MAX_CONNECTIONS} connections are open, and none of them is idle; close one");
    let line = rpc::answer_line(&Value::Null, &Err(RpcError::new(ErrorCode::Limit, message)));
    if socket.set_write_timeout(Some(Duration::from_millis(10))).is_ok() {
        let _ = socket.write_all(line.as_bytes());
    }
}

impl ServedControl {
    /// Records whether the connection waits for a request.
    pub(super) fn set_idle(&self, idle: bool) {
        let mut open = self.connections.lock();
        if let Some(client) = open.iter_mut().find(|client| Arc::ptr_eq(&client.socket, &self.socket)) {
            client.idle = idle.then(Instant::now);
        }
    }
}

impl Drop for ServedControl {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.connections.lock().retain(|client| !Arc::ptr_eq(&client.socket, &self.socket));
    }
}
