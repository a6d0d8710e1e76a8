//! `tgs-web user`: adds, removes and lists users.

use std::{
    io::{IsTerminal, Write, stderr, stdin, stdout},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use tgs_core::{error::CliError, exit::Code};

use crate::{
    cli::UserCommand,
    hash,
    users::{self, DeskUser, Role, Users},
};

/// Shortest password.
const SHORTEST: usize = 10;

/// Runs a command on the users in `path`.
pub(crate) fn run(command: &UserCommand, path: &Path) -> Result<(), CliError> {
    let users = users::read(path).map_err(|error| CliError::new(Code::Config, error))?;
    match command {
        UserCommand::Add { name, viewer } => add(path, users, name, *viewer)?,
        UserCommand::Remove { name } => remove(path, users, name)?,
        UserCommand::List => {
            for (name, user) in users {
                // A closed pipe needs no more lines.
                let _ = writeln!(stdout(), "{name} {}", user.role.name());
            }
        }
    }
    Ok(())
}

fn add(path: &Path, mut users: Users, name: &str, viewer: bool) -> Result<()> {
    ensure!(
        users::is_name(name),
        "add the user: a name has 1 to 32 letters, digits, dots, underscores and hyphens"
    );
    let role = if viewer { Role::Viewer } else { Role::Operator };
    let hash = hash::password(&ask(name)?)?;
    let known = users.insert(name.to_owned(), DeskUser { role, hash }).is_some();
    save(path, &users)?;
    let done = if known { "has a new password" } else { "was added" };
    let _ = writeln!(stderr(), "{name} ({}) {done} in {}", role.name(), path.display());
    Ok(())
}

fn remove(path: &Path, mut users: Users, name: &str) -> Result<()> {
    ensure!(users.remove(name).is_some(), "remove {name}: {} has no such user", path.display());
    save(path, &users)?;
    let _ = writeln!(stderr(), "{name} was removed from {}", path.display());
    Ok(())
}

fn save(path: &Path, users: &Users) -> Result<()> {
    users::write(path, users).context("write the users; is this root?")
}

/// Asks for a password: twice at a terminal, else one line of stdin.
fn ask(name: &str) -> Result<String> {
    let password = if stdin().is_terminal() {
        let first =
            rpassword::prompt_password(format!("Password for {name}: ")).context("read the password")?;
        let second = rpassword::prompt_password("Again: ").context("read the password")?;
        ensure!(first == second, "read the password: the two differ");
        first
    } else {
        let mut line = String::new();
        stdin().read_line(&mut line).context("read the password")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.chars().count() < SHORTEST {
        bail!("accept the password: use {SHORTEST} characters or more");
    }
    ensure!(password.len() <= hash::LONGEST_PASSWORD, "accept the password: it is too long");
    Ok(password)
}
