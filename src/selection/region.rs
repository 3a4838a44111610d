//! Where peers are, as far as addresses tell.

// Of the core library, for an address is a value: nothing here can open a socket.
use core::net::IpAddr;

use libp2p::multiaddr::Protocol;

use crate::types::Multiaddr;

/// Leading bits of an IPv4 address that make a region. Source: Bitcoin Core's network groups; one
/// operator seldom has hosts in many of them. Fewer: strangers count as neighbours. More: one
/// operator has many regions.
const REGION_BITS_V4: u32 = 16;
/// The same of an IPv6 address. Source: as above; what a registry gives to one provider.
const REGION_BITS_V6: u32 = 32;

/// The addresses that are taken for one operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Region {
    /// IPv4 addresses that begin with these bits.
    V4(u32),
    /// IPv6 addresses that begin with these bits.
    V6(u128),
}

impl Region {
    /// The region of `ip`.
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits() >> (u32::BITS - REGION_BITS_V4)),
            IpAddr::V6(ip) => Self::V6(ip.to_bits() >> (u128::BITS - REGION_BITS_V6)),
        }
    }
}

/// How many bits two addresses have in common from their beginning; none of different families.
pub(super) fn common_prefix(one: IpAddr, other: IpAddr) -> u32 {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

/// The IP address that `address` begins with, if it has one: a name has none before it is looked
/// up.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| {
        if let Protocol::Ip4(ip) = part {
            return Some(IpAddr::V4(ip));
        }
        if let Protocol::Ip6(ip) = part {
            return Some(IpAddr::V6(ip).to_canonical());
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn regions_are_a_sixteenth_of_ipv4_and_a_thirty_second_of_ipv6() {
        assert_eq!(Region::of(ip("203.0.113.5")), Region::of(ip("203.0.0.1")));
        assert_ne!(Region::of(ip("203.0.113.5")), Region::of(ip("203.1.113.5")));
        assert_eq!(Region::of(ip("2001:db8:1::1")), Region::of(ip("2001:db8:ffff::1")));
        assert_ne!(Region::of(ip("2001:db8::1")), Region::of(ip("2001:db9::1")));
        assert_eq!(Region::of(ip("::ffff:203.0.113.5")), Region::of(ip("203.0.9.9")));
    }

    #[test]
    fn prefixes_are_compared_within_a_family() {
        for (one, other, bits) in [
            ("10.0.0.1", "10.0.0.1", 32),
            ("10.0.0.0", "10.0.0.1", 31),
            ("10.0.0.1", "138.0.0.1", 0),
            ("::1", "::1", 128),
            ("10.0.0.1", "::1", 0),
            ("::ffff:10.0.0.1", "10.0.0.1", 32),
        ] {
            assert_eq!(common_prefix(ip(one), ip(other)), bits, "{one} and {other}");
        }
    }

    #[test]
    fn address_tells_where_a_peer_is_unless_it_is_a_name() {
        for (address, expected) in [
            ("/ip4/10.0.0.1/tcp/4001", Some("10.0.0.1")),
            ("/ip6/2001:db8::1/udp/4001/quic-v1", Some("2001:db8::1")),
            ("/ip6/::ffff:10.0.0.1/tcp/1", Some("10.0.0.1")),
            ("/dns4/host/tcp/4001", None),
            ("/memory/5", None),
        ] {
            assert_eq!(ip_of(&address.parse().unwrap()), expected.map(ip), "{address}");
        }
    }
}
