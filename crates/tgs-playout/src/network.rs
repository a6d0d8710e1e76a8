//! Classifies IP addresses by network, which decides what an untrusted list may reach. Sends no
//! packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// A class of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// Reachable from everywhere.
    #[default]
    Public,
    /// This machine.
    Loopback,
    /// RFC 1918, unique local (RFC 4193) and site-local addresses.
    Private,
    /// Shared address space of a provider (RFC 6598).
    Shared,
    /// The local link.
    LinkLocal,
    /// Multicast, unspecified, reserved, and metadata services of clouds.
    Reserved,
}

impl Network {
    /// The network of `address`, or of the IPv4 address that it embeds.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let network = match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        };
        if network == Self::Public && is_own(address) { Self::Loopback } else { network }
    }
}

/// Whether `address` is this machine's: a connection to it passes no firewall. Sends no packet.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

/// Metadata services of clouds: the common one, Alibaba's, and Amazon's over IPv6.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(100, 100, 100, 200)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn of_v4(address: Ipv4Addr) -> Network {
    if METADATA_V4.contains(&address) {
        return Network::Reserved;
    }
    match address.octets() {
        [127, ..] => Network::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Network::Private,
        [100, 64..=127, ..] => Network::Shared,
        [169, 254, ..] => Network::LinkLocal,
        // "This network", IETF assignments, documentation, 6to4 relays, benchmarks, multicast,
        // reserved.
        [0 | 224..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Network::Reserved,
        _ => Network::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Network {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        _ if address == METADATA_V6 => Network::Reserved,
        [0, 0, 0, 0, 0, 0, 0, 1] => Network::Loopback,
        // IPv4-mapped, -translated and -compatible (the unspecified address too); NAT64; 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0xfe80..=0xfebf, ..] => Network::LinkLocal,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Network::Private,
        // Global unicast without Teredo, other IETF assignments, and documentation.
        [0x2000..=0x3fff, second, ..]
            if !matches!((segments[0], second), (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff)) =>
        {
            Network::Public
        }
        _ => Network::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
    }

    #[test]
    fn networks_of_addresses() {
        use Network::{LinkLocal, Loopback, Private, Public, Reserved, Shared};
        for (network, addresses) in [
            (
                Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 172.15.255.255 \
                      172.32.0.0 192.167.255.255 192.169.0.0 223.255.255.255 2606:4700::1111 2a00:1450::1 64:ff9b::1.1.1.1 \
                      ::ffff:8.8.8.8 2002:808:808::1",
            ),
            (
                Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::",
            ),
            (
                Private,
                "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fdff::1 fec0::1 \
                       ::ffff:10.0.0.1 ::ffff:0:192.168.1.1 64:ff9b::10.1.1.1 2002:c0a8:101::1",
            ),
            (Shared, "100.64.0.1 100.127.255.255 ::ffff:100.64.0.1"),
            (LinkLocal, "169.254.0.1 169.254.169.253 fe80::1 febf::1 ::ffff:169.254.1.1"),
            (
                Reserved,
                "0.0.0.0 0.1.2.3 :: 169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: \
                        fd00:ec2::254 100.100.100.200 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 192.0.0.8 \
                        192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 ff02::1 2001::1 2001:db8::1 3fff::1 \
                        64:ff9b:1::1 100::1 5f00::1 4000::1 ::2:0:0",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(Network::of(address.parse().unwrap()), network, "{address}");
            }
        }
    }
}
