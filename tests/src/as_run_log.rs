//! The as-run log of one run of `tgs-stream`, as a file.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use tgs_control::AsRunEntry;

/// The entries in order of time, each as its last line says.
pub fn read(path: &Path) -> Result<Vec<AsRunEntry>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut entries = BTreeMap::new();
    for line in text.lines() {
        let entry: AsRunEntry = serde_json::from_str(line).context("read the as-run log")?;
        entries.insert(entry.n, entry);
    }
    Ok(entries.into_values().collect())
}

/// The first place at which the entries have a gap or an overlap.
#[must_use]
pub fn apart(entries: &[AsRunEntry]) -> Option<String> {
    let pair = entries.windows(2).find(|pair| pair[0].end != Some(pair[1].start))?;
    Some(format!("{:?}, then {:?}", pair[0], pair[1]))
}
