//! Addresses of Telegram's data centres, for session strings without one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// DC 1 to 5, as in grammers-session 0.11.0 (`KNOWN_DC_OPTIONS`), from `help.getConfig`.
const PRODUCTION: [[u8; 4]; 5] =
    [[149, 154, 175, 53], [149, 154, 167, 41], [149, 154, 175, 100], [149, 154, 167, 92], [91, 108, 56, 104]];
/// Test DC 1 to 3: the second from my.telegram.org, all three from the tables of Telethon and
/// Pyrogram.
const TEST: [[u8; 4]; 3] = [[149, 154, 175, 10], [149, 154, 167, 40], [149, 154, 175, 117]];
/// The IPv6 addresses of DC 1 to 5, as in grammers-session 0.11.0 (`KNOWN_DC_OPTIONS`): the middle
/// words of `2001:…::a`.
const PRODUCTION_V6: [[u16; 3]; 5] = [
    [0x0b28, 0xf23d, 0xf001],
    [0x067c, 0x04e8, 0xf002],
    [0x0b28, 0xf23d, 0xf003],
    [0x067c, 0x04e8, 0xf004],
    [0x0b28, 0xf23f, 0xf005],
];
/// The port of every DC; 80 and 5222 answer too.
const PORT: u16 = 443;

/// Returns the IPv4 address of a DC, production (1 to 5) or `test` (1 to 3), with port 443. `None`
/// if the DC does not exist.
#[must_use]
pub fn dc_address(dc: u8, test: bool) -> Option<SocketAddr> {
    let table: &[[u8; 4]] = if test { &TEST } else { &PRODUCTION };
    let octets = table.get(usize::from(dc).checked_sub(1)?)?;
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*octets)), PORT))
}

/// Returns the IPv6 address of a production DC (1 to 5) with port 443; `None` for others.
#[must_use]
pub fn dc_address_v6(dc: u8, test: bool) -> Option<SocketAddr> {
    let [a, b, c] = PRODUCTION_V6.get(usize::from(dc).checked_sub(1)?).filter(|_| !test)?;
    let address = Ipv6Addr::new(0x2001, *a, *b, *c, 0, 0, 0, 0xa);
    Some(SocketAddr::new(IpAddr::V6(address), PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let cases = [
            (0, false, None),
            (1, false, Some("149.154.175.53:443")),
            (5, false, Some("91.108.56.104:443")),
            (6, false, None),
            (2, true, Some("149.154.167.40:443")),
            (3, true, Some("149.154.175.117:443")),
            (4, true, None),
            (255, true, None),
        ];
        for (dc, test, expected) in cases {
            assert_eq!(dc_address(dc, test), expected.map(|text| text.parse().unwrap()), "{dc} {test}");
        }
        assert_eq!(dc_address_v6(2, false), Some("[2001:67c:4e8:f002::a]:443".parse().unwrap()));
        assert_eq!(dc_address_v6(5, false), Some("[2001:b28:f23f:f005::a]:443".parse().unwrap()));
        assert_eq!(
            (dc_address_v6(0, false), dc_address_v6(6, false), dc_address_v6(1, true)),
            (None, None, None)
        );
    }
}
