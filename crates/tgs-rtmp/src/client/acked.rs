//! How much the peer's TCP has acknowledged, asked of the kernel (`TCP_INFO`). It stays readable after the connection
//! broke, for as long as the socket is open.

use std::os::fd::AsFd;

use nix::{getsockopt_impl, libc, sys::socket::GetSockOpt};

/// The beginning of the kernel's `struct tcp_info` (include/uapi/linux/tcp.h), up to the one field that is wanted (there
/// since Linux 4.1). The kernel copies as much as is asked for; the whole struct differs between kernels.
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

// The call is unsafe, and written in nix's macro: every bit pattern is a valid `TcpInfo`.
getsockopt_impl!(
    TcpInfoOption,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    TcpInfo,
    nix::sys::socket::sockopt::GetStruct<TcpInfo>
);

/// Bytes of the stream that the peer's TCP has acknowledged, of `written`; 0 where the kernel does not tell.
pub(super) fn acked(socket: &impl AsFd, written: u64) -> u64 {
    // The count begins with the SYN, and ends with the FIN.
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
        // Unread bytes make the close a reset.
        client.write_all(&[7; 10]).unwrap();
        server.peek(&mut [0; 10]).unwrap();
        drop(server);
        assert!(client.read(&mut [0; 10]).is_err(), "no reset");
        assert_eq!(acked(&client, 1010), 1010);
    }
}
