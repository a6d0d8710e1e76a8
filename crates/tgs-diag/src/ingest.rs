//! Checks the ingest servers: DNS, TCP and TLS. Publishes nothing and sends no stream key.

use std::time::Duration;

use tgs_core::{
    proxy::{ProxyList, UpstreamProxy},
    settings::{NamedOutput, PublisherKind, Settings},
};
use tgs_playout::{
    output::{Output, parse_output},
    upstream::UpstreamDialler,
};
use tgs_rtmp::{
    client::{self, OpenError},
    url::RtmpUrl,
};

use crate::{context::DiagContext, finding::Finding, runner::CheckSink};

const CHECK: &str = "ingest";
const OUTPUT: &str = "output";

/// Time limit of the connection attempt.
const LIMIT: Duration = Duration::from_secs(10);

/// Checks the server of OUTPUT_URL, if set.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else { return };
    if let Some(url) = &settings.output_url {
        out.say(match parse_output(url.expose(), None) {
            Err(why) => {
                let remedy = "write OUTPUT_URL as rtmp://host/app/KEY or rtmps://host/app/KEY";
                Finding::fail(CHECK, format!("OUTPUT_URL cannot be used: {why}"), remedy)
            }
            Ok(Output::Rtmp(..)) if context.offline => Finding::unseen(CHECK, "--offline"),
            Ok(Output::Rtmp(target, _)) => reach(&target, settings.output_url_proxies(), out),
            Ok(_) => Finding::pass(CHECK, "not needed: OUTPUT_URL is a file"),
        });
    }
}

/// Checks the servers of ALSO_OUTPUT_URLS, one line each.
pub(crate) fn further(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else { return };
    for NamedOutput { name, url, proxies } in &settings.also_outputs {
        let found = match RtmpUrl::parse(url.expose()) {
            Err(why) => {
                let remedy = format!("write it as {name}=rtmp://host/app/KEY or {name}=rtmps://host/app/KEY");
                Finding::fail(OUTPUT, format!("cannot be used: {why}"), remedy)
            }
            Ok(_) if context.offline => Finding::unseen(OUTPUT, "--offline"),
            Ok(target) => {
                let remedy = format!("check the proxies of {name} in ALSO_OUTPUT_PROXIES");
                reach_through(&target, proxies.clone(), &remedy, out)
            }
        };
        out.say(Finding { check: OUTPUT, text: format!("{name}: {}", found.text), ..found });
    }
}

/// Checks whether the main output's server accepts connections, through the first of `proxies` that
/// works.
pub(crate) fn reach(target: &RtmpUrl, proxies: Vec<UpstreamProxy>, out: &CheckSink) -> Finding {
    let remedy = "check OUTPUT_PROXY (if it is not set, TELEGRAM_PROXY); OUTPUT_PROXY=direct uses no proxy";
    reach_through(target, proxies, remedy, out)
}

/// The same for any output; `proxy_remedy` is the remedy if no proxy works.
fn reach_through(
    target: &RtmpUrl,
    proxies: Vec<UpstreamProxy>,
    proxy_remedy: &str,
    out: &CheckSink,
) -> Finding {
    let (cancel, proxies) = (out.cancel.clone(), ProxyList::new(proxies));
    let dialler = UpstreamDialler::new(proxies.clone(), tgs_core::permit::Permit::always());
    let reached = client::reach(&dialler, target, move || cancel.is_cancelled(), LIMIT.min(out.left()));
    judge(target, &proxies, proxy_remedy, reached)
}

fn judge(
    target: &RtmpUrl,
    proxies: &ProxyList,
    proxy_remedy: &str,
    reached: Result<(), OpenError>,
) -> Finding {
    let ((host, port), tls) = (target.host(), target.is_tls());
    match reached {
        Ok(()) => {
            let tls = if tls { ", with a TLS certificate that can be trusted" } else { "" };
            let through = proxies.current().map(|proxy| format!(" through {proxy}")).unwrap_or_default();
            Finding::pass(CHECK, format!("{host}:{port} answers{through}{tls}"))
        }
        Err(error) => {
            let remedy = match &error {
                OpenError::Dial(_) => proxy_remedy.to_owned(),
                OpenError::Resolve { .. } => {
                    "check this machine's DNS: getent hosts followed by the name".to_owned()
                }
                OpenError::Certificate(_) => {
                    "install ca-certificates and check the clock (timedatectl)".to_owned()
                }
                OpenError::Tls(_) | OpenError::Closed(_) if tls => {
                    format!("check that {host}:{port} speaks TLS (rtmps)")
                }
                _ => format!("check that this machine may connect to {host}:{port} (firewall, outgoing TCP)"),
            };
            Finding::fail(CHECK, format!("{host}:{port} cannot be reached: {error}"), remedy)
        }
    }
}

/// Whether ffmpeg publishes (PUBLISHER=ffmpeg).
pub(crate) fn by_ffmpeg(settings: &Settings) -> bool {
    settings.publisher == PublisherKind::Ffmpeg
}
