//! Checks the ways to Telegram: each proxy of TELEGRAM_PROXY, and the direct one. Uses no session,
//! so a blocked network is not taken for a dead session.

use std::{thread, time::Duration};

use tgs_core::{proxy::UpstreamProxy, settings::Settings};
use tgs_telegram::{ProxyProblem, check_route, session::string::SessionString};

use crate::{context::DiagContext, finding::Finding, runner::CheckSink, settings::session};

const CHECK: &str = "proxy";

/// Time limit of one attempt. All run at the same time.
const LIMIT: Duration = Duration::from_secs(8);

/// Tries all ways, if there is a proxy.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = context.settings.as_ref().filter(|settings| !settings.telegram.proxies.is_empty())
    else {
        return;
    };
    if context.offline {
        return out.say(Finding::unseen(CHECK, "--offline"));
    }
    let own = settings.telegram.session.as_ref().and_then(|text| session(text.expose()).ok());
    let (direct, proxies) = try_all(settings, own.as_ref(), out);
    out.say_all(judge(&direct, &proxies));
}

/// A proxy, and the time until Telegram has answered through it.
type TriedProxy<'a> = (&'a UpstreamProxy, Result<Duration, ProxyProblem>);

fn try_all<'a>(
    settings: &'a Settings,
    own: Option<&SessionString>,
    out: &CheckSink,
) -> (Result<Duration, ProxyProblem>, Vec<TriedProxy<'a>>) {
    let limit = LIMIT.min(out.left());
    let attempt = |proxy: Option<&UpstreamProxy>| check_route(proxy, own, &out.cancel, limit);
    thread::scope(|scope| {
        let direct = scope.spawn(|| attempt(None));
        let proxies = &settings.telegram.proxies;
        let running: Vec<_> =
            proxies.iter().map(|proxy| (proxy, scope.spawn(move || attempt(Some(proxy))))).collect();
        let failed = || Err(ProxyProblem::Stopped);
        let tried =
            running.into_iter().map(|(proxy, thread)| (proxy, thread.join().unwrap_or_else(|_| failed())));
        let tried = tried.collect();
        (direct.join().unwrap_or_else(|_| failed()), tried)
    })
}

fn judge(direct: &Result<Duration, ProxyProblem>, proxies: &[TriedProxy<'_>]) -> Vec<Finding> {
    let works = proxies.iter().any(|(_, tried)| tried.is_ok());
    let mut findings: Vec<_> =
        proxies.iter().map(|(proxy, tried)| of_proxy(proxy, tried, works, direct)).collect();
    findings.push(match direct {
        Ok(after) => {
            let text = format!("Telegram answers without a proxy too, after {:.1} s", after.as_secs_f64());
            Finding::pass("direct", text)
        }
        // The reason for a proxy, most often.
        Err(problem) => {
            Finding::pass("direct", format!("Telegram cannot be reached without a proxy: {problem}"))
        }
    });
    findings
}

fn of_proxy(
    proxy: &UpstreamProxy,
    tried: &Result<Duration, ProxyProblem>,
    another_works: bool,
    direct: &Result<Duration, ProxyProblem>,
) -> Finding {
    let problem = match tried {
        Ok(after) => {
            let text = format!("{proxy} leads to Telegram: it answers after {:.1} s", after.as_secs_f64());
            return Finding::pass(CHECK, text);
        }
        Err(problem) => problem,
    };
    let text = format!("{proxy} does not lead to Telegram: {problem}");
    let remedy = remedy(problem);
    if another_works {
        return Finding::warn(CHECK, text).with_remedy(format!("{remedy}, or remove it from TELEGRAM_PROXY"));
    }
    let without =
        if direct.is_ok() { "; or remove TELEGRAM_PROXY: Telegram answers without a proxy" } else { "" };
    Finding::fail(CHECK, text, format!("{remedy}{without}"))
}

fn remedy(problem: &ProxyProblem) -> &'static str {
    use tgs_core::proxy::TunnelError;
    match problem {
        ProxyProblem::Lookup(_) => "check the proxy's host name, or write its IP address",
        ProxyProblem::Tunnel(TunnelError::LoginNeeded | TunnelError::LoginRefused) => {
            "write the user name and password of the proxy: socks5://user:password@host:port"
        }
        ProxyProblem::Tunnel(TunnelError::NotSocks(_) | TunnelError::NotHttp) => {
            "check the proxy's port and protocol (socks5:// or http://)"
        }
        ProxyProblem::MtProxySilent | ProxyProblem::MtProxyClosed => {
            "copy the proxy's link again, or ask for a new one"
        }
        ProxyProblem::NotMtProxy => "copy the proxy's link again, and check the clock: timedatectl",
        _ => "check that the proxy runs, and that it may connect to Telegram (port 443)",
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind::ConnectionRefused;

    use tgs_core::proxy::parse_proxies;

    use super::*;
    use crate::finding::Level::{Fail, Pass, Warn};

    #[test]
    fn the_ways_that_work_are_named() {
        let proxies =
            parse_proxies("socks5://u:s3cr3t@a:1 mtproxy://b:2?secret=00112233445566778899aabbccddeeff")
                .unwrap();
        let (works, dead) = (Ok(Duration::from_millis(120)), Err(ProxyProblem::MtProxySilent));
        let blocked = Err(ProxyProblem::Direct(ConnectionRefused));
        for (first, direct, levels, words) in [
            (
                works.clone(),
                blocked.clone(),
                [Pass, Warn, Pass],
                "socks5://a:1 leads to Telegram: it answers after 0.1 s",
            ),
            (dead.clone(), blocked, [Fail, Fail, Pass], "cannot be reached without a proxy"),
            (dead.clone(), works.clone(), [Fail, Fail, Pass], "or remove TELEGRAM_PROXY"),
        ] {
            let found = judge(&direct, &[(&proxies[0], first), (&proxies[1], dead.clone())]);
            assert_eq!(found.iter().map(|finding| finding.level).collect::<Vec<_>>(), levels);
            let text = format!("{found:?}");
            assert!(
                text.contains(words) && text.contains("mtproxy://b:2") && !text.contains("s3cr3t"),
                "{text}"
            );
        }
    }
}
