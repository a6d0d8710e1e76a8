//! Limits tries to sign in: some a minute and address, and some a minute and user name, since a
//! guesser may have many addresses. An address from which a user has signed in is exempt from the
//! limit of that name: guessers cannot keep the user out.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tgs_core::tries::{AddressBlock, Tries};

use crate::hash;

/// Tries a minute and address.
const OF_ADDRESS: u32 = 10;
/// Tries a minute and user name, from addresses from which the user has not signed in.
const OF_NAME: u32 = 20;

/// Pairs of address and user that are remembered.
const MOST: usize = 10_000;

/// A user name, of any length, as it is remembered.
type NameDigest = [u8; 32];

/// The tries of the last minute.
#[derive(Debug)]
pub(crate) struct SignInTries {
    addresses: Tries,
    names: Tries<NameDigest>,
    /// Where users have signed in.
    known: Mutex<HashSet<(AddressBlock, NameDigest)>>,
}

impl Default for SignInTries {
    fn default() -> Self {
        let (addresses, names) = (Tries::per_minute(OF_ADDRESS), Tries::per_minute(OF_NAME));
        Self { addresses, names, known: Mutex::default() }
    }
}

impl SignInTries {
    /// Counts a try; `false` if the address has none left.
    pub(crate) fn allow_address(&self, address: IpAddr, now: Instant) -> bool {
        self.addresses.allow(address, now)
    }

    /// Counts a try to sign in as `name`; `false` if the address or the name has none left.
    pub(crate) fn allow(&self, address: IpAddr, name: &str, now: Instant) -> bool {
        let name = hash::digest(name);
        self.allow_address(address, now)
            && (self.known().contains(&(address.into(), name)) || self.names.allow(name, now))
    }

    /// Remembers that `name` has signed in from `address`.
    pub(crate) fn signed_in(&self, address: IpAddr, name: &str) {
        let mut known = self.known();
        // Only users add to it: it is full after many moves of theirs.
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((address.into(), hash::digest(name)));
    }

    fn known(&self) -> MutexGuard<'_, HashSet<(AddressBlock, NameDigest)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn twenty_tries_a_minute_and_name_but_not_for_its_own_addresses() {
        let tries = SignInTries::default();
        let start = Instant::now();
        let from = |n: u8, name: &str, seconds| {
            let address = IpAddr::from([192, 0, 2, n]);
            tries.allow(address, name, start + Duration::from_secs(seconds))
        };
        tries.signed_in([192, 0, 2, 200].into(), "anna");
        assert!((0..20).all(|n| from(n, "anna", 1)));
        assert!(!from(20, "anna", 2) && !from(21, "anna", 60));
        assert!(from(22, "ben", 2) && from(200, "anna", 2));
        assert!(from(20, "anna", 61));
        // Not even a user's own address may try without end.
        assert!((0..9).all(|_| from(200, "anna", 3)) && !from(200, "anna", 3));
    }

    #[test]
    fn the_known_addresses_are_bounded() {
        let tries = SignInTries::default();
        for n in 0..MOST as u32 + 100 {
            tries.signed_in(IpAddr::from(n.to_be_bytes()), "anna");
        }
        assert!((1..=MOST).contains(&tries.known().len()));
    }
}
