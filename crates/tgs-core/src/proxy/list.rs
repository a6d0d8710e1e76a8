//! Several proxies, tried in turn.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::upstream::UpstreamProxy;

/// Proxies to try in turn, from the one that worked last. Clones share which one that is.
#[derive(Debug, Clone)]
pub struct ProxyList {
    proxies: Arc<[UpstreamProxy]>,
    current: Arc<AtomicUsize>,
    /// The one that worked last; [`NONE`] before one has.
    worked: Arc<AtomicUsize>,
}

const NONE: usize = usize::MAX;

impl Default for ProxyList {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl PartialEq for ProxyList {
    /// Whether both name the same proxies; which one is in use does not count.
    fn eq(&self, other: &Self) -> bool {
        self.proxies == other.proxies
    }
}

impl ProxyList {
    /// Begins with the first of `proxies`. An empty list means a direct connection.
    #[must_use]
    pub fn new(proxies: Vec<UpstreamProxy>) -> Self {
        Self { proxies: proxies.into(), current: Arc::default(), worked: Arc::new(NONE.into()) }
    }

    /// Begins with the proxy `index` of `proxies`, which has worked before.
    pub(super) fn beginning_with(proxies: Vec<UpstreamProxy>, index: usize) -> Self {
        let list = Self::new(proxies);
        list.keep(index);
        list
    }

    /// A list of the same proxies that begins with the current one, and from then on keeps its own:
    /// for another server, to which another proxy may lead.
    #[must_use]
    pub fn apart(&self) -> Self {
        let current = Arc::new(self.current.load(Relaxed).into());
        Self { proxies: Arc::clone(&self.proxies), current, worked: Arc::new(NONE.into()) }
    }

    /// Whether connections are direct.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    /// Number of proxies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.proxies.len()
    }

    /// The proxies in the order of the setting.
    #[must_use]
    pub fn all(&self) -> &[UpstreamProxy] {
        &self.proxies
    }

    /// The proxy that connections begin with; `None` for direct connections.
    #[must_use]
    pub fn current(&self) -> Option<&UpstreamProxy> {
        self.proxies.get(self.current.load(Relaxed))
    }

    /// The number of the proxy that worked last.
    pub(super) fn worked(&self) -> Option<usize> {
        Some(self.worked.load(Relaxed)).filter(|index| *index != NONE)
    }

    /// All proxies with their numbers, from the current one on.
    pub fn in_turn(&self) -> impl Iterator<Item = (usize, &UpstreamProxy)> {
        let (first, count) = (self.current.load(Relaxed), self.proxies.len());
        (0..count).map(move |step| (first + step) % count).map(|index| (index, &self.proxies[index]))
    }

    /// Begins the next connection with the proxy `index`, which has just worked.
    pub fn keep(&self, index: usize) {
        if index < self.proxies.len() {
            self.current.store(index, Relaxed);
            self.worked.store(index, Relaxed);
        }
    }

    /// Begins the next connection with the proxy after `index`, which has just failed.
    pub fn pass_over(&self, index: usize) {
        if !self.proxies.is_empty() {
            self.current.store((index + 1) % self.proxies.len(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::parse_proxies;

    #[test]
    fn the_one_that_works_is_kept() {
        let list = ProxyList::new(parse_proxies("socks5://a:1 socks5://b:2 http://c:3").unwrap());
        let hosts =
            |list: &ProxyList| list.in_turn().map(|(_, proxy)| proxy.host.clone()).collect::<Vec<_>>();
        assert_eq!(hosts(&list), ["a", "b", "c"]);
        list.clone().keep(1);
        assert_eq!(hosts(&list), ["b", "c", "a"]);
        list.pass_over(2);
        assert_eq!(list.current().unwrap().to_string(), "socks5://a:1");
        list.keep(9);
        assert_eq!(hosts(&list), ["a", "b", "c"]);
        let other = list.apart();
        other.keep(2);
        assert_eq!(hosts(&other), ["c", "a", "b"]);
        assert_eq!(hosts(&list), ["a", "b", "c"]);
        let none = ProxyList::default();
        none.pass_over(0);
        assert!(none.is_empty() && none.current().is_none() && none.in_turn().next().is_none());
    }
}
