//! The metrics as a file for `node_exporter`'s textfile collector.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Writes `path` at once, then every `every`, and a last time when the other end of `stopped` is closed, so that what
/// stays behind are the final figures.
pub(super) fn run(path: &Path, every: Duration, stopped: &UnixStream) {
    let mut failing = false;
    let mut last = false;
    loop {
        match write(path) {
            Ok(()) => {
                if failing {
                    log::info!("{} is written again", path.display());
                }
                failing = false;
            }
            Err(e) => {
                if !failing {
                    log::warn!("failed to write the metrics to {}: {e}; see METRICS_FILE", path.display());
                }
                failing = true;
            }
        }
        if last {
            return;
        }
        last = super::closed_within(stopped, every);
    }
}

fn write(path: &Path) -> io::Result<()> {
    // node_exporter serves its own `process_*`, and two of a name are an error to it.
    let mut start = Vec::new();
    if fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        File::open(path)?.take(7).read_to_end(&mut start)?;
    }
    if !start.is_empty() && start != b"# HELP " && start != b"# TYPE " {
        return Err(io::Error::other("it holds something else than metrics and is left alone"));
    }
    let text = super::render(|family| !family.name().starts_with("process_")).map_err(io::Error::other)?;
    tgs_core::files::replace(path, text.as_bytes(), 0o644)
}
