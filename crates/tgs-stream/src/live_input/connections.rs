//! The open connections of publishers, and their limit, also per address. At the limit the oldest
//! that does not publish gives way.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, Shutdown, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tgs_core::supervise::contain;

/// A publisher, one that replaces it, and strangers.
const MOST_CONNECTIONS: usize = 8;

/// Connections of one address beyond loopback.
const MOST_OF_ADDRESS: usize = 2;

/// Enough for the handshake of TLS.
const STACK_SIZE: usize = 512 * 1024;

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionRefused {
    /// Its address has [`MOST_OF_ADDRESS`] already.
    #[error("its address has {MOST_OF_ADDRESS} connections already")]
    Address,
    /// [`MOST_CONNECTIONS`] publish.
    #[error("{MOST_CONNECTIONS} connections are open")]
    TooMany,
    /// The system has no further descriptor or thread.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

/// The open connections, oldest first.
#[derive(Debug, Default)]
pub(super) struct PublisherConnections(Mutex<Vec<PublisherConnection>>);

#[derive(Debug)]
struct PublisherConnection {
    socket: Arc<TcpStream>,
    address: IpAddr,
    publishes: bool,
}

/// A served connection; leaves the list on drop.
#[derive(Debug)]
pub(super) struct ServedPublisher {
    connections: Arc<PublisherConnections>,
    socket: Arc<TcpStream>,
    /// Another process goes on with it.
    is_handed_over: Cell<bool>,
}

impl PublisherConnections {
    fn lock(&self) -> MutexGuard<'_, Vec<PublisherConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves `socket` on a thread of its own.
    pub(super) fn admit(
        self: &Arc<Self>,
        socket: TcpStream,
        address: IpAddr,
        serve: impl FnOnce(TcpStream, &ServedPublisher) + Send + 'static,
    ) -> Result<(), ConnectionRefused> {
        let listed = Arc::new(socket.try_clone()?);
        let mut open = self.lock();
        let of_address = |client: &&PublisherConnection| client.address == address && !address.is_loopback();
        if open.iter().filter(of_address).count() >= MOST_OF_ADDRESS {
            return Err(ConnectionRefused::Address);
        }
        if open.len() >= MOST_CONNECTIONS {
            let oldest = open.iter().position(|client| !client.publishes);
            let oldest = open.remove(oldest.ok_or(ConnectionRefused::TooMany)?);
            let _ = oldest.socket.shutdown(Shutdown::Both);
        }
        open.push(PublisherConnection { socket: Arc::clone(&listed), address, publishes: false });
        drop(open);
        let served = ServedPublisher {
            connections: Arc::clone(self),
            socket: listed,
            is_handed_over: Cell::new(false),
        };
        // The panic hook logs a panic; it ends this connection only.
        let run = move || drop(contain(|| serve(socket, &served)));
        thread::Builder::new().name("live-client".into()).stack_size(STACK_SIZE).spawn(run)?;
        Ok(())
    }

    pub(super) fn close_all(&self) {
        for client in self.lock().iter() {
            let _ = client.socket.shutdown(Shutdown::Both);
        }
    }
}

impl ServedPublisher {
    /// Protects the connection from giving way to others.
    pub(super) fn set_publishing(&self) {
        let mut open = self.connections.lock();
        if let Some(client) = open.iter_mut().find(|client| Arc::ptr_eq(&client.socket, &self.socket)) {
            client.publishes = true;
        }
    }

    /// Leaves the socket open at the end.
    pub(super) fn set_handed_over(&self) {
        self.is_handed_over.set(true);
        self.leave();
    }

    fn leave(&self) {
        self.connections.lock().retain(|client| !Arc::ptr_eq(&client.socket, &self.socket));
    }
}

impl Drop for ServedPublisher {
    fn drop(&mut self) {
        if !self.is_handed_over.get() {
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        self.leave();
    }
}
