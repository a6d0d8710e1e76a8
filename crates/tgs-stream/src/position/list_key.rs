//! The keys under which the position of a list is saved.

use tgs_core::digest;

/// The key of a list of sources, stable across versions and machines. A hash: sources may be many
/// and long, and URLs may hold passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListKey {
    pub(super) key: String,
    /// The key that versions before 0.2 used. Every position is saved under both keys: after a
    /// rollback, the older version finds it.
    pub(super) before: String,
}

impl ListKey {
    /// The key of these sources.
    pub fn of<S: AsRef<[u8]>>(sources: impl IntoIterator<Item = S, IntoIter: Clone>) -> Self {
        let sources = sources.into_iter();
        Self { before: fnv(sources.clone()), key: digest::key(sources) }
    }
}

/// The length of a key from [`fnv`]. Keys from [`digest::key`] are longer.
pub(super) const FNV_DIGITS: usize = 16;

/// FNV-1a, 64 bits.
pub(super) fn fnv<S: AsRef<[u8]>>(sources: impl Iterator<Item = S>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for source in sources {
        // The zero byte separates ["ab"] from ["a", "b"].
        for byte in source.as_ref().iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}
