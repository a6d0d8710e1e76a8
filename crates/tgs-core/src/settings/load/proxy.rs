//! Reads the proxies of the stream, and warns of those that do not carry it.

use super::Reader;
use crate::{
    proxy::{UpstreamProxy, parse_proxies},
    settings::{parse::PublisherKind, values::Telegram},
};

impl Reader<'_> {
    /// `OUTPUT_PROXY`; `Some` and empty for `direct`. Warns where the stream goes past
    /// TELEGRAM_PROXY.
    pub(super) fn output_proxies(
        &mut self,
        telegram: Option<&Telegram>,
        publisher: Option<PublisherKind>,
    ) -> Option<Vec<UpstreamProxy>> {
        let proxies = self.named_output_proxies(publisher);
        if proxies.is_none() {
            self.warn_of_direct_stream(telegram, publisher);
        }
        proxies
    }

    fn named_output_proxies(&mut self, publisher: Option<PublisherKind>) -> Option<Vec<UpstreamProxy>> {
        let (_, shown) = self.find("OUTPUT_PROXY")?;
        let proxies = self.optional("OUTPUT_PROXY", parse)?;
        if publisher == Some(PublisherKind::Ffmpeg) && !proxies.is_empty() {
            self.problems.push(format!("{shown} needs PUBLISHER=native: ffmpeg publishes through no proxy"));
        }
        Some(proxies)
    }

    fn warn_of_direct_stream(&mut self, telegram: Option<&Telegram>, publisher: Option<PublisherKind>) {
        let proxies = telegram.map_or(&[][..], |telegram| &telegram.proxies);
        if proxies.is_empty() {
            return;
        }
        let why = match publisher {
            Some(PublisherKind::Ffmpeg) => "ffmpeg (PUBLISHER=ffmpeg) publishes through no proxy",
            _ if proxies.iter().any(UpstreamProxy::carries_rtmp) => return,
            _ => "an MTProxy carries Telegram's own protocol only, not RTMP",
        };
        self.warnings.push(format!(
            "TELEGRAM_PROXY: the stream itself connects directly: {why}; set OUTPUT_PROXY=socks5://host:port if the \
             ingest is blocked, or OUTPUT_PROXY=direct if it is not"
        ));
    }
}

fn parse(value: &str) -> Result<Vec<UpstreamProxy>, String> {
    if value.trim() == "direct" {
        return Ok(Vec::new());
    }
    let proxies = parse_proxies(value)?;
    if proxies.iter().all(UpstreamProxy::carries_rtmp) {
        return Ok(proxies);
    }
    Err("names an MTProxy, which carries Telegram's own protocol only, not RTMP; name a socks5:// or http:// proxy, \
         or write direct"
        .into())
}
