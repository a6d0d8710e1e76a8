//! The ingest of a run: nginx-rtmp where it is installed, whose recording is read as it grows, else
//! the recording server of these tests.

use std::{
    fs::File,
    io::Read,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use tgs_rtmp::flv::{FILE_HEADER, split_tag};

use crate::{
    ingest::Ingest,
    nginx::{self, Nginx},
    slot_starts::{Arrival, arrivals_of},
};

/// The ingest.
pub(super) enum Receiver {
    Nginx { nginx: Nginx, recording: Option<Recording>, arrivals: Vec<Arrival> },
    Ours(Ingest),
}

/// A recording that grows.
pub(super) struct Recording {
    file: File,
    /// The file's header has been read.
    started: bool,
    /// An incomplete tag.
    rest: Vec<u8>,
}

impl Receiver {
    pub(super) fn start() -> Result<Self> {
        if Path::new(nginx::MODULE).exists() {
            return Ok(Self::Nginx { nginx: Nginx::start()?, recording: None, arrivals: Vec::new() });
        }
        Ok(Self::Ours(Ingest::start()?))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Nginx { .. } => "nginx-rtmp",
            Self::Ours(_) => "the ingest of the tests",
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Nginx { nginx, .. } => nginx.url("programme"),
            Self::Ours(ingest) => ingest.url("programme"),
        }
    }

    /// Notes what has arrived since the last call.
    pub(super) fn look(&mut self) -> Result<()> {
        let Self::Nginx { nginx, recording, arrivals } = self else { return Ok(()) };
        if recording.is_none()
            && let Some(path) = nginx.recordings()?.first()
        {
            let file = File::open(path).context("open the recording")?;
            *recording = Some(Recording { file, started: false, rest: Vec::new() });
        }
        recording.as_mut().map_or(Ok(()), |recording| recording.read(arrivals))
    }

    /// Everything that has arrived, and the number of connections.
    pub(super) fn finish(mut self) -> Result<(Vec<Arrival>, usize)> {
        self.look()?;
        match self {
            Self::Nginx { nginx, arrivals, .. } => {
                let connections = nginx.log().matches("publish: name=").count();
                Ok((arrivals, connections))
            }
            Self::Ours(ingest) => {
                ingest.wait_ended(Duration::from_secs(10))?;
                let records = ingest.records();
                let record = records.first().context("nothing has connected to the ingest")?;
                Ok((arrivals_of(record), records.len()))
            }
        }
    }
}

impl Recording {
    fn read(&mut self, arrivals: &mut Vec<Arrival>) -> Result<()> {
        self.file.read_to_end(&mut self.rest).context("read the recording")?;
        let now = SystemTime::now();
        let mut bytes = &self.rest[..];
        if !self.started {
            let Some((header, tags)) = bytes.split_at_checked(FILE_HEADER.len()) else { return Ok(()) };
            ensure!(header.starts_with(b"FLV"), "the recording is no FLV file");
            (bytes, self.started) = (tags, true);
        }
        while let Some((tag, rest)) = split_tag(bytes) {
            arrivals.push((now, tag));
            bytes = rest;
        }
        self.rest = bytes.to_vec();
        Ok(())
    }
}
