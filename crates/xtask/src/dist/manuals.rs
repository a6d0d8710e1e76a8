//! Manual pages and completions, generated from the command lines of the tools.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap_complete::{Shell, env::Shells};

use super::tools::{subcommands, tools};

/// Tools that the shell asks for candidates: only they know channels and queue entries.
const ASKED: [&str; 1] = ["tgs-ctl"];

/// Writes `man/NAME.1` and `completions/{bash,zsh,fish}/…` to `dist`, with each shell's file names.
pub(super) fn write(dist: &Path) -> Result<()> {
    let (man, completions) = (dist.join("man"), dist.join("completions"));
    fs::create_dir(&man)?;
    for (name, mut command) in tools() {
        manual(&man, name, &command)?;
        for (name, command) in subcommands(&command) {
            manual(&man, &name.replace(' ', "-"), &command)?;
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let dir = completions.join(shell.to_string());
            fs::create_dir_all(&dir)?;
            let file = match shell {
                Shell::Bash => name.to_owned(),
                Shell::Zsh => format!("_{name}"),
                _ => format!("{name}.fish"),
            };
            let mut text = Vec::new();
            if ASKED.contains(&name) {
                let shells = Shells::builtins();
                let completer = shells.completer(&shell.to_string()).context("no such shell")?;
                completer.write_registration("COMPLETE", name, name, name, &mut text)?;
            } else {
                clap_complete::generate(shell, &mut command, name, &mut text);
            }
            fs::write(dir.join(file), text)?;
        }
    }
    Ok(())
}

/// Writes the manual page `NAME.1`.
fn manual(dir: &Path, name: &str, command: &clap::Command) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    // clap_mangen names the text after the options EXTRA; ours is examples and exit codes.
    let page = String::from_utf8(page)?.replace(".SH EXTRA", ".SH EXAMPLES");
    fs::write(dir.join(format!("{name}.1")), page)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_manual_page_with_its_examples_and_three_completions() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        for (name, _) in tools() {
            let page = fs::read_to_string(dir.path().join(format!("man/{name}.1"))).unwrap();
            for part in [".SH OPTIONS", ".SH EXAMPLES", "Examples:", "Exit codes:", "\\-\\-help"] {
                assert!(page.contains(part), "{name}.1 has no {part}");
            }
            for file in [format!("bash/{name}"), format!("zsh/_{name}"), format!("fish/{name}.fish")] {
                let text = fs::read_to_string(dir.path().join("completions").join(&file)).unwrap();
                assert!(text.contains(if ASKED.contains(&name) { "COMPLETE" } else { "help" }), "{file}");
            }
        }
    }
}
