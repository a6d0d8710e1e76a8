//! Limits tries to sign in: some a minute and address. A network of IPv6 counts as one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Tries a minute and address.
pub(crate) const A_MINUTE: u32 = 10;

/// Addresses that are remembered; beyond it the one first seen is forgotten.
const MOST: usize = 10_000;

const MINUTE: Duration = Duration::from_mins(1);

/// The tries of the last minute.
#[derive(Debug, Default)]
pub(crate) struct SignInTries(Mutex<HashMap<u128, (Instant, u32)>>);

impl SignInTries {
    /// Counts a try; `false` if the address has none left.
    pub(crate) fn allow(&self, address: IpAddr, now: Instant) -> bool {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(address);
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
        *count <= A_MINUTE
    }
}

fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        // A local process may use any of 16 million loopback addresses.
        IpAddr::V4(address) if address.is_loopback() => u128::from(u32::from(Ipv4Addr::LOCALHOST)),
        IpAddr::V4(address) => u128::from(u32::from(address)),
        // A subscriber gets a /64.
        IpAddr::V6(address) => u128::from(address) & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tries_a_minute_and_address() {
        let tries = SignInTries::default();
        let start = Instant::now();
        let from = |address: &str, seconds| {
            tries.allow(address.parse().unwrap(), start + Duration::from_secs(seconds))
        };
        assert!((0..10).all(|n| from("192.0.2.1", n)));
        assert!(!from("192.0.2.1", 10) && !from("192.0.2.1", 59) && !from("::ffff:192.0.2.1", 59));
        assert!(from("192.0.2.2", 10) && from("192.0.2.1", 60));
        assert!((0..10).all(|n| from(&format!("127.0.0.{n}"), n)));
        assert!(!from("127.9.9.9", 10));
        assert!((0..10).all(|n| from(&format!("2001:db8::{n}"), n)));
        assert!(!from("2001:db8::ffff", 20) && from("2001:db8:0:1::1", 20));
    }

    #[test]
    fn the_table_is_bounded() {
        let tries = SignInTries::default();
        let now = Instant::now();
        for n in 0..MOST as u32 + 100 {
            assert!(tries.allow(IpAddr::V4(n.into()), now + Duration::from_micros(u64::from(n))));
        }
        assert_eq!(tries.0.lock().unwrap().len(), MOST);
    }
}
