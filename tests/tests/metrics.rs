//! Metrics, alerts and dashboard agree: promtool likes the metrics in every state, the alerts fire
//! when they must, and alerts and dashboard ask for what is really there. Against a real Prometheus
//! that reads a real broadcast.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tgs_e2e::{
    bin_path::workspace,
    broadcast::{Broadcast, Launch, executable},
    clips::noisy,
    etcd::Etcd,
    nginx::free_port,
    prometheus::{Alert, Prometheus, metrics_of, panels},
    telegram::Scene,
    web::{Page, Web},
};
use tgs_testdc::{Fault, When, World};

const LIMIT: Duration = Duration::from_secs(30);

/// A further output, where nothing listens.
const ALSO: &str = "dead=rtmp://127.0.0.1:9/live/key";

/// Makes the scene's broadcast one host of a hot standby; it is alone.
fn with_etcd(scene: &mut Scene) -> Etcd {
    let etcd = Etcd::start().unwrap();
    for (name, value) in [("HA_ENDPOINTS", &*etcd.url()), ("HA_KEY", "/tgs/metrics"), ("HA_TTL", "3s")] {
        scene.set(name, value).unwrap();
    }
    etcd
}

fn film() -> PathBuf {
    noisy("film", 4000).path().unwrap()
}

fn deploy(file: &str) -> PathBuf {
    workspace().join("deploy").join(file)
}

/// A yt-dlp as tgs-ytdlp-update leaves it in `dir`, updated an hour ago.
fn yt_dlp(dir: &Path) -> PathBuf {
    let version = dir.join("versions/2026.10.26");
    fs::create_dir_all(version.join("bin")).unwrap();
    fs::write(version.join("tgs-version"), "2026.10.26\n").unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    fs::write(dir.join("last-success"), format!("{}\n", now - 3600)).unwrap();
    symlink("versions/2026.10.26", dir.join("current")).unwrap();
    executable(&version.join("bin/yt-dlp"), "#!/bin/sh\nexit 1\n").unwrap();
    dir.join("current/bin/yt-dlp")
}

