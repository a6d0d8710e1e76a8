//! The client's part of opening a connection through SOCKS5 or HTTP CONNECT, without I/O: the
//! caller sends and receives. The proxy resolves the target's name.
//!
//! <https://www.rfc-editor.org/rfc/rfc1928>, <https://www.rfc-editor.org/rfc/rfc1929>,
//! <https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6>

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::upstream::{ProxyLogin, ProxyProtocol, UpstreamProxy};

/// Longest head of an answer to CONNECT in bytes.
const LONGEST_HEAD: usize = 8192;

/// Methods of SOCKS5: none, and user name with password.
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;

/// Why a proxy opens no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// The first byte of the answer is not that of SOCKS5.
    #[error("it does not speak SOCKS5 (its answer begins with byte {0})")]
    NotSocks(u8),
    /// The answer is not HTTP.
    #[error("it does not answer as an HTTP proxy does")]
    NotHttp,
    /// No user name is set.
    #[error("it asks for a user name and password, and the setting has none")]
    LoginNeeded,
    /// The proxy knows no such user or password.
    #[error("it refuses the user name or the password")]
    LoginRefused,
    /// The rules of the proxy forbid the target.
    #[error("its rules forbid this connection")]
    Forbidden,
    /// The proxy cannot reach the target.
    #[error("it does not reach the server behind it (answer {0})")]
    Unreachable(u16),
    /// The proxy refuses for another reason.
    #[error("it refuses the connection (answer {0})")]
    Refused(u16),
    /// An MTProxy was named.
    #[error("an MTProxy carries Telegram's own protocol only, not RTMP")]
    MtProxy,
    /// The target's name is too long for the protocol.
    #[error("the server's name is too long for it")]
    LongName,
}

/// What the handshake waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandshakeStage {
    /// The method that SOCKS5 selects.
    Method,
    /// The verdict about user and password.
    Login,
    /// The answer to the SOCKS5 request.
    Reply,
    /// The head of the answer to CONNECT.
    Head,
    Open,
}

/// A handshake with one proxy about one target.
pub struct TunnelHandshake {
    stage: HandshakeStage,
    login: Option<ProxyLogin>,
    /// The SOCKS5 request; sent after the login.
    request: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl TunnelHandshake {
    /// Begins a handshake for `host` (a name, or an IP address without brackets) and `port`.
    /// Fails for an MTProxy, which has no such handshake.
    pub fn new(proxy: &UpstreamProxy, host: &str, port: u16) -> Result<Self, TunnelError> {
        let begin = |stage, login: &Option<ProxyLogin>, request, output| Self {
            stage,
            login: login.clone(),
            request,
            input: Vec::new(),
            output,
        };
        match &proxy.protocol {
            ProxyProtocol::Socks5(login) => {
                let greeting: &[u8] =
                    if login.is_some() { &[5, 2, NO_LOGIN, LOGIN] } else { &[5, 1, NO_LOGIN] };
                Ok(begin(HandshakeStage::Method, login, socks_request(host, port), greeting.to_vec()))
            }
            ProxyProtocol::Http(login) => {
                let connect = connect_request(host, port, login.as_ref());
                Ok(begin(HandshakeStage::Head, login, Vec::new(), connect))
            }
            ProxyProtocol::MtProxy(_) => Err(TunnelError::MtProxy),
        }
    }

    /// The bytes to send now; empty where the proxy's answer is due.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether there are bytes to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// How many bytes to read at most: those behind the answer belong to the target. 0 once the
    /// connection is open.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let needed = match self.stage {
            HandshakeStage::Open => return 0,
            // The end of the head is seen only when it has come.
            HandshakeStage::Head => return 1,
            HandshakeStage::Method | HandshakeStage::Login => 2,
            HandshakeStage::Reply => self.reply_length(),
        };
        needed.saturating_sub(self.input.len())
    }

    /// Takes bytes from the proxy, at most [`TunnelHandshake::wanted`].
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), TunnelError> {
        self.input.extend(bytes);
        if self.stage == HandshakeStage::Head {
            return self.on_head();
        }
        if self.wanted() > 0 || self.stage == HandshakeStage::Open {
            // The first byte shows a server that speaks something else and waits for more.
            return match (self.stage, self.input.first()) {
                (HandshakeStage::Method, Some(&other)) if other != 5 => Err(TunnelError::NotSocks(other)),
                _ => Ok(()),
            };
        }
        let input = std::mem::take(&mut self.input);
        match self.stage {
            HandshakeStage::Method => self.on_method(input[0], input[1]),
            HandshakeStage::Login if input[1] == 0 => {
                self.ask();
                Ok(())
            }
            HandshakeStage::Login => Err(TunnelError::LoginRefused),
            _ => {
                self.stage = HandshakeStage::Open;
                socks_reply(input[0], input[1])
            }
        }
    }

    fn ask(&mut self) {
        self.stage = HandshakeStage::Reply;
        self.output = std::mem::take(&mut self.request);
    }

    fn on_method(&mut self, version: u8, method: u8) -> Result<(), TunnelError> {
        if self.request.is_empty() {
            return Err(TunnelError::LongName);
        }
        match (version, method, &self.login) {
            (5, NO_LOGIN, _) => self.ask(),
            (5, LOGIN, Some(login)) => {
                let (user, password) = (login.user.expose().as_bytes(), login.password.expose().as_bytes());
                let mut message = vec![1, user.len() as u8];
                message.extend(user);
                message.push(password.len() as u8);
                message.extend(password);
                self.output = message;
                self.stage = HandshakeStage::Login;
            }
            // 255: none of the methods offered.
            (5, _, None) => return Err(TunnelError::LoginNeeded),
            (5, other, Some(_)) => return Err(TunnelError::Refused(other.into())),
            (other, ..) => return Err(TunnelError::NotSocks(other)),
        }
        Ok(())
    }

    /// Version, reply, reserved, type of address, address, port.
    fn reply_length(&self) -> usize {
        match (self.input.get(1), self.input.get(3), self.input.get(4)) {
            // Some servers close behind the first two bytes of a refusal.
            (Some(reply), ..) if *reply != 0 => 2,
            (_, Some(1), _) => 10,
            (_, Some(4), _) => 22,
            (_, Some(3), Some(length)) => 7 + usize::from(*length),
            (_, Some(3), None) => 5,
            (_, Some(_) | None, _) => 4,
        }
    }

    fn on_head(&mut self) -> Result<(), TunnelError> {
        const BEGIN: &[u8] = b"HTTP/1.";
        let shared = self.input.len().min(BEGIN.len());
        if self.input[..shared] != BEGIN[..shared] || self.input.len() > LONGEST_HEAD {
            return Err(TunnelError::NotHttp);
        }
        if !self.input.ends_with(b"\r\n\r\n") && !self.input.ends_with(b"\n\n") {
            return Ok(());
        }
        let status = self
            .input
            .split(|byte| *byte == b' ')
            .nth(1)
            .and_then(|word| str::from_utf8(word.get(..3)?).ok());
        self.stage = HandshakeStage::Open;
        match status.and_then(|status| status.parse().ok()).ok_or(TunnelError::NotHttp)? {
            200..300 => Ok(()),
            // tinyproxy answers 401.
            401 | 407 if self.login.is_some() => Err(TunnelError::LoginRefused),
            401 | 407 => Err(TunnelError::LoginNeeded),
            403 | 405 => Err(TunnelError::Forbidden),
            status @ 500.. => Err(TunnelError::Unreachable(status)),
            status => Err(TunnelError::Refused(status)),
        }
    }
}

