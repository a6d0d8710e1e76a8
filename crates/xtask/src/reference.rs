//! `cargo xtask docs`: writes the pages that are made from the code, and `.env.template`.
//! A test compares them with the committed files. Other pages are written by hand.

mod control;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use tgs_core::{
    exit::Code,
    settings::{self, Setting, Visibility},
};
use tgs_e2e::bin_path::{self, workspace};

use crate::{dist, step};

/// Tests that write a page of their own with `TGS_WRITE_DOCS=1`: what they show is private to a
/// crate, or takes a broadcast.
const WRITING_TESTS: [&str; 2] = [
    "test --quiet --package tgs-stream --lib the_states_document_is_up_to_date",
    "test --quiet --package tgs-e2e --test metrics promtool_has_nothing_to_say_in_any_state",
];

/// Writes all generated pages; `false` if a test that writes one fails (its output is printed).
pub(crate) fn run() -> Result<bool> {
    for (path, text) in pages()? {
        let path = workspace().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        step::say(&format!("wrote {}", path.display()));
    }
    let mut all_passed = true;
    for args in WRITING_TESTS {
        let mut cargo = bin_path::cargo();
        cargo.args(args.split(' ')).env("TGS_WRITE_DOCS", "1");
        all_passed &= step::run(args, &mut cargo);
    }
    Ok(all_passed)
}

/// The pages made here: path in the repository and text.
fn pages() -> Result<[(&'static str, String); 5]> {
    Ok([
        (".env.template", settings::template()),
        ("docs/reference/settings.md", settings_page()),
        ("docs/reference/exit-codes.md", exit_codes_page()),
        ("docs/reference/commands.md", commands_page()),
        ("docs/reference/control.md", control::page()?),
    ])
}

const SETTINGS: &str = "\
# Settings

Written by `cargo xtask docs` from the table of settings in `tgs-core`. The same table as a file to copy:
[.env.template](../../.env.template).

## Contents

- [Where a value comes from](#where-a-value-comes-from)
- [How a line is written](#how-a-line-is-written)
- [All settings](#all-settings)
- [The desk](#the-desk)
- [The bot](#the-bot)

## Where a value comes from

The first of these that names the setting counts:

1. the command line;
2. the file that `--env-file` names;
3. the environment;
4. `.env` in the working directory;
5. the default.

An empty value counts as unset. The file of `--env-file` comes before the environment because systemd's
`EnvironmentFile=` fills the environment once, when the unit starts, and the file may have changed since.

The value of a secret can be in a file of its own: `NAME_FILE=/path` names it in the place of `NAME`
([containers](../guide/containers.md#secrets)). One line break at the end of the file is no part of the value. Desk and bot
read their secrets in the same way.

## How a line is written

- `NAME=value`, one setting a line. A comment has a line of its own and begins with `#`.
- A value with spaces stands in `'…'`. A value with `'` or `\\` stands in `\"…\"`, with `\\` before each `\\`, `\"` and `$`.
- A duration carries a unit: `500ms`, `10s`, `2m`, `1h`, `7d`.
- A line that systemd and dotenv read differently is refused with its number. A comment after a value, and `export`,
  are read as dotenv reads them, with a warning.

## All settings

*Example* means that the setting has no default. A secret appears in no log, message or metric.

| name | default | meaning |
|---|---|---|
";

fn settings_page() -> String {
    let mut page = SETTINGS.to_owned();
    page.extend(settings::TABLE.iter().map(row));
    page += DESK;
    page.extend(tgs_web::settings::TABLE.iter().map(row));
    page += BOT;
    page.extend(tgs_bot::settings::TABLE.iter().map(row));
    page
}

const BOT: &str = "
## The bot

`tgs-bot` reads these from the file of `--env-file`, from the environment, or from `/opt/tg_video_streamer/shared/bot.env`,
in this order. It reads no settings of a broadcast.

| name | default | meaning |
|---|---|---|
";

const DESK: &str = "
## The desk

`tgs-web` reads these from the file of `--env-file`, from the environment, or from `/etc/tgs/web.env`, in this order. It
reads no settings of a broadcast.

| name | default | meaning |
|---|---|---|
";

fn row(setting: &Setting) -> String {
    let value = match setting.shown {
        Visibility::Default(value) => format!("`{value}`"),
        Visibility::Example(value) => format!("example: `{value}`"),
    };
    let secret = if setting.secret { " **Secret.**" } else { "" };
    let help = setting.help.replace('\n', " ").replace('|', "\\|");
    format!("| `{}` | {value} | {help}{secret} |\n", setting.name)
}

/// What the code means when the service's unit shows it.
fn of_the_unit(code: Code) -> &'static str {
    match code {
        Code::Ok => "stopped on request, or `SESSION_REGEN=once` has signed in",
        Code::Failure => "read the last lines of the log",
        Code::Usage => "a drop-in changed `ExecStart=` to a command line that the tool does not understand",
        Code::Unavailable => "ffmpeg is not installed",
        Code::Busy => "another tgs-stream uses this `STATE_DIR`",
        Code::Config => "the log names each wrong setting and its line",
    }
}

fn exit_codes_page() -> String {
    let mut page = "\
# Exit codes

Written by `cargo xtask docs`. All tools use the same codes; those above 2 are the codes of `sysexits.h`.

| code | meaning | shown by the unit `tg_video_streamer` |
|---|---|---|
"
    .to_owned();
    page.extend(
        Code::ALL.map(|code| format!("| {} | {} | {} |\n", code as u8, code.meaning(), of_the_unit(code))),
    );
    page += "\n| tool | its codes |\n|---|---|\n";
    page.extend(dist::tools().map(|(name, command)| {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let codes = help.lines().find_map(|line| line.strip_prefix("Exit codes: ")).unwrap_or_default();
        format!("| `{name}` | {} |\n", codes.trim_end_matches('.'))
    }));
    page
}

fn commands_page() -> String {
    let mut page = "\
# Commands

Written by `cargo xtask docs`: what each tool prints for `--help`. `-h` prints a summary. Each tool has a manual page
too (`man tgs-stream`), and completions for bash, zsh and fish.

## Contents

"
    .to_owned();
    page.extend(dist::tools().map(|(name, _)| format!("- [{name}](#{name})\n")));
    for (name, mut command) in dist::tools() {
        // Writing into a String does not fail.
        let _ = write!(page, "\n## {name}\n\n{}", help_block(name, &mut command));
        for (name, mut command) in dist::subcommands(&command) {
            let _ = write!(page, "\n{}", help_block(&name, &mut command));
        }
    }
    page
}

/// What `NAME --help` prints, as a block.
fn help_block(name: &str, command: &mut clap::Command) -> String {
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    format!("```console\n$ {name} --help\n{}\n```\n", help.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_pages_are_those_of_the_code() {
        for (path, text) in pages().unwrap() {
            let committed = fs::read_to_string(workspace().join(path)).unwrap_or_default();
            assert_eq!(committed, text, "{path}: run `cargo xtask docs` and commit the result");
        }
    }

    #[test]
    fn every_tool_lists_its_exit_codes() {
        let page = exit_codes_page();
        for (name, _) in dist::tools() {
            assert!(page.contains(&format!("| `{name}` | 0 ")), "{name}: {page}");
        }
    }
}
