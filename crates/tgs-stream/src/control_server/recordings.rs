//! `record.list` and `record.cut`: reads the recordings for a client.
//!
//! The disk of the recordings may be slow or hang, so the number of clients that wait for it is
//! limited.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use tgs_control::{
    RecordCut, RecordListing, Timestamp,
    method::{RecordCutParams, RecordListParams},
    rpc::{ErrorCode, RpcError},
};
use tgs_recording::{
    cut::{CutError, CutStream, cut},
    place::RecordingZone,
    store::listing,
    when::{FORMS, parse_moment},
};

/// Most recordings in one answer.
const MOST_LISTED: usize = 1000;

/// Clients that read recordings at once.
const MOST_READERS: usize = 3;

/// The clients that read recordings.
#[derive(Debug, Default)]
pub(crate) struct RecordingReads(Arc<AtomicUsize>);

/// One of them. Dropping it makes room.
#[derive(Debug)]
struct ReadingTurn(Arc<AtomicUsize>);

impl Drop for ReadingTurn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a cut, for a client.
#[derive(Debug)]
pub(super) struct CutAnswer {
    pub(super) stream: CutStream,
    _turn: ReadingTurn,
}

impl RecordingReads {
    fn begin<'a>(&self, dir: Option<&'a Path>) -> Result<(&'a Path, ReadingTurn), RpcError> {
        let why = "this broadcast is not recorded; RECORD_DIR in its .env names a directory for recordings";
        let dir = dir.ok_or_else(|| RpcError::new(ErrorCode::Refused, why))?;
        if self.0.fetch_add(1, Ordering::Relaxed) >= MOST_READERS {
            self.0.fetch_sub(1, Ordering::Relaxed);
            let why = format!("{MOST_READERS} clients are reading recordings; try again later");
            return Err(RpcError::new(ErrorCode::Limit, why));
        }
        Ok((dir, ReadingTurn(Arc::clone(&self.0))))
    }

    /// The newest recordings in `dir`.
    pub(super) fn list(
        &self,
        dir: Option<&Path>,
        params: RecordListParams,
    ) -> Result<RecordListing, RpcError> {
        let (dir, _turn) = self.begin(dir)?;
        listing(dir, params.limit.min(MOST_LISTED)).map_err(|error| {
            let why = format!("the recordings in {} cannot be read: {error}", dir.display());
            RpcError::new(ErrorCode::Internal, why)
        })
    }

    /// A cut of the recordings in `dir`.
    pub(super) fn cut(
        &self,
        dir: Option<&Path>,
        params: &RecordCutParams,
    ) -> Result<(RecordCut, CutAnswer), RpcError> {
        let (dir, turn) = self.begin(dir)?;
        let (zone, now) = (RecordingZone::of_host(), Timestamp::from(SystemTime::now()));
        let moment = |name: &str, text: &str| {
            parse_moment(text, now, &zone).ok_or_else(|| {
                let why = format!("`{name}` is no time; write it like {FORMS}");
                RpcError::new(ErrorCode::InvalidParams, why)
            })
        };
        let (from, to) = (moment("from", &params.from)?, moment("to", &params.to)?);
        let (cut, stream) = cut(dir, from, to, &zone).map_err(|error| {
            let code = match error {
                CutError::Backwards | CutError::TooLong => ErrorCode::InvalidParams,
                CutError::TooManyFiles(_) => ErrorCode::Limit,
                CutError::Nothing(..) => ErrorCode::NotFound,
                CutError::FormatChanges(_) => ErrorCode::Refused,
                CutError::Read { .. } => ErrorCode::Internal,
            };
            RpcError::new(code, error.to_string())
        })?;
        Ok((cut, CutAnswer { stream, _turn: turn }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do_and_readers_are_limited() {
        let dir = tempfile::tempdir().unwrap();
        let reads = RecordingReads::default();
        let params = |from: &str, to: &str| RecordCutParams { from: from.into(), to: to.into() };
        let refused = |from: &str, to: &str| reads.cut(Some(dir.path()), &params(from, to)).unwrap_err();
        for (from, to, words) in [
            ("soon", "now", "`from` is no time; write it like 14:05"),
            ("10m", "later", "`to` is no time"),
            ("1m", "2m", "not behind its beginning"),
            ("25h", "now", "at most 24 hours"),
            ("10m", "5m", "nothing was recorded between"),
        ] {
            let error = refused(from, to);
            assert!(error.message.contains(words), "{error}");
        }
        assert!(reads.cut(None, &params("1m", "now")).unwrap_err().message.contains("RECORD_DIR"));
        let turns: Vec<_> = (0..MOST_READERS).map(|_| reads.begin(Some(dir.path())).unwrap()).collect();
        assert!(refused("10m", "5m").is(ErrorCode::Limit));
        drop(turns);
        assert!(refused("10m", "5m").is(ErrorCode::NotFound));
        assert!(reads.list(Some(&dir.path().join("none")), RecordListParams::default()).is_err());
    }
}