/// Fails where promtool, run on this input, finds fault or says anything but SUCCESS.
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(deploy("prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is in the package prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let good = output.status.success() && (said.trim().is_empty() || said.contains("SUCCESS"));
    assert!(good, "promtool {args:?}: {said}\n{input}");
}

/// The metrics of a broadcast in the state `state`, checked by promtool.
fn checked(broadcast: &Broadcast, state: &str) -> String {
    let shown = format!("tgs_state{{state=\"{state}\"}}");
    broadcast.wait_metric(&shown, 1.0, LIMIT).unwrap();
    let (_, page) = broadcast.get("/metrics").unwrap();
    promtool(&["check", "metrics"], &page);
    let states = page.lines().filter(|line| line.starts_with("tgs_state{") && line.ends_with(" 1"));
    assert_eq!(states.count(), 1, "{page}");
    page
}

/// The names of the metrics on a page.
fn families(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(str::to_owned).collect()
}

#[test]
fn promtool_has_nothing_to_say_in_any_state() {
    let web = Web::serve([("/hangs.mp4", Page::Hangs)]).unwrap();
    let mut scene = Scene::new().unwrap();
    let standby = scene.new_session().unwrap().telethon_string();
    scene.set("STANDBY_SESSION_STRING", &standby).unwrap();
    let tools = tempfile::tempdir().unwrap();
    scene.set("YTDLP_PATH", yt_dlp(tools.path()).to_str().unwrap()).unwrap();
    scene.set("SESSION_REGEN", "off").unwrap();
    scene.set("VIEWER_CHECK", "1").unwrap();
    scene.set("ON_SESSION_LOSS", "stop").unwrap();
    scene.set("LIVE_INPUT", &format!("rtmp://127.0.0.1:{}/live", free_port().unwrap())).unwrap();
    scene.set("LIVE_KEY", "0123456789abcdef").unwrap();
    scene.set("ALSO_OUTPUT_URLS", ALSO).unwrap();
    scene.set("RECORD_DIR", tools.path().join("records").to_str().unwrap()).unwrap();
    let _etcd = with_etcd(&mut scene);
    let silence = scene.dc.fault(Fault::Silence, When::method("users.getUsers"));
    let launch = scene.launch().unwrap().play([film()]).arg(web.url("/hangs.mp4"));
    let mut broadcast = launch.start().unwrap();
    let first = families(&checked(&broadcast, "starting"));
    broadcast.stop().unwrap();
    scene.dc.clear_fault(silence);
    scene.dc.start_webrtc(World::CHANNEL);
    let launch = scene.launch().unwrap().play([film()]).arg(web.url("/hangs.mp4"));
    let mut broadcast = launch.start().unwrap();
    checked(&broadcast, "waiting_people");
    scene.dc.end_call(World::CHANNEL);
    checked(&broadcast, "live");
    broadcast.wait_metric("tgs_standby_valid", 1.0, LIMIT).unwrap();
    broadcast.wait_metric("tgs_filler_seconds_total", 1.0, LIMIT).unwrap();
    let asked = || broadcast.metric("tgs_viewer_live_edge_age_seconds").ok();
    broadcast.until("the viewer check", LIMIT, asked).unwrap();
    let page = checked(&broadcast, "live");
    let last = families(&page);
    scene.ingest.refuse();
    scene.ingest.reset();
    broadcast.wait_log(&["connection to ", "lost"], LIMIT).unwrap();
    checked(&broadcast, "live");
    scene.revoke().unwrap();
    checked(&broadcast, "degraded");
    broadcast.stop().unwrap();
    // The help texts of these say so; all else can be asked for from the first scrape on.
    let later: Vec<_> = last.difference(&first).collect();
    assert_eq!(later, ["tgs_standby_valid", "tgs_viewer_live_edge_age_seconds", "tgs_viewers"]);

    let path = workspace().join("docs/reference/metrics.md");
    if env::var_os("TGS_WRITE_DOCS").is_some() {
        fs::write(&path, reference(&page)).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, reference(&page), "run `cargo xtask docs` and commit docs/reference/metrics.md");
}

/// docs/reference/metrics.md, made from what a broadcast answers at `/metrics`.
fn reference(page: &str) -> String {
    let mut text = "\
# Metrics

Written by `cargo xtask docs` from a broadcast's `/metrics`. Series with a label exist from the first scrape on, with the
value 0, unless the text says otherwise. [The alerts](../guide/operations.md#the-alerts) use them.

| name | type | labels | meaning |
|---|---|---|---|
"
    .to_owned();
    for line in page.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let kind = page.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        let sample = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        let labels = sample.and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels: Vec<_> = labels.split(',').filter_map(|label| label.split_once('=')).collect();
        let labels: Vec<_> = labels.iter().map(|(label, _)| format!("`{label}`")).collect();
        writeln!(text, "| `{name}` | {} | {} | {help} |", kind.unwrap(), labels.join(", ")).unwrap();
    }
    text
}

#[test]
fn a_file_as_output_has_metrics_without_a_state() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tgs.prom");
    let launch = Launch::to("out.flv").unwrap().within(dir.path()).arg("--once").play([film()]);
    launch.set("METRICS_FILE", &file).finish(LIMIT).unwrap();
    let page = fs::read_to_string(&file).unwrap();
    promtool(&["check", "metrics"], &page);
    assert!(!families(&page).contains("tgs_state"), "{page}");
}

