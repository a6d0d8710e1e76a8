//! Connects to a server at an address that the client may reach.

use std::{
    net::{IpAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use super::{account::ClientAccount, error::ProxyError, head::Authority};

/// Time limit to connect to a server: ffmpeg gives up after ten seconds.
const CONNECT_TIME: Duration = Duration::from_secs(8);

/// Time limit for one of several addresses.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

/// Connects to `server` at an address that the client may reach.
pub(super) fn connect(
    account: &ClientAccount,
    server: &Authority,
) -> Result<(TcpStream, IpAddr), ProxyError> {
    let deadline = Instant::now() + CONNECT_TIME;
    let found = (&*server.host, server.port).to_socket_addrs().map_err(|_| ProxyError::Unresolved)?;
    let mut failed = ProxyError::Unresolved;
    for address in found {
        if !account.permits(&server.host, address.ip()) {
            failed = ProxyError::Forbidden(address.ip());
            continue;
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(ADDRESS_TIME);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                account.reached(&server.host, address.ip());
                let _ = stream.set_nodelay(true);
                let _ = stream.set_write_timeout(Some(CONNECT_TIME));
                return Ok((stream, address.ip()));
            }
            Err(error) => failed = ProxyError::Unreachable(error.kind()),
        }
    }
    Err(failed)
}
