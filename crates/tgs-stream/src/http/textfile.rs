//! Writes the metrics to a file for `node_exporter`'s textfile collector.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{exposition, stop::closed_within};

/// Writes `path` at once, then every `every`, and finally when the other end of `stopped` closes.
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
        last = closed_within(stopped, every);
    }
}

fn write(path: &Path) -> io::Result<()> {
    // node_exporter rejects `process_*`, which it exports itself.
    let mut start = Vec::new();
    if fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        File::open(path)?.take(7).read_to_end(&mut start)?;
    }
    if !start.is_empty() && start != b"# HELP " && start != b"# TYPE " {
        return Err(io::Error::other("the file holds something other than metrics, not overwriting it"));
    }
    let text =
        exposition::render(|family| !family.name().starts_with("process_")).map_err(io::Error::other)?;
    tgs_core::files::replace(path, text.as_bytes(), 0o644)
}
