//! A real Prometheus that monitors one broadcast, and the queries of alerts and dashboard.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tgs_control::http_get;

use crate::{bin_path::workspace, broadcast::until};

/// Time limit for the start and one evaluation of every rule.
const LIMIT: Duration = Duration::from_secs(30);

/// An alert as reported by Prometheus.
#[derive(Debug)]
pub struct Alert {
    /// The name.
    pub name: String,
    /// The PromQL expression.
    pub query: String,
    /// `inactive`, `pending`, `firing`.
    pub state: String,
    /// The alert's own labels.
    pub labels: Value,
    /// The annotations, with templates unexpanded.
    pub annotations: Value,
}

/// The server; dropping it ends the process. It runs in the network of the thread that started it.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _data: tempfile::TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes `target`, if any, as the job tgs and evaluates `rules` at each
    /// `interval`.
    pub fn watching(target: Option<&str>, rules: &Path, interval: &str) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut config = format!(
            "global: {{scrape_interval: {interval}, evaluation_interval: {interval}, scrape_timeout: {interval}}}\n\
             rule_files: [{:?}]\n",
            rules.display().to_string()
        );
        if let Some(target) = target {
            let scrape = format!("- job_name: tgs\n  static_configs: [{{targets: [{target:?}]}}]\n");
            config.extend(["scrape_configs:\n", &scrape]);
        }
        fs::write(data.path().join("prometheus.yml"), config)?;
        // Prometheus does not report its port, so the test chooses a free one.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prometheus", "--config.file=prometheus.yml"]);
        command.arg("--storage.tsdb.path=data").arg(format!("--web.listen-address={addr}"));
        command.current_dir(data.path()).stdout(Stdio::null());
        command.stderr(fs::File::create(data.path().join("log"))?);
        let child = command.spawn().context("run prometheus: apt-get install prometheus")?;
        Ok(Self { child, addr, _data: data })
    }

    /// A response of the API; `None` while it does not answer.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer = http_get::get(self.addr, path, Duration::from_secs(5)).ok()?;
        let answer: Value = serde_json::from_str(&answer.body).ok()?;
        Some(answer["data"].clone())
    }

    /// The values of a query's result.
    #[must_use]
    pub fn values(&self, query: &str) -> Vec<f64> {
        let encoded = query.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let data = self.ask(&format!("/api/v1/query?query={encoded}"));
        let series = data.as_ref().and_then(|data| data["result"].as_array()).cloned().unwrap_or_default();
        series.iter().filter_map(|series| series["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The alerts, once each has been evaluated; an error if one cannot be evaluated.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        let evaluated = || {
            let data = self.ask("/api/v1/rules")?;
            let rules: Vec<Value> = data["groups"]
                .as_array()?
                .iter()
                .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
                .collect();
            rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
        };
        let rules = until("the alerts to be evaluated", LIMIT, evaluated)?;
        ensure!(!rules.is_empty(), "there are no alerts");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rules
            .into_iter()
            .map(|rule| {
                ensure!(rule["health"] == "ok", "{rule}");
                Ok(Alert {
                    name: text(&rule["name"]),
                    query: text(&rule["query"]),
                    state: text(&rule["state"]),
                    labels: rule["labels"].clone(),
                    annotations: rule["annotations"].clone(),
                })
            })
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The metric names in a PromQL expression: words that are neither keyword nor function, outside of
/// `"…"`, `{…}`, `[…]` and the label lists of `by` and similar clauses.
#[must_use]
pub fn metrics_of(query: &str) -> BTreeSet<String> {
    const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];
    let mut names = BTreeSet::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let after = |end: char| rest[1..].find(end).map_or(rest.len(), |at| at + 2);
        let end = match first {
            '"' => after('"'),
            '{' => after('}'),
            '[' => after(']'),
            'a'..='z' | 'A'..='Z' | '_' => {
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
                let (word, behind) = (&rest[..end], rest[end..].trim_start());
                let next = behind.split(|c: char| !c.is_alphanumeric()).next();
                let function = behind.starts_with('(') || matches!(next, Some("by" | "without"));
                if LISTS.contains(&word) {
                    rest.find(')').map_or(rest.len(), |at| at + 1)
                } else {
                    if !OPERATORS.contains(&word) && !function {
                        names.insert(word.to_owned());
                    }
                    end
                }
            }
            // A number with its unit.
            '0'..='9' => rest.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        rest = &rest[end..];
    }
    names
}

/// Title and expressions of each panel of the dashboard.
pub fn panels() -> Result<Vec<(String, Vec<String>)>> {
    let text = fs::read_to_string(workspace().join("deploy/grafana/tgs.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let all = dashboard["panels"].as_array().context("no panels")?;
    all.iter()
        .filter(|panel| panel["type"] != "row")
        .map(|panel| {
            let title = panel["title"].as_str().context("a panel without a title")?.to_owned();
            let targets = panel["targets"].as_array().with_context(|| format!("{title} asks for nothing"))?;
            let queries: Vec<_> =
                targets.iter().filter_map(|target| target["expr"].as_str()).map(str::to_owned).collect();
            ensure!(!queries.is_empty(), "the panel {title} asks for nothing");
            ensure!(panel["datasource"]["uid"] == "${datasource}", "{title}: another source");
            for query in &queries {
                let selected = query.matches(r#"{job=~"$job", instance=~"$instance"}"#).count();
                ensure!(selected == metrics_of(query).len(), "{title} shows other jobs too: {query}");
            }
            Ok((title, queries))
        })
        .collect()
}
