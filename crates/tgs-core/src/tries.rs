//! Limits tries at a password or key: some a minute for each address, or each of another kind of
//! key.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Keys that are remembered; beyond it the one first seen is forgotten.
const MOST: usize = 10_000;

const MINUTE: Duration = Duration::from_mins(1);

/// The addresses that one party may use, which count as one: an address of IPv4, a /64 of IPv6, or
/// all of loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressBlock(u128);

impl From<IpAddr> for AddressBlock {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // A local process may use any of 16 million loopback addresses.
            IpAddr::V4(address) if address.is_loopback() => u128::from(u32::from(Ipv4Addr::LOCALHOST)),
            IpAddr::V4(address) => u128::from(u32::from(address)),
            // A subscriber gets a /64.
            IpAddr::V6(address) => u128::from(address) & !u128::from(u64::MAX),
        })
    }
}

/// The tries of the last minute.
#[derive(Debug)]
pub struct Tries<K = AddressBlock> {
    /// Tries a minute and key.
    most: u32,
    seen: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K: Copy + Eq + Hash> Tries<K> {
    /// Allows `most` tries a minute and key.
    #[must_use]
    pub fn per_minute(most: u32) -> Self {
        Self { most, seen: Mutex::default() }
    }

    /// Counts a try; `false` if the key has none left.
    pub fn allow(&self, key: impl Into<K>, now: Instant) -> bool {
        let mut tries = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key.into();
        if !tries.contains_key(&key) && tries.len() >= MOST {
            tries.retain(|_, (began, _)| now.saturating_duration_since(*began) < MINUTE);
            if tries.len() >= MOST
                && let Some(oldest) = tries.iter().min_by_key(|(_, (began, _))| *began).map(|(key, _)| *key)
            {
                tries.remove(&oldest);
            }
        }
        let (began, count) = tries.entry(key).or_insert((now, 0));
        if now.saturating_duration_since(*began) >= MINUTE {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= self.most
    }

    /// Whether the key has no try left. Counts none.
    #[must_use]
    pub fn is_spent(&self, key: impl Into<K>, now: Instant) -> bool {
        let tries = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        tries.get(&key.into()).is_some_and(|(began, count)| {
            *count >= self.most && now.saturating_duration_since(*began) < MINUTE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn ten_tries_a_minute_and_address() {
        let tries: Tries = Tries::per_minute(10);
        let start = Instant::now();
        let from = |address: &str, seconds| tries.allow(at(address), start + Duration::from_secs(seconds));
        assert!((0..10).all(|n| from("192.0.2.1", n)));
        assert!(tries.is_spent(at("192.0.2.1"), start));
        assert!(!tries.is_spent(at("192.0.2.1"), start + MINUTE));
        assert!(!from("192.0.2.1", 10) && !from("192.0.2.1", 59) && !from("::ffff:192.0.2.1", 59));
        assert!(from("192.0.2.2", 10) && from("192.0.2.1", 60));
        assert!((0..10).all(|n| from(&format!("127.0.0.{n}"), n)));
        assert!(!from("127.9.9.9", 10));
        assert!((0..10).all(|n| from(&format!("2001:db8::{n}"), n)));
        assert!(!from("2001:db8::ffff", 20) && from("2001:db8:0:1::1", 20));
    }

    #[test]
    fn the_table_is_bounded() {
        let tries: Tries = Tries::per_minute(10);
        let now = Instant::now();
        for n in 0..MOST as u32 + 100 {
            assert!(tries.allow(IpAddr::V4(n.into()), now + Duration::from_micros(u64::from(n))));
        }
        assert_eq!(tries.seen.lock().unwrap().len(), MOST);
    }
}
