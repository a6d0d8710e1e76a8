//! Where the server listens, and the metrics file that replaces it.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use tgs_stream::http::HttpConfig;

use crate::harness::{config, get, logged, read, record_log, start, wait_until};

/// `count` adjacent ports, taken while the listeners live.
fn taken_ports(count: u16) -> (u16, Vec<TcpListener>) {
    // Below the kernel's ephemeral ports, so that other tests do not use them.
    for first in (20_000..32_000).step_by(usize::from(count) + 1).skip(std::process::id() as usize % 500) {
        let taken: io::Result<Vec<_>> =
            (first..first + count).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if let Ok(taken) = taken {
            return (first, taken);
        }
    }
    panic!("no {count} neighbouring ports are free");
}

#[test]
fn hosts_are_names_and_ipv6_too() {
    let has_ipv6 = TcpListener::bind(("::1", 0)).is_ok();
    for host in ["localhost", "::1", "[::1]"] {
        if host.contains(':') && !has_ipv6 {
            continue;
        }
        let state = tempfile::tempdir().unwrap();
        let web = start(&config(&state, host, 0));
        let addr = web.addr().unwrap();
        assert_eq!(get(addr, "/healthz").1, "ok\n");
        let told = fs::read_to_string(state.path().join("metrics.port")).unwrap();
        assert_eq!(told, format!("{addr}\n"));
        assert_eq!(told.trim_end().parse(), Ok(addr), "other tools can use it as it is");
    }
}

#[test]
fn a_taken_port_is_skipped() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let (port, mut taken) = taken_ports(3);
    drop(taken.pop());
    let web = start(&config(&state, "127.0.0.1", port));
    let next = port + 2;
    assert_eq!(web.addr(), Some(SocketAddr::from(([127, 0, 0, 1], next))));
    assert_eq!(get(web.addr().unwrap(), "/healthz").1, "ok\n");
    let file = state.path().join("metrics.port");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("127.0.0.1:{next}\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let errors = logged(&format!("ERROR port {port} on 127.0.0.1 is taken"));
    assert!(errors.len() == 1 && errors[0].contains("PROMETHEUS_PORT"), "{errors:?}");
    let warnings = logged(&format!("http://127.0.0.1:{next}, port {next} instead of {port}"));
    assert!(warnings.len() == 1 && warnings[0].starts_with("WARN"), "{warnings:?}");
    drop(web);
    assert!(!file.exists());
}

#[test]
fn with_no_port_free_the_metrics_go_to_a_file() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let old = state.path().join("metrics.port");
    fs::write(&old, "127.0.0.1:1\n").unwrap();
    let (port, _taken) = taken_ports(11);
    let web = start(&config(&state, "127.0.0.1", port));
    assert_eq!(web.addr(), None);
    assert!(!old.exists(), "what a killed run has said is not true any more");
    let file = state.path().join("metrics.prom");
    wait_until(|| file.exists());
    let errors = logged(&format!("ERROR no free port from {port} to {}", port + 10));
    assert_eq!(errors.len(), 1);
    let place = file.display().to_string();
    assert!(logged(&place).iter().any(|line| line.starts_with("WARN metrics are written to")));
    drop(web);
    assert!(file.exists(), "the last figures stay");
}

#[test]
fn a_foreign_host_disables_only_the_server() {
    for host in ["192.0.2.1", "no such host", ""] {
        let state = tempfile::tempdir().unwrap();
        let web = start(&config(&state, host, 9090));
        assert_eq!(web.addr(), None, "{host}");
        wait_until(|| state.path().join("metrics.prom").exists());
    }
}

#[test]
fn the_file_is_rewritten_and_fits_the_textfile_collector() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("wanted.prom");
    let config = HttpConfig {
        metrics_file: Some(file.clone()),
        file_every: Duration::from_millis(5),
        ..config(&state, "127.0.0.1", 0)
    };
    let count = prometheus::register_int_counter!("tgs_test_writes_total", "Counts.").unwrap();
    let web = start(&config);
    assert_eq!(get(web.addr().unwrap(), "/healthz").1, "ok\n", "a file asked for is beside the port");
    for n in 1..=3 {
        count.inc();
        wait_until(|| read(&file).contains(&format!("\ntgs_test_writes_total {n}\n")));
    }
    let text = read(&file);
    assert!(text.contains("tgs_build_info{"), "{text}");
    assert!(!text.contains("process_"), "node_exporter has these of its own: {text}");
    assert!(text.ends_with('\n'));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    count.inc();
    drop(web);
    assert!(read(&file).contains("\ntgs_test_writes_total 4\n"), "written a last time");
}

#[test]
fn a_foreign_file_is_not_overwritten() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("settings");
    fs::write(&file, "# my settings\nAPI_ID=1\n").unwrap();
    let config = HttpConfig { metrics_file: Some(file.clone()), ..config(&state, "127.0.0.1", 0) };
    drop(start(&config));
    assert_eq!(fs::read_to_string(&file).unwrap(), "# my settings\nAPI_ID=1\n");
    let said = logged(&file.display().to_string());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("the file holds something other than metrics, not overwriting it; see METRICS_FILE"),
        "{said:?}"
    );
    // A file of an earlier run is overwritten.
    fs::write(&file, "# HELP old x\n").unwrap();
    drop(start(&config));
    assert!(fs::read_to_string(&file).unwrap().contains("tgs_build_info"));
}

#[test]
fn an_unwritable_file_is_logged_once() {
    record_log();
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("not there yet");
    let file = dir.join("metrics.prom");
    let config = HttpConfig {
        metrics_file: Some(file.clone()),
        file_every: Duration::from_millis(1),
        ..config(&state, "127.0.0.1", 0)
    };
    let web = start(&config);
    let place = file.display().to_string();
    wait_until(|| !logged(&place).is_empty());
    fs::create_dir(&dir).unwrap();
    wait_until(|| logged(&place).len() >= 2);
    drop(web);
    let lines = logged(&place);
    assert!(lines[0].starts_with("WARN failed to write the metrics"), "{lines:?}");
    assert!(lines[1].starts_with("INFO") && lines.len() == 2, "{lines:?}");
}
