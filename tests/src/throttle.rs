//! A slow network link: a TCP proxy with an adjustable rate.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// The link. Its threads end with the connections and the test process.
#[derive(Debug)]
pub struct Throttle {
    port: u16,
    rate: Arc<AtomicUsize>,
}

impl Throttle {
    /// Starts a link to `port` at 127.0.0.1 that forwards `rate` bytes per second; the reverse
    /// direction is unlimited.
    pub fn start(port: u16, rate: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let rate = Arc::new(AtomicUsize::new(rate));
        let shared = Arc::clone(&rate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) else {
                    continue;
                };
                let rate = Arc::clone(&shared);
                thread::spawn(move || carry(client, server, &rate));
            }
        });
        Ok(Self { port: address.port(), rate })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the rate in bytes per second.
    pub fn set(&self, rate: usize) {
        self.rate.store(rate, Ordering::SeqCst);
    }
}

/// Forwards one connection until either side ends it.
fn carry(mut client: TcpStream, mut server: TcpStream, rate: &AtomicUsize) {
    let (Ok(mut from_server), Ok(mut to_client)) = (server.try_clone(), client.try_clone()) else { return };
    thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    let mut buffer = [0; 4096];
    let mut free_at = Instant::now();
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
        let takes = Duration::from_secs_f64(count as f64 / rate.load(Ordering::SeqCst) as f64);
        free_at = free_at.max(Instant::now()) + takes;
        thread::sleep(free_at.saturating_duration_since(Instant::now()));
    }
    for side in [client, server] {
        // Wakes the other thread, which waits on these sockets.
        let _ = side.shutdown(std::net::Shutdown::Both);
    }
}
