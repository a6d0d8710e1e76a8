//! `deploy/container` and `deploy/kubernetes` without their programs: the published schemas accept
//! them, kustomize renders them, and each setting that they name exists.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tgs_e2e::{bin_path::workspace, tools};

fn checker(program: &str) -> Command {
    let path = tools::manifest_checks().join("bin").join(program);
    assert!(path.exists(), "{} is missing: run cargo xtask test once", path.display());
    Command::new(path)
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The documents of a YAML file.
fn yaml(path: &Path) -> Vec<Value> {
    const READ: &str =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let json = succeeds(checker("python").args(["-c", READ]).arg(path));
    serde_json::from_str(&json).unwrap()
}

fn keys(map: &Value) -> impl Iterator<Item = &str> {
    map.as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether a broadcast, the desk or the bot reads this variable, or the file that it names.
fn is_setting(name: &str) -> bool {
    let page = fs::read_to_string(workspace().join("docs/reference/settings.md")).unwrap();
    let row = |name: &str| page.contains(&format!("\n| `{name}` |"));
    row(name) || name.strip_suffix("_FILE").is_some_and(row)
}

#[test]
fn compose_is_valid_and_gives_no_rights() {
    let dir = workspace().join("deploy/container");
    let file = dir.join("compose.yml");
    succeeds(checker("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec"]).arg(&file));
    let compose = yaml(&file).remove(0);
    let services = compose["services"].as_object().unwrap();
    let names: Vec<_> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["bot", "channel", "grafana", "prometheus", "web"]);
    let secrets: BTreeSet<_> = keys(&compose["secrets"]).collect();
    let volumes: BTreeSet<_> = keys(&compose["volumes"]).collect();
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), BTreeSet::from(["ALL"]), "{name}");
        assert_eq!(texts(&service["security_opt"]), BTreeSet::from(["no-new-privileges:true"]), "{name}");
        assert!(service["healthcheck"].is_object() || name == "channel", "{name}: the image has the check");
        assert!(texts(&service["secrets"]).is_subset(&secrets), "{name}");
        let ours = ["bot", "channel", "web"].contains(&&**name);
        for variable in keys(&service["environment"]).filter(|_| ours) {
            assert!(is_setting(variable), "{name}: {variable}");
            let file = service["environment"][variable].as_str().unwrap();
            if let Some(secret) = file.strip_prefix("/run/secrets/") {
                assert!(texts(&service["secrets"]).contains(secret), "{name}: {variable}");
            }
        }
        for volume in texts(&service["volumes"]) {
            let from = volume.split(':').next().unwrap();
            let there = match from.chars().next().unwrap() {
                '.' => dir.join(from).exists(),
                '$' => true,
                _ => volumes.contains(from),
            };
            assert!(there, "{name}: {volume}");
        }
    }
    for example in ["channel.env.example", "bot.env.example"] {
        let text = fs::read_to_string(dir.join(example)).unwrap();
        let entries = tgs_core::env_file::parse(text.as_bytes()).entries;
        let unknown: Vec<_> =
            entries.iter().filter(|entry| entry.name != "TZ" && !is_setting(&entry.name)).collect();
        assert!(unknown.is_empty(), "{example}: {unknown:?}");
    }
}

#[test]
fn prometheus_in_compose_reads_our_alerts() {
    let dir = tempfile::tempdir().unwrap();
    for (from, name) in
        [("container/prometheus.yml", "prometheus.yml"), ("prometheus/alerts.yml", "alerts.yml")]
    {
        fs::copy(workspace().join("deploy").join(from), dir.path().join(name)).unwrap();
    }
    succeeds(Command::new("promtool").args(["check", "config"]).arg(dir.path().join("prometheus.yml")));
    for file in ["datasources/prometheus.yml", "dashboards/tgs.yml"] {
        let path = workspace().join("deploy/container/grafana/provisioning").join(file);
        assert_eq!(yaml(&path)[0]["apiVersion"], 1, "{file}");
    }
}

