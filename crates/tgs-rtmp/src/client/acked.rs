//! Bytes that the peer's TCP has acknowledged, read from the kernel (`TCP_INFO`). The count stays
//! readable after a disconnection, until the socket is closed.

use std::os::fd::AsFd;

use nix::{getsockopt_impl, libc, sys::socket::GetSockOpt};

/// The start of the kernel's `struct tcp_info` (include/uapi/linux/tcp.h) up to `tcpi_bytes_acked`
/// (Linux 4.1). The kernel copies as many bytes as requested; the whole struct varies by kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct TcpInfo {
    /// State and options in 8 bytes, then 24 counters.
    before: [u32; 26],
    /// `tcpi_pacing_rate`, `tcpi_max_pacing_rate`
    rates: [u64; 2],
    bytes_acked: u64,
}

#[derive(Clone, Copy)]
struct TcpInfoOption;

// nix's macro contains the unsafe call; it is sound: every bit pattern is a valid `TcpInfo`.
getsockopt_impl!(
    TcpInfoOption,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    TcpInfo,
    nix::sys::socket::sockopt::GetStruct<TcpInfo>
);

/// Acknowledged bytes, at most `written`; 0 if the kernel does not report them.
pub(super) fn acked(socket: &impl AsFd, written: u64) -> u64 {
    // The kernel also counts the SYN and the FIN.
    TcpInfoOption.get(socket).map_or(0, |info| info.bytes_acked.saturating_sub(1).min(written))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    fn wait_for(what: &str, check: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(10);
        while !check() {
            assert!(Instant::now() < until, "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn acknowledged_bytes_are_counted_without_syn_and_fin() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(acked(&client, 100), 0);
        client.write_all(&[7; 5000]).unwrap();
        server.read_exact(&mut [0; 5000]).unwrap();
        wait_for("5000 bytes acknowledged", || acked(&client, u64::MAX) == 5000);
        client.shutdown(std::net::Shutdown::Write).unwrap();
        server.read_to_end(&mut Vec::new()).unwrap();
        drop(server);
        assert_eq!(acked(&client, 5000), 5000);
    }

    #[test]
    fn the_count_outlives_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(&[7; 1000]).unwrap();
        server.read_exact(&mut [0; 1000]).unwrap();
        wait_for("1000 bytes acknowledged", || acked(&client, 1000) == 1000);
        // Closing with unread bytes sends a reset.
        client.write_all(&[7; 10]).unwrap();
        server.peek(&mut [0; 10]).unwrap();
        drop(server);
        assert!(client.read(&mut [0; 10]).is_err(), "no reset");
        assert_eq!(acked(&client, 1010), 1010);
    }
}
