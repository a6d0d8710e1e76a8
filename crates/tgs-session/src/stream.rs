//! What the running `tgs-stream` says about its side of Telegram, by its status page.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use serde::Deserialize;

/// For a page that is made from memory on the same machine.
const LIMIT: Duration = Duration::from_secs(2);
/// No page is longer.
const LONGEST: u64 = 1 << 16;

/// The part of `/status` that is about Telegram. Another version may say less.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    /// `live`, `degraded`, …
    pub(crate) state: Option<String>,
    /// Why it is not live.
    pub(crate) why: Option<String>,
    /// Whether its session was good when Telegram was last asked.
    pub(crate) session_valid: Option<bool>,
    /// The fingerprint of that session.
    pub(crate) session: Option<String>,
    /// `Name (@username, number)`
    pub(crate) account: Option<String>,
    /// `Title (number)`
    pub(crate) chat: Option<String>,
}

impl Stream {
    /// Asks the `tgs-stream` that runs with this STATE_DIR, where there is one.
    pub(crate) fn ask(state_dir: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        struct Page {
            telegram: Option<Stream>,
        }
        let address = fs::read_to_string(state_dir.join("metrics.port")).ok()?.trim().parse().ok()?;
        let page = get(address)
            .inspect_err(|error| log::debug!("failed to ask tgs-stream at {address}: {error}"))
            .ok()?;
        serde_json::from_str::<Page>(body(&page)?).ok()?.telegram
    }

    /// The number of its account.
    pub(crate) fn account_id(&self) -> Option<i64> {
        let account = self.account.as_deref()?.trim_end_matches(')');
        account.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut page = String::new();
    stream.take(LONGEST).read_to_string(&mut page)?;
    Ok(page)
}

/// What follows the head of a good answer.
fn body(page: &str) -> Option<&str> {
    let (head, body) = page.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1)? == "200").then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some("{}"));
        assert_eq!(body("HTTP/1.0 404 Not Found\r\n\r\n{}"), None);
        assert_eq!(body("nonsense"), None);
    }

    #[test]
    fn accounts() {
        let cases = [("Ann (@ann, 123)", Some(123)), ("Ann 5 (77)", Some(77)), ("Ann", None), ("", None)];
        for (account, id) in cases {
            let stream = Stream { account: Some(account.into()), ..Stream::default() };
            assert_eq!(stream.account_id(), id, "{account}");
        }
    }
}
