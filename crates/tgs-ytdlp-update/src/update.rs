//! The update: find the newest version, build it beside the current one, test it, swap the link.
//!
//! Only reads the version in use. Every step that can fail precedes the swap, a single rename.

use std::{fmt, fs, path::Path};

use tgs_core::cancel::Cancel;

use crate::{
    canary::Canary,
    cli::{Cli, UpdateChannel},
    error::{ChildFailure, NEEDED_MB, UpdateError},
    pip::{self, Pip},
    trial,
    version::Version,
    versions_dir::{VersionDir, VersionsDir},
};

/// The outcome of a successful run or of `--check`.
#[derive(Debug)]
pub(crate) enum UpdateOutcome {
    Newest(Version),
    RolledBack { current: Version, newest: Version },
    Updated { from: Option<Version>, to: Version },
}

impl fmt::Display for UpdateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(version) => write!(f, "already newest, {version}"),
            Self::RolledBack { current, newest } => {
                write!(
                    f,
                    "still {current}: {newest} is the newest, but was rolled back; a newer one will be taken"
                )
            }
            Self::Updated { from: Some(from), to } if from == to => write!(f, "mended {to}"),
            Self::Updated { from: Some(from), to } => write!(f, "updated {from} -> {to}"),
            Self::Updated { from: None, to } => write!(f, "installed {to}"),
        }
    }
}

/// The inputs of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpdateContext<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) tree: &'a VersionsDir,
    /// Directory for temporary files of children.
    pub(crate) scratch: &'a Path,
    pub(crate) cancel: &'a Cancel,
}

/// A run of the updater.
#[derive(Debug)]
pub(crate) struct Update<'a> {
    work: UpdateContext<'a>,
    /// The version in use.
    current: Option<VersionDir>,
    /// Whether the version in use works.
    works: bool,
}

/// The version to install.
#[derive(Debug)]
struct UpdatePlan {
    version: Version,
    requirements: Vec<String>,
}

impl<'a> Update<'a> {
    /// Tests the version in use.
    pub(crate) fn new(work: &UpdateContext<'a>) -> Self {
        let current = work.tree.current();
        let works = current.as_ref().is_some_and(|found| {
            // Two attempts: a busy machine may exceed the time limit once.
            (1..=2).any(|_| {
                let tried = trial::run(&found.dir, work.cancel);
                if let Err(reason) = &tried {
                    log::warn!("yt-dlp {}, which is in use, does not work: {reason}", found.version);
                }
                tried.is_ok()
            })
        });
        Self { work: *work, current, works }
    }

    /// The version in use, as the end of an error message.
    pub(crate) fn still(&self) -> String {
        match &self.current {
            Some(found) if self.works => format!("still {}, which works", found.version),
            Some(found) => format!("still {}, WHICH DOES NOT WORK EITHER", found.version),
            None => "there is still NO yt-dlp".to_owned(),
        }
    }

    /// The outcome of a run, without changing anything.
    pub(crate) fn check(&self) -> Result<UpdateOutcome, UpdateError> {
        Ok(match self.plan()? {
            Ok(plan) => self.updated(plan.version),
            Err(outcome) => outcome,
        })
    }

    /// Installs the newest version.
    pub(crate) fn run(&self) -> Result<UpdateOutcome, UpdateError> {
        let outcome = match self.plan()? {
            Ok(plan) => self.install(plan)?,
            Err(outcome) => outcome,
        };
        let root = self.work.tree.root();
        self.work.tree.note_success().map_err(UpdateError::io(root))?;
        Ok(outcome)
    }

    fn updated(&self, to: Version) -> UpdateOutcome {
        UpdateOutcome::Updated { from: self.current.as_ref().map(|found| found.version.clone()), to }
    }

    /// The lowest acceptable version: the current one if it works.
    fn floor(&self) -> Option<&Version> {
        self.current.as_ref().filter(|_| self.works).map(|found| &found.version)
    }

    /// The version to install, or the outcome if there is nothing to install.
    fn plan(&self) -> Result<Result<UpdatePlan, UpdateOutcome>, UpdateError> {
        let dir = self.current.as_ref().map(|found| &*found.dir);
        let pip = Pip::to_ask(self.work.cli, dir, self.work.scratch, self.work.cancel)?;
        let newest = pip.newest(self.work.cli.channel)?;
        log::info!("the newest yt-dlp is {newest}");
        if let Some(current) = self.floor() {
            if *current >= newest {
                return Ok(Err(UpdateOutcome::Newest(current.clone())));
            }
            if self.work.tree.rolled_back().is_some_and(|left| left >= newest) {
                return Ok(Err(UpdateOutcome::RolledBack { current: current.clone(), newest }));
            }
        }
        self.resolve(&pip, newest).map(Ok)
    }

