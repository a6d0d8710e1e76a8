//! Telethon, a foreign client of Telegram, in a Python environment of its own below
//! `target/tools`. The tests of `tgs-testdc` make and use the same.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::bin_path::target_dir;

const VERSION: &str = "telethon==1.45.0";

/// The environment's Python, with Telethon in it; installs it first if it is missing.
pub fn python() -> Result<PathBuf> {
    let tools = target_dir("tools")?;
    let (venv, stamp) = (tools.join("telethon"), tools.join("telethon/installed"));
    // Tests run in processes of their own: one makes the environment, the others wait.
    let lock = File::create(tools.join("telethon.lock"))?;
    lock.lock()?;
    let python = venv.join("bin/python");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == VERSION) {
        let run = |command: &mut Command| {
            let output = command.output().context("run Python")?;
            ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION];
        run(Command::new(&python).args(pip))?;
        fs::write(stamp, VERSION)?;
    }
    Ok(python)
}
