//! A number of permits of which each holder gets a share only: one user or address cannot take what
//! is there for all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The permits that are held.
#[derive(Debug)]
pub(crate) struct Shares<K: Clone + Eq + Hash> {
    most: usize,
    each: usize,
    held: Mutex<HashMap<K, usize>>,
}

/// A permit, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Clone + Eq + Hash> {
    shares: Arc<Shares<K>>,
    holder: K,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// `most` permits, `each` of them for one holder.
    pub(crate) fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { most, each, held: Mutex::default() })
    }

    /// A permit for `holder`; `None` if its share, or all, are held.
    pub(crate) fn take(self: &Arc<Self>, holder: K) -> Option<Share<K>> {
        let mut held = self.held();
        let own = held.get(&holder).copied().unwrap_or_default();
        if own >= self.each || held.values().sum::<usize>() >= self.most {
            return None;
        }
        held.insert(holder.clone(), own + 1);
        Some(Share { shares: self.clone(), holder })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        match held.get_mut(&self.holder) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                held.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_gets_its_share_and_all_get_no_more_than_there_are() {
        let shares = Shares::new(5, 2);
        let mut anna: Vec<_> = (0..2).map(|_| shares.take("anna").unwrap()).collect();
        assert!(shares.take("anna").is_none());
        let ben: Vec<_> = (0..2).map(|_| shares.take("ben").unwrap()).collect();
        let carl = shares.take("carl").unwrap();
        assert!(shares.take("carl").is_none(), "all are held");
        anna.pop();
        assert!(shares.take("ben").is_none());
        assert!(shares.take("carl").is_some());
        drop((anna, ben, carl));
        assert!(shares.held().is_empty(), "nothing is kept of those who hold none");
    }
}