    /// The newest version whose dependencies resolve; checked before anything is built.
    fn resolve(&self, pip: &Pip, newest: Version) -> Result<UpdatePlan, UpdateError> {
        let mut deno = true;
        let refusal = loop {
            let wanted = requirements(Some(&newest), deno);
            let Err(refusal) = pip.ask(&wanted)? else {
                return Ok(UpdatePlan { version: newest, requirements: wanted });
            };
            let words = String::from_utf8_lossy(&refusal.stderr);
            if let Some(cause) = pip::cause(&words, &newest.to_string(), self.work.tree.root()) {
                return Err(cause);
            }
            if !deno || !words.contains("No matching distribution found for deno") {
                break refusal;
            }
            deno = false;
            log::warn!(
                "there is no deno for this machine, so that yt-dlp gets no JavaScript runtime of its own and YouTube may \
                 fail: install node 22 or later, or quickjs"
            );
        };
        let detail = ChildFailure::of(&refusal);
        // Without a pinned version, pip chooses.
        let mut free = requirements(None, deno);
        if self.work.cli.channel == UpdateChannel::Nightly {
            free.push("--pre".to_owned());
        }
        match (pip.ask(&free)?, self.floor()) {
            (Ok(offered), Some(current)) if offered < *current => Err(UpdateError::Downgrade {
                newest: newest.to_string(),
                offered: offered.to_string(),
                current: current.to_string(),
                detail,
            }),
            (Ok(offered), current) if current.is_none_or(|current| offered > *current) => {
                log::warn!("yt-dlp {newest} is out, but cannot be installed ({detail}): taking {offered}");
                let requirements = requirements(Some(&offered), deno);
                Ok(UpdatePlan { version: offered, requirements })
            }
            _ => Err(UpdateError::Unmet { newest: newest.to_string(), detail }),
        }
    }

    fn install(&self, plan: UpdatePlan) -> Result<UpdateOutcome, UpdateError> {
        let root = self.work.tree.root();
        check_space(root)?;
        let dir = self.work.tree.free_dir(&plan.version);
        // After `free_dir`, so that the names of leftovers from a killed run stay reserved.
        self.work.tree.prune();
        let built = self
            .build(&dir, &plan)
            .and_then(|()| self.prove(&dir, &plan.version))
            // A test that a signal interrupted proves nothing.
            .and_then(|()| if self.work.cancel.is_cancelled() { Err(UpdateError::Stopped) } else { Ok(()) })
            .and_then(|()| self.work.tree.swap_in(&dir, &plan.version).map_err(UpdateError::io(&dir)));
        // Removes unlinked versions: an older one, or this one if it failed.
        self.work.tree.prune();
        built.map(|()| self.updated(plan.version))
    }

    fn build(&self, dir: &Path, plan: &UpdatePlan) -> Result<(), UpdateError> {
        pip::make_venv(dir, self.work.cancel)?;
        let scratch = dir.join("tmp");
        fs::create_dir(&scratch).map_err(UpdateError::io(&scratch))?;
        let pip = Pip::of(self.work.cli, dir, self.work.cancel);
        pip.install_into(&plan.requirements, &scratch)?;
        fs::remove_dir_all(&scratch).map_err(UpdateError::io(&scratch))?;
        let got = pip.installed()?;
        if got == plan.version {
            return Ok(());
        }
        Err(UpdateError::WrongVersion { wanted: plan.version.to_string(), got: got.to_string() })
    }

    fn prove(&self, dir: &Path, version: &Version) -> Result<(), UpdateError> {
        let broken = |detail| UpdateError::Broken { version: version.to_string(), detail };
        let works = trial::run(dir, self.work.cancel).map_err(broken)?;
        match works.javascript {
            Some(runtimes) => log::info!("yt-dlp {version} works; JavaScript: {runtimes}"),
            None => log::warn!("yt-dlp {version} works, but has no JavaScript runtime: YouTube may fail"),
        }
        let Some(canary) = Canary::find(self.work.cli, self.work.scratch) else { return Ok(()) };
        let old = self.current.as_ref().filter(|_| self.works).map(|found| &*found.dir);
        canary.run(dir, old, self.work.cancel).map_err(broken)
    }
}

/// The requirements for pip: yt-dlp, its recommended packages, and a JavaScript runtime for
/// YouTube. The extra `deno` pins a sufficient deno; older yt-dlp versions lack that extra.
fn requirements(version: Option<&Version>, deno: bool) -> Vec<String> {
    let pin = version.map_or_else(String::new, |version| format!("=={version}"));
    if deno {
        vec![format!("yt-dlp[default,deno]{pin}"), "deno".to_owned()]
    } else {
        vec![format!("yt-dlp[default]{pin}")]
    }
}

fn check_space(dir: &Path) -> Result<(), UpdateError> {
    let stat = rustix::fs::statvfs(dir).map_err(|errno| UpdateError::io(dir)(errno.into()))?;
    let megabytes = stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000;
    if megabytes >= NEEDED_MB {
        return Ok(());
    }
    let detail = format!("only {megabytes} MB are free");
    Err(UpdateError::DiskFull { dir: dir.to_owned(), megabytes: NEEDED_MB, detail })
}

/// Switches back to the previous version if it works.
pub(crate) fn roll_back(tree: &VersionsDir, cancel: &Cancel) -> Result<String, UpdateError> {
    let (Some(current), Some(previous)) = (tree.current(), tree.previous()) else {
        return Err(UpdateError::NoPrevious);
    };
    if current.dir == previous.dir {
        return Err(UpdateError::PreviousGone);
    }
    trial::run(&previous.dir, cancel)
        .map_err(|detail| UpdateError::PreviousBroken { version: previous.version.to_string(), detail })?;
    tree.swap_back(&current, &previous).map_err(UpdateError::io(tree.root()))?;
    Ok(format!("rolled back {} -> {}", current.version, previous.version))
}