/// The manifests with the files that an operator writes.
fn written(dir: &Path) -> PathBuf {
    let copied = dir.join("kubernetes");
    let from = workspace().join("deploy/kubernetes");
    succeeds(Command::new("cp").arg("-r").arg(from).arg(&copied));
    for overlay in ["one-channel", "pair"] {
        let overlay = copied.join("overlays").join(overlay);
        fs::copy(overlay.join("channel.env.example"), overlay.join("channel.env")).unwrap();
        for list in ["playlist.txt", "timetable.toml"] {
            fs::write(overlay.join(list), "").unwrap();
        }
        fs::create_dir_all(overlay.join("secrets")).unwrap();
        let kustomization = yaml(&overlay.join("kustomization.yaml")).remove(0);
        for secret in texts(&kustomization["secretGenerator"][0]["files"]) {
            fs::write(overlay.join(secret), "hidden").unwrap();
        }
    }
    copied
}

/// Renders an overlay; `None` where no kubectl has a kustomize that knows the fields in use.
fn render(overlay: &Path) -> Option<String> {
    let output = Command::new("kubectl").arg("kustomize").arg(overlay).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // kubectl before 1.21 has kustomize 2, which takes a directory for a file.
    if !output.status.success() && (said.contains("unknown field") || said.contains("must resolve to a file"))
    {
        return None;
    }
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("deprecated"), "{said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn valid(file: &Path) {
    succeeds(checker("kubernetes-validate").arg("--strict").arg(file));
}

#[test]
fn the_manifests_are_valid_and_give_no_rights() {
    let dir = tempfile::tempdir().unwrap();
    let kubernetes = written(dir.path());
    for file in ["statefulset", "service", "network-policy"] {
        // The label that selects the pods comes with kustomize.
        if file != "statefulset" {
            valid(&kubernetes.join(format!("base/{file}.yaml")));
        }
    }
    for (overlay, replicas) in [("one-channel", 1), ("pair", 2)] {
        let Some(text) = render(&kubernetes.join("overlays").join(overlay)) else {
            eprintln!("SKIPPED: the overlays of Kubernetes: kubectl 1.21 or later is not installed");
            return;
        };
        let file = dir.path().join(format!("{overlay}.yaml"));
        fs::write(&file, &text).unwrap();
        valid(&file);
        let documents = yaml(&file);
        let kind = |kind: &str| documents.iter().filter(|it| it["kind"] == kind).collect::<Vec<_>>();
        let [set] = kind("StatefulSet")[..] else { panic!("one StatefulSet") };
        assert_eq!(set["spec"]["replicas"], replicas);
        check_pod(&set["spec"]["template"]["spec"], &kind("Secret"));
        assert_eq!(kind("PodDisruptionBudget").len(), replicas - 1);
        for budget in kind("PodDisruptionBudget") {
            assert_eq!(budget["spec"]["minAvailable"], 1);
            assert_eq!(budget["spec"]["selector"], set["spec"]["selector"]);
        }
    }
}

fn check_pod(pod: &Value, secrets: &[&Value]) {
    assert_eq!(pod["securityContext"]["runAsUser"], tgs_e2e::container::USER);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let channel = &pod["containers"][0];
    let rights = &channel["securityContext"];
    assert_eq!(rights["readOnlyRootFilesystem"], true);
    assert_eq!(rights["allowPrivilegeEscalation"], false);
    assert_eq!(texts(&rights["capabilities"]["drop"]), BTreeSet::from(["ALL"]));
    let kept: BTreeSet<_> = secrets.iter().flat_map(|secret| keys(&secret["data"])).collect();
    for variable in channel["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        // The settings of a hot standby are checked where they are read.
        assert!(is_setting(name) || name == "POD_INDEX" || name.starts_with("HA_"), "{name}");
        let file = variable["value"].as_str().and_then(|value| value.strip_prefix("/run/secrets/tgs/"));
        if let Some(file) = file {
            assert!(kept.contains(&*file.replace("$(POD_INDEX)", "0")), "{name}: {kept:?}");
        }
    }
    for (probe, command) in [
        ("readinessProbe", ["tgs-check-active", "--healthz"]),
        ("livenessProbe", ["tgs-ctl", "status"]),
        ("startupProbe", ["tgs-ctl", "status"]),
    ] {
        assert_eq!(channel[probe]["exec"]["command"], Value::from(command.to_vec()));
    }
}
