//! `--cache-status` and `--cache-clear`. Both are safe while a broadcast plays from the cache.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use tgs_core::{
    mask,
    settings::Settings,
    time::{clock, moment},
};
use tgs_playout::cache::{self, CachedItem};

use crate::source::one_line;

/// The output of `--json`.
#[derive(serde::Serialize)]
struct CacheReport<'a> {
    directory: &'a std::path::Path,
    bytes: u64,
    limit_bytes: u64,
    items: Vec<CachedItem>,
}

/// Writes the list of cached items to `out`.
pub(crate) fn status(settings: &Settings, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut items = cache::list(&settings.cache_dir);
    for item in &mut items {
        item.title = mask::urls(&item.title).into_owned();
    }
    let bytes = items.iter().map(|item| item.bytes).sum();
    let report =
        CacheReport { directory: &settings.cache_dir, bytes, limit_bytes: settings.cache_limit, items };
    if json {
        return writeln!(out, "{}", serde_json::to_string(&report)?);
    }
    let (dir, count, limit) = (report.directory.display(), report.items.len(), gigabytes(report.limit_bytes));
    let items = if count == 1 { "item" } else { "items" };
    writeln!(out, "{dir}: {count} {items}, {} GB of at most {limit} GB", gigabytes(bytes))?;
    for item in &report.items {
        let used = moment(UNIX_EPOCH + Duration::from_secs(item.used));
        let (size, length) = (gigabytes(item.bytes), clock(Duration::from_secs(item.seconds)));
        writeln!(out, "{size:>8} GB  {length:>9}  {used}  {}", one_line(&item.title))?;
    }
    Ok(())
}

/// Empties the cache and writes the freed size to `out`.
pub(crate) fn clear(settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    let freed = cache::clear(&settings.cache_dir)?;
    writeln!(out, "{}: {} GB freed", settings.cache_dir.display(), gigabytes(freed))
}

/// `bytes` in GB, rounded to MB.
fn gigabytes(bytes: u64) -> String {
    format!("{:.3}", bytes as f64 / 1e9)
}
