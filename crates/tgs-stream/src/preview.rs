//! One picture of an entry, as it would be aired: for `--preview` as a PNG file, and for clients of
//! the control socket.

use std::{
    ffi::OsStr,
    path::Path,
    sync::{Mutex, TryLockError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::fs::{Access, access};
use tgs_core::{cancel::Cancel, error::CliError, files, settings::Settings, units::parse_duration};
use tgs_playout::{
    engine::{self, EngineConfig},
    item::Item,
    output::Output,
};

use crate::{
    check::still_copied,
    cli::Cli,
    overwrite,
    playlist::{Listing, title_of},
    resolver::{Resolved, Resolver},
    setup::{engine_config, resolver},
    source::{self, PlaylistEntry},
};

/// Nested lists that are opened to find the first entry with media.
const MOST_LISTS: usize = 32;

/// The longest that a client waits: the limit of `tgs-control`'s client, less a margin.
const LONGEST_WAIT: Duration = Duration::from_secs(12);

/// What `--preview`, `--at` and `--output` ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PreviewRequest<'a> {
    item: &'a OsStr,
    at: Duration,
    output: &'a Path,
}

impl<'a> PreviewRequest<'a> {
    /// The request of the command line, checked before anything is opened.
    pub(crate) fn of(cli: &'a Cli, settings: &Settings) -> anyhow::Result<Self> {
        let item = cli.preview.as_deref().unwrap_or_default();
        let at = time(cli.at.as_deref().unwrap_or("0")).with_context(|| {
            format!("use --at {}: write 00:10, 1:02:03, 90 or 90s", cli.at.as_deref().unwrap_or_default())
        })?;
        let Some(output) = cli.output.as_deref() else {
            bail!("write a picture: name its file by --output out.png")
        };
        ensure!(
            output.to_ascii_lowercase().ends_with(".png"),
            "write {output}: a preview is a PNG file: name it by --output out.png"
        );
        let output = Path::new(output);
        let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(dir.is_dir(), "write {}: there is no directory {}", output.display(), dir.display());
        ensure!(
            access(dir, Access::WRITE_OK).is_ok(),
            "write {}: the directory {} cannot be written by this user",
            output.display(),
            dir.display()
        );
        overwrite::refuse_picture(output, cli, settings)
            .with_context(|| format!("write {}", output.display()))?;
        Ok(Self { item, at, output })
    }

    /// Renders the picture and writes it. `scratch` becomes the engine's directories.
    pub(crate) fn run(
        &self,
        cli: &Cli,
        settings: &Settings,
        resolver: &Resolver,
        scratch: &Path,
    ) -> anyhow::Result<()> {
        let shown = Path::new(self.item).display();
        let entries =
            Listing::new(vec![self.item.to_owned().into()], None).read().map(|named| source::expand(&named));
        let item = entries.and_then(|entries| first_item(entries, resolver));
        let item = item.with_context(|| format!("open {shown}"))?;
        let config = EngineConfig {
            state_dir: scratch.to_owned(),
            cache_dir: scratch.to_owned(),
            ..engine_config(cli, settings, Output::File(scratch.join("none.flv")))
        };
        let picture = engine::preview(&config, &item, self.at, &resolver.cancel)
            .with_context(|| format!("show “{}” at {:.1} s", item.title, self.at.as_secs_f64()))?;
        if self.output.exists() {
            log::info!("replacing {}", self.output.display());
        }
        files::replace(self.output, &picture, 0o644)
            .with_context(|| format!("write {}", self.output.display()))?;
        println!("{}: “{}” at {:.1} s", self.output.display(), item.title, self.at.as_secs_f64());
        Ok(())
    }
}

/// Renders pictures for clients of the control socket, one at a time.
#[derive(Debug)]
pub(crate) struct Previewer {
    config: EngineConfig,
    resolver: Resolver,
    busy: Mutex<()>,
}

/// Why a client gets no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureRefused {
    /// Another client waits for one.
    #[error("another picture is being made; ask again")]
    Busy,
    /// It takes too long.
    #[error("the picture was not ready after {} s; tgs-stream --preview has no limit", LONGEST_WAIT.as_secs())]
    Slow,
    /// The source cannot be shown.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl Previewer {
    /// A previewer with the settings of the broadcast, and a directory of its own where its
    /// children may write.
    pub(crate) fn new(cli: &Cli, settings: &Settings, stopped: &Cancel) -> Result<Self, CliError> {
        let state_dir = settings.state_dir.join("scratch/preview");
        let output = Output::File(state_dir.join("none.flv"));
        let config = EngineConfig { state_dir, ..engine_config(cli, settings, output) };
        Ok(Self { config, resolver: resolver(settings, stopped)?, busy: Mutex::default() })
    }

    /// Title and picture, as PNG, of the first item of `entries` at `at`.
    pub(crate) fn picture(
        &self,
        entries: Vec<PlaylistEntry>,
        at: Duration,
    ) -> Result<(String, Vec<u8>), PictureRefused> {
        let _turn = match self.busy.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(PictureRefused::Busy),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(turn) => turn,
        };
        let cancel = self.resolver.cancel.child();
        let resolver = Resolver { cancel: cancel.clone(), ..self.resolver.clone() };
        let (done, running) = mpsc::channel::<()>();
        let limit = move || {
            if running.recv_timeout(LONGEST_WAIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                cancel.cancel();
            }
        };
        let started = thread::Builder::new().name("preview-limit".into()).spawn(limit);
        started.map_err(|error| PictureRefused::Failed(error.into()))?;
        let picture = first_item(entries, &resolver).and_then(|item| {
            let picture = engine::preview(&self.config, &item, at, &resolver.cancel)?;
            Ok((item.title, picture))
        });
        drop(done);
        let slow = resolver.cancel.is_cancelled();
        picture.map_err(|why| if slow { PictureRefused::Slow } else { PictureRefused::Failed(why) })
    }
}

/// The first item of `todo`, also of folders and lists in it.
fn first_item(mut todo: Vec<PlaylistEntry>, resolver: &Resolver) -> anyhow::Result<Item> {
    let many = todo.len() > 1;
    for _ in 0..MOST_LISTS {
        ensure!(!todo.is_empty(), "it names nothing to play");
        let entry = todo.swap_remove(0);
        match resolver.resolve(&entry)? {
            Resolved::Media { media, title } => {
                if many {
                    log::info!("{} is the first of several items; name one to see another", entry.title());
                }
                return Ok(item_of(&entry, media, title));
            }
            Resolved::Entries(found) => todo = found,
            Resolved::Arriving => return Err(still_copied().into()),
        }
    }
    bail!("its lists name lists only")
}

fn item_of(entry: &PlaylistEntry, media: tgs_playout::item::Media, title: Option<String>) -> Item {
    Item { id: entry.key.item.clone(), turn: 1, title: title_of(entry, title), start: Duration::ZERO, media }
}

/// `00:10`, `1:02:03.5`, `90`, or a duration with a unit.
fn time(text: &str) -> Option<Duration> {
    crate::list::seconds(text).or_else(|| parse_duration(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_any_usual_form() {
        for (text, seconds) in [("00:10", 10.0), ("1:02:03", 3723.0), ("90.5", 90.5), ("2m", 120.0)] {
            assert_eq!(time(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!((time("soon"), time("-1"), time("1:99")), (None, None, None));
    }
}
