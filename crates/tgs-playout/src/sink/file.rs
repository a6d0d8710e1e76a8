//! An FLV file, written tag by tag.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use tgs_rtmp::flv::{self, Kind, Tag};

use super::{Sink, SinkError};
use crate::profile::Profile;

/// An FLV file, written tag by tag.
pub(crate) struct FileSink {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
}

impl FileSink {
    pub(crate) fn create(path: &Path, profile: &Profile) -> Result<Self, SinkError> {
        if path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0) {
            log::info!("replacing {}", path.display());
        }
        Self::begin(path, profile).map_err(|source| SinkError::File { path: path.to_owned(), source })
    }

    fn begin(path: &Path, profile: &Profile) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&flv::FILE_HEADER)?;
        flv::write_tag(&mut file, &metadata_tag(profile))?;
        Ok(Self { path: path.to_owned(), file, written: 0 })
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError::File { path: self.path.clone(), source }
    }
}

impl Sink for FileSink {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        flv::write_tag(&mut self.file, tag).map_err(|error| self.failed(error))?;
        self.written += tag.body.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn acked(&self) -> u64 {
        self.written
    }

    fn goodbye(mut self: Box<Self>) {
        if let Err(error) = self.file.flush().and_then(|()| self.file.get_ref().sync_all()) {
            log::error!("the end of the file may be missing: {error}");
        }
    }
}

/// The metadata of an FLV file, as a script tag.
pub(crate) fn metadata_tag(profile: &Profile) -> Tag {
    Tag { kind: Kind::Script, timestamp: 0, body: profile.metadata().script_data().into() }
}
