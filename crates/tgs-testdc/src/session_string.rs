//! Sessions in the format of Telethon's `StringSession`. Writes only.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine, engine::general_purpose::URL_SAFE};

/// A signed-in session: the data that a client needs to connect without a key exchange.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// The account's user id.
    pub user_id: i64,
    /// The DC that knows the key.
    pub dc_id: i32,
    /// The address of that DC.
    pub addr: SocketAddr,
    /// The authorization key.
    pub auth_key: [u8; 256],
    /// The key's id, which names the session in faults, revocations and the request log.
    pub key_id: i64,
}

impl SessionInfo {
    /// The session string in Telethon's format, with the loopback address.
    #[must_use]
    pub fn telethon_string(&self) -> String {
        // `1`, then big-endian: dc u8, ip, port u16, key. telethon/sessions/string.py
        let mut raw = vec![self.dc_id as u8];
        match self.addr.ip() {
            IpAddr::V4(ip) => raw.extend(ip.octets()),
            IpAddr::V6(ip) => raw.extend(ip.octets()),
        }
        raw.extend(self.addr.port().to_be_bytes());
        raw.extend(self.auth_key);
        format!("1{}", URL_SAFE.encode(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_has_telethons_length() {
        let info = |addr: &str| SessionInfo {
            user_id: 1,
            dc_id: 2,
            addr: addr.parse().unwrap(),
            auth_key: [7; 256],
            key_id: 3,
        };
        let text = info("127.0.0.1:443").telethon_string();
        assert!(text.starts_with("1An8AAAEB") && text.len() == 353, "{text}");
        assert_eq!(info("[::1]:443").telethon_string().len(), 369);
    }
}
