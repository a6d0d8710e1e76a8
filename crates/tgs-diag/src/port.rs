//! Checks the metrics port of tgs-stream: whether it answers, or is free.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
};

use tgs_control::StatusClient;
use tgs_core::remedy;

use crate::{
    context::DiagContext,
    finding::Finding,
    runner::CheckSink,
    running_broadcast::{NoAnswer, RunningBroadcast},
};

const CHECK: &str = "port";

/// Number of ports after PROMETHEUS_PORT that tgs-stream tries.
const FOLLOWING: u16 = 10;

/// Checks the running broadcast and its metrics port.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else { return };
    let (host, port) = (settings.prometheus_host, settings.prometheus_port);
    let following = match &context.unit {
        Ok(unit) if context.as_unit && unit.has_fixed_port() => 0,
        _ => FOLLOWING,
    };
    let dir = settings.state_dir.display();
    match RunningBroadcast::of(settings) {
        Ok(stream) => {
            out.say(stream.broadcast());
            out.say(match pages(&settings.state_dir) {
                Some(address) => answered(address, port),
                None => unserved(port),
            });
        }
        Err(silent) => {
            let why = match silent {
                NoAnswer::NotRunning => format!("no tgs-stream runs with STATE_DIR {dir}"),
                NoAnswer::Unreadable(error) => {
                    format!("{error}; run this as root: {}", remedy::as_root("tgs-diag"))
                }
                NoAnswer::Silent(address) => format!(
                    "the tgs-stream that ran with STATE_DIR {dir} does not answer at {address} any more"
                ),
            };
            out.say(Finding::unseen("broadcast", why));
            out.say(free(host, port, following));
        }
    }
}

/// The address at which the running broadcast serves its pages.
fn pages(state_dir: &Path) -> Option<SocketAddr> {
    let client = StatusClient::of_state_dir(state_dir).ok()?;
    client.health().is_ok().then(|| client.address())
}

fn unserved(wanted: u16) -> Finding {
    Finding::warn(CHECK, "tgs-stream serves no pages: nothing can read its metrics")
        .with_remedy(format!("free the port {wanted} (PROMETHEUS_PORT), then restart tgs-stream"))
}

fn answered(address: SocketAddr, wanted: u16) -> Finding {
    if wanted == 0 || address.port() == wanted {
        return Finding::pass(CHECK, format!("tgs-stream answers at http://{address}"));
    }
    Finding::warn(
        CHECK,
        format!("tgs-stream answers at http://{address}, not at PROMETHEUS_PORT {wanted}, which was taken"),
    )
    .with_remedy("point the scraper there, or set PROMETHEUS_PORT to a free one")
}

/// Checks whether the port is free.
fn free(host: IpAddr, port: u16, following: u16) -> Finding {
    if port == 0 {
        return Finding::pass(CHECK, "PROMETHEUS_PORT is 0: any free one is taken");
    }
    let listen = |port| TcpListener::bind((host, port)).map(drop);
    let remedy = format!(
        "set PROMETHEUS_PORT to another; this shows who has it: {}",
        remedy::as_root(&format!("ss -ltnp 'sport = :{port}'"))
    );
    match listen(port) {
        Ok(()) => Finding::pass(CHECK, format!("port {port} of {host} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if StatusClient::new(SocketAddr::new(host, port)).status().is_ok() {
                return Finding::warn(CHECK, format!("port {port} of {host} is that of another tgs-stream"))
                    .with_remedy(remedy);
            }
            let rest = (port..=port.saturating_add(following)).skip(1).find(|port| listen(*port).is_ok());
            if let Some(next) = rest {
                let text = format!(
                    "port {port} of {host} is taken by another program; tgs-stream would take {next}"
                );
                return Finding::warn(CHECK, text).with_remedy(remedy);
            }
            let others = if following == 0 { "is" } else { "and the ten after it are" };
            let text = format!("port {port} of {host} {others} taken; there would be no pages");
            Finding::fail(CHECK, text, remedy)
        }
        Err(error) => Finding::fail(
            CHECK,
            format!("nobody can listen at port {port} of {host}: {error}"),
            "check PROMETHEUS_HOST and PROMETHEUS_PORT",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::finding::Level;

    #[test]
    fn a_port_that_is_taken() {
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let taken = TcpListener::bind((host, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = free(host, port, FOLLOWING);
        assert_ne!(found.level, Level::Pass);
        assert!(
            found.text.contains(&format!("port {port} of 127.0.0.1")) && found.text.contains("taken"),
            "{found:?}"
        );
        assert_eq!(free(host, port, 0).level, Level::Fail);
        assert_eq!(free(host, 0, FOLLOWING).level, Level::Pass);
        // An address that no interface of this machine has (TEST-NET-1).
        assert_eq!(free("192.0.2.1".parse().unwrap(), port, FOLLOWING).level, Level::Fail);
    }

    #[test]
    fn an_answer_elsewhere() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(answered(at(9090), 9090).level, Level::Pass);
        assert_eq!(answered(at(9091), 0).level, Level::Pass);
        assert_eq!(answered(at(9091), 9090).level, Level::Warn);
    }
}