/// Empty if the name is too long.
fn socks_request(host: &str, port: u16) -> Vec<u8> {
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            let Ok(length) = u8::try_from(host.len()) else { return Vec::new() };
            request.extend([3, length]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    request
}

fn socks_reply(version: u8, reply: u8) -> Result<(), TunnelError> {
    match (version, reply) {
        (5, 0) => Ok(()),
        (5, 2) => Err(TunnelError::Forbidden),
        // General failure, network or host unreachable, connection refused, TTL expired.
        (5, 1 | 3..=6) => Err(TunnelError::Unreachable(reply.into())),
        (5, other) => Err(TunnelError::Refused(other.into())),
        (other, _) => Err(TunnelError::NotSocks(other)),
    }
}

fn connect_request(host: &str, port: u16, login: Option<&ProxyLogin>) -> Vec<u8> {
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let login = login.map_or(String::new(), |login| {
        let pair = format!("{}:{}", login.user.expose(), login.password.expose());
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair))
    });
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::parse_proxies;

    /// Runs the handshake against these answers, byte by byte; returns what was sent.
    fn run(proxy: &str, host: &str, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Result<bool, TunnelError>) {
        let mut handshake = TunnelHandshake::new(&parse_proxies(proxy).unwrap()[0], host, 443).unwrap();
        let mut sent = vec![handshake.take_output()];
        for answer in answers {
            for byte in *answer {
                if handshake.wanted() == 0 {
                    return (sent, Ok(false));
                }
                if let Err(error) = handshake.receive(&[*byte]) {
                    return (sent, Err(error));
                }
            }
            sent.push(handshake.take_output());
        }
        (sent, Ok(handshake.wanted() == 0))
    }

    #[test]
    fn socks5_resolves_names_at_the_proxy() {
        let reply = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (sent, open) = run("socks5://h:1", "dc4-1.rtmp.t.me", &[&[5, 0], &reply]);
        assert_eq!(open, Ok(true));
        assert_eq!(sent[0], [5, 1, 0]);
        assert_eq!(sent[1], [&[5, 1, 0, 3, 15][..], b"dc4-1.rtmp.t.me", &[1, 0xbb]].concat());
        // The address in the reply may be a name or IPv6.
        for reply in [&[5, 0, 0, 3, 2, b'a', b'b', 0, 1][..], &[&[5, 0, 0, 4][..], &[0; 18]].concat()] {
            assert_eq!(run("socks5://h:1", "1.2.3.4", &[&[5, 0], reply]).1, Ok(true));
        }
        assert_eq!(
            run("socks5://h:1", "1.2.3.4", &[&[5, 0], &reply]).0[1],
            [5, 1, 0, 1, 1, 2, 3, 4, 1, 0xbb]
        );
        assert_eq!(run("socks5://h:1", "::1", &[&[5, 0], &reply]).0[1][3..5], [4, 0]);
        assert_eq!(run("socks5://h:1", &"a".repeat(256), &[&[5, 0]]).1, Err(TunnelError::LongName));
    }

    #[test]
    fn socks5_with_a_password() {
        let reply = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (sent, open) = run("socks5://me:pw@h:1", "x", &[&[5, 2], &[1, 0], &reply]);
        assert_eq!(
            (open, sent[0].clone(), sent[1].clone()),
            (Ok(true), vec![5, 2, 0, 2], b"\x01\x02me\x02pw".to_vec())
        );
        assert_eq!(run("socks5://me:pw@h:1", "x", &[&[5, 0], &reply]).1, Ok(true));
        let refused = |proxy, answers: &[&[u8]]| run(proxy, "x", answers).1.unwrap_err();
        assert_eq!(refused("socks5://me:pw@h:1", &[&[5, 2], &[1, 1]]), TunnelError::LoginRefused);
        assert_eq!(refused("socks5://h:1", &[&[5, 255]]), TunnelError::LoginNeeded);
        assert_eq!(refused("socks5://me:pw@h:1", &[&[5, 255]]), TunnelError::Refused(255));
        assert_eq!(refused("socks5://h:1", &[b"HTTP/1.1 400"]), TunnelError::NotSocks(b'H'));
        assert_eq!(refused("socks5://h:1", &[&[5, 0], &[5, 5]]), TunnelError::Unreachable(5));
        assert_eq!(refused("socks5://h:1", &[&[5, 0], &[5, 2]]), TunnelError::Forbidden);
    }

    #[test]
    fn http_connect() {
        let (sent, open) =
            run("http://me:pw@h:1", "name", &[b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"]);
        assert_eq!(open, Ok(true));
        let request =
            "CONNECT name:443 HTTP/1.1\r\nHost: name:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&sent[0]), request);
        assert!(run("http://h:1", "::1", &[]).0[0].starts_with(b"CONNECT [::1]:443 HTTP/1.1\r\n"));
        for (proxy, answer, error) in [
            ("http://h:1", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", TunnelError::LoginNeeded),
            ("http://a:b@h:1", "HTTP/1.0 407 \r\n\r\n", TunnelError::LoginRefused),
            ("http://h:1", "HTTP/1.1 403 Forbidden\r\n\r\n", TunnelError::Forbidden),
            ("http://h:1", "HTTP/1.1 502 Bad Gateway\n\n", TunnelError::Unreachable(502)),
            ("http://h:1", "HTTP/1.1 404 Not Found\r\n\r\n", TunnelError::Refused(404)),
            ("http://h:1", "HTTP/1.1 2 \r\n\r\n", TunnelError::NotHttp),
            ("http://h:1", "\u{5}", TunnelError::NotHttp),
        ] {
            assert_eq!(run(proxy, "x", &[answer.as_bytes()]).1, Err(error), "{answer}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "x".repeat(LONGEST_HEAD));
        assert_eq!(run("http://h:1", "x", &[endless.as_bytes()]).1, Err(TunnelError::NotHttp));
    }

    proptest! {
        #[test]
        fn no_answer_panics_or_is_read_beyond_its_end(
            answer in proptest::collection::vec(any::<u8>(), 0..300),
            begin in prop_oneof![Just(&b""[..]), Just(&[5, 0, 5, 0, 0][..]), Just(&b"HTTP/1.1 "[..])],
            login: bool,
        ) {
            let login = if login { "u:p@" } else { "" };
            for scheme in ["socks5", "http"] {
                let proxy = &parse_proxies(&format!("{scheme}://{login}h:1")).unwrap()[0];
                let mut handshake = TunnelHandshake::new(proxy, "x", 443).unwrap();
                let bytes = [begin, &answer].concat();
                let mut rest = &bytes[..];
                while !rest.is_empty() && handshake.wanted() > 0 {
                    let (now, later) = rest.split_at(handshake.wanted().min(rest.len()));
                    rest = later;
                    if handshake.receive(now).is_err() {
                        break;
                    }
                }
            }
        }
    }
}
