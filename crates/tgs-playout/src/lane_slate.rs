//! The slate of a lane that is over before its time, with a text of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A lane's slate, as the thread that encodes it and the playout thread share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneSlate(Arc<Mutex<LaneSlateState>>);

#[derive(Debug, Default)]
enum LaneSlateState {
    /// The lane has no slate, or its slate is not encoded yet.
    #[default]
    Missing,
    /// The path of the encoded slate.
    Ready(PathBuf),
    /// Its text is no longer true.
    Withdrawn,
}

impl LaneSlate {
    /// Shows the slate at `path` from the filler's next round on.
    pub(crate) fn set(&self, path: PathBuf) {
        let mut state = self.lock();
        if !matches!(*state, LaneSlateState::Withdrawn) {
            *state = LaneSlateState::Ready(path);
        }
    }

    /// Shows the usual slate from the filler's next round on, for good.
    pub(crate) fn withdraw(&self) {
        *self.lock() = LaneSlateState::Withdrawn;
    }

    /// The path of the encoded slate, if it is to be shown.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match &*self.lock() {
            LaneSlateState::Ready(path) => Some(path.clone()),
            LaneSlateState::Missing | LaneSlateState::Withdrawn => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, LaneSlateState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawn_slate_is_not_shown_even_if_it_is_ready_later() {
        let slate = LaneSlate::default();
        assert_eq!(slate.path(), None);
        slate.set("/a".into());
        assert_eq!(slate.path(), Some("/a".into()));
        slate.withdraw();
        slate.set("/a".into());
        assert_eq!(slate.path(), None);
    }
}
