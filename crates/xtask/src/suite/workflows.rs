//! Checks the GitHub workflows with actionlint (correctness) and zizmor (security).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use tgs_e2e::{
    bin_path::{target_dir, workspace},
    tools,
};

/// actionlint comes as a WebAssembly module without a program.
const ACTIONLINT: &str = include_str!("actionlint.mjs");
/// What makes a workflow of a step.
const AROUND_A_STEP: &str = "name: Snippet\non: workflow_dispatch\npermissions: {}\nconcurrency: {group: deploy}\njobs:\n  \
                             snippet:\n    name: Snippet\n    runs-on: ubuntu-latest\n    environment: production\n    \
                             steps:\n";

/// Every workflow, and for every snippet a workflow around it.
pub(super) fn all() -> Result<Vec<PathBuf>> {
    let dir = workspace().join(".github/workflows");
    let mut all = yaml(&dir)?;
    let wrapped = target_dir("workflows")?;
    for snippet in yaml(&dir.join("snippets"))? {
        let text = fs::read_to_string(&snippet)?;
        let path = wrapped.join(snippet.file_name().unwrap_or_default());
        fs::write(&path, wrap(&text)).with_context(|| format!("write {}", path.display()))?;
        all.push(path);
    }
    Ok(all)
}

fn wrap(step: &str) -> String {
    let lines = step.lines().map(|line| format!("      {line}\n"));
    AROUND_A_STEP.to_owned() + &lines.collect::<String>()
}

pub(super) fn actionlint(workflows: &[PathBuf]) -> Command {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", ACTIONLINT, "--"]);
    command.arg(tools::actionlint()).args(workflows);
    command
}

pub(super) fn zizmor(workflows: &[PathBuf]) -> Command {
    let mut command = Command::new(tools::zizmor());
    command.args(["--offline", "--no-progress", "--quiet"]).args(workflows);
    command
}

fn yaml(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "yml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_looked_at_as_part_of_a_workflow() {
        let names: Vec<_> = all().unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(
            names,
            ["ci.yml", "deploy-restart.yml", "release.yml", "restart-tg_video_streamer-step.yml"]
        );
        assert!(wrap("- run: a\n  env: b\n").ends_with("steps:\n      - run: a\n        env: b\n"));
    }

    #[test]
    fn ci_runs_the_command_of_the_readme() {
        let text = fs::read_to_string(workspace().join(".github/workflows/ci.yml")).unwrap();
        assert!(
            text.lines().any(|line| line.starts_with("        run: ") && line.ends_with("cargo xtask test"))
        );
    }
}