#[test]
fn metrics_are_found_in_expressions() {
    for (query, names) in [
        (r#"up{job="tgs"} == 0"#, &["up"][..]),
        ("sum without (reason) (increase(tgs_a_total[1h])) > 1e3", &["tgs_a_total"]),
        (r#"a unless on (job, instance) (b == 1 or c{state=~"x}.*"} == 1)"#, &["a", "b", "c"]),
        ("quantile_over_time(0.5, a[5m]) < 0.95 and time() - b > 15 * 86400", &["a", "b"]),
        ("sum by(instance)(rate(a[$__rate_interval]))", &["a"]),
    ] {
        let query = &query.replace("x}", "x");
        assert_eq!(metrics_of(query), names.iter().map(|&name| name.to_owned()).collect(), "{query}");
    }
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_there() {
    let mut scene = Scene::new().unwrap();
    let standby = scene.new_session().unwrap().telethon_string();
    scene.set("STANDBY_SESSION_STRING", &standby).unwrap();
    let tools = tempfile::tempdir().unwrap();
    scene.set("YTDLP_PATH", yt_dlp(tools.path()).to_str().unwrap()).unwrap();
    scene.set("VIEWER_CHECK", "1").unwrap();
    scene.set("ALSO_OUTPUT_URLS", ALSO).unwrap();
    scene.set("RECORD_DIR", tools.path().join("records").to_str().unwrap()).unwrap();
    let _etcd = with_etcd(&mut scene);
    let mut broadcast = scene.launch().unwrap().play([film()]).start().unwrap();
    broadcast.wait_metric("tgs_standby_valid", 1.0, LIMIT).unwrap();
    let asked = || broadcast.metric("tgs_viewer_live_edge_age_seconds").ok();
    broadcast.until("the viewer check", LIMIT, asked).unwrap();
    let (_, page) = broadcast.get("/metrics").unwrap();
    let mut known = families(&page);
    // Prometheus' own.
    known.insert("up".to_owned());
    let port = fs::read_to_string(scene.env_file().with_file_name("state/metrics.port")).unwrap();
    let prometheus = Prometheus::watching(Some(port.trim()), &deploy("prometheus/alerts.yml"), "1s").unwrap();
    for alert in prometheus.alerts().unwrap() {
        let names = metrics_of(&alert.query);
        assert!(!names.is_empty() && names.is_subset(&known), "{} asks for {names:?}", alert.name);
    }
    for (title, queries) in panels().unwrap() {
        for query in queries {
            let names = metrics_of(&query);
            assert!(names.is_subset(&known), "the panel {title} asks for {names:?}");
            let query =
                query.replace("$__rate_interval", "30s").replace("$job", "tgs").replace("$instance", ".*");
            broadcast
                .until(&format!("an answer to {query}"), LIMIT, || {
                    (!prometheus.values(&query).is_empty()).then_some(())
                })
                .unwrap();
        }
    }
    broadcast.stop().unwrap();
}

#[test]
fn the_guides_example_is_one_that_prometheus_takes() {
    let guide = fs::read_to_string(workspace().join("docs/guide/operations.md")).unwrap();
    let (_, rest) = guide.split_once("```yaml\n").unwrap();
    let (config, _) = rest.split_once("```").unwrap();
    assert!(config.contains("job_name: tgs\n"), "{config}");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    fs::copy(deploy("prometheus/alerts.yml"), dir.path().join("alerts.yml")).unwrap();
    promtool(&["check", "config", dir.path().join("prometheus.yml").to_str().unwrap()], "");
}

#[test]
fn the_alerts_fire_when_they_must() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
}

/// The anchor that a heading is given on a web page.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_alert_is_tested_and_says_what_to_do() {
    let guide = fs::read_to_string(workspace().join("docs/guide/operations.md")).unwrap();
    let headings = guide.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<_> = headings.map(|line| anchor(line.trim_start_matches(['#', ' ']))).collect();
    let tests = fs::read_to_string(deploy("prometheus/alerts_test.yml")).unwrap();
    let prometheus = Prometheus::watching(None, &deploy("prometheus/alerts.yml"), "1s").unwrap();
    for Alert { name, labels, annotations, .. } in prometheus.alerts().unwrap() {
        assert!(["critical", "warning"].contains(&labels["severity"].as_str().unwrap()), "{name}: {labels}");
        for part in ["summary", "description"] {
            assert!(annotations[part].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {part}");
        }
        let description = annotations["description"].as_str().unwrap();
        let pasted = description.contains("sudo -u tgstream tgs-session ")
            && description.ends_with(" --env-file /opt/tg_video_streamer/current/.env");
        assert!(pasted || !description.contains("tgs-session"), "{name} cannot be pasted: {description}");
        let runbook = annotations["runbook_url"].as_str().unwrap();
        // A URL that leads somewhere on each server that broadcasts: machine_alerts.rs opens it
        // there.
        let place = runbook.strip_prefix("file:///opt/tg_video_streamer/current/docs/guide/operations.md#");
        let place = place.unwrap_or_else(|| panic!("{name}: another place: {runbook}"));
        assert!(anchors.contains(place), "{name}: no heading for {runbook}");
        assert_eq!(place, name.to_lowercase(), "{name} leads to the runbook of another");
        // One that must be silent is written in one line, one that must fire in several.
        let silent = tests.lines().any(|line| line.ends_with(&format!("alertname: {name}}}")));
        let fires = tests.contains(&format!("        alertname: {name}\n        exp_alerts:\n"));
        assert!(silent && fires, "{name}: tested silent {silent}, tested firing {fires}");
    }
}
