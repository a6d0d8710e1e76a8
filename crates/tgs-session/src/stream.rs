//! What the running `tgs-stream` says about its side of Telegram, by its status page.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use tgs_core::http_get;

/// For a page that is made from memory on the same machine.
const LIMIT: Duration = Duration::from_secs(2);

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
        let address = http_get::address_in(&state_dir.join("metrics.port")).ok()?;
        let page = http_get::get(address, "/status", LIMIT)
            .inspect_err(|error| log::debug!("failed to ask tgs-stream at {address}: {error}"))
            .ok()?;
        if page.status != 200 {
            return None;
        }
        serde_json::from_str::<Page>(&page.body).ok()?.telegram
    }

    /// The number of its account.
    pub(crate) fn account_id(&self) -> Option<i64> {
        let account = self.account.as_deref()?.trim_end_matches(')');
        account.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts() {
        let cases = [("Ann (@ann, 123)", Some(123)), ("Ann 5 (77)", Some(77)), ("Ann", None), ("", None)];
        for (account, id) in cases {
            let stream = Stream { account: Some(account.into()), ..Stream::default() };
            assert_eq!(stream.account_id(), id, "{account}");
        }
    }
}
