//! Reads the files of `STATE_DIR` that carry the version of their format. What follows from a file
//! that cannot be used is its owner's to decide.

use std::{
    io::{self, Read},
    ops::RangeInclusive,
    path::Path,
};

use serde::{Deserialize, de::DeserializeOwned};
use tgs_core::files;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not what tgs-stream writes: {0}")]
    Foreign(#[from] serde_json::Error),
    #[error("it is over {} MiB, which tgs-stream never writes", .0 >> 20)]
    Large(u64),
    #[error("it has version {found} of the format, this tgs-stream knows {known}")]
    Version { found: u32, known: u32 },
}

/// Reads the JSON of `path`, which has the field `version`. The file has at most `most` bytes.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, version: u32, most: u64) -> Result<T, StateFileError> {
    read_versions(path, &(version..=version), most)
}

/// The same for a format of which several versions are known.
pub(crate) fn read_versions<T: DeserializeOwned>(
    path: &Path,
    versions: &RangeInclusive<u32>,
    most: u64,
) -> Result<T, StateFileError> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let mut bytes = Vec::new();
    files::open_regular(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(StateFileError::Large(most));
    }
    // Another version may have another format.
    let head: Head = serde_json::from_slice(&bytes)?;
    if !versions.contains(&head.version) {
        return Err(StateFileError::Version { found: head.version, known: *versions.end() });
    }
    Ok(serde_json::from_slice(&bytes)?)
}
