//! Which hosts may be reached, and how.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Which hosts may be reached, and how. A *named* host is written as in references, as `HOST` or `HOST:PORT`; without a
/// port it stands for the port of its scheme.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The hosts that are asked without TLS. Any other is asked with TLS only.
    pub plain: BTreeSet<String>,
    /// The hosts that may have an address inside: loopback, link-local, private, or of the cluster.
    pub inside: BTreeSet<String>,
    /// Networks that count as inside although their addresses are public ones, such as those of pods in some clusters.
    pub networks: Vec<IpNet>,
}

/// Why a host is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It would be asked without TLS.
    #[error("it is not named as one that may be asked without TLS")]
    Plain,
    /// Its address is inside.
    #[error(
        "its address is a loopback, link-local, private or cluster address, and it is not named as one that may have it"
    )]
    Inside,
    /// It is no URL of a registry.
    #[error("it is no http or https URL with a host alone")]
    Url,
}

impl Reach {
    /// Whether `host` and `port` are asked without TLS.
    pub(crate) fn is_plain(&self, host: &str, port: Option<u16>) -> bool {
        names(&self.plain, host, port, 80)
    }

    /// Whether `host` may have this address.
    pub(crate) fn permits(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let is_inside = is_inside(address) || self.networks.iter().any(|net| net.contains(&plain(address)));
        let default = if self.is_plain(host, Some(port)) { 80 } else { 443 };
        !is_inside || names(&self.inside, host, Some(port), default)
    }
}

fn names(hosts: &BTreeSet<String>, host: &str, port: Option<u16>, default: u16) -> bool {
    let host = host.to_ascii_lowercase();
    let with_port = |port: u16| hosts.contains(&format!("{host}:{port}"));
    with_port(port.unwrap_or(default)) || (port.is_none_or(|port| port == default) && hosts.contains(&host))
}

/// The IPv4 address that an IPv6 address stands for, or the address itself.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(address),
        },
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address in a mapped or compatible address, or in one of NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Whether an address is not one of the public internet, by the registries of IANA for special addresses (RFC 6890).
fn is_inside(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_multicast()
                || first == 0
                || first >= 240
                || (first == 100 && (64..128).contains(&second))
                || (first == 192 && second == 0 && third == 0)
                || (first == 198 && (second == 18 || second == 19))
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                // Site-local addresses, deprecated by RFC 3879, and the prefix for local NAT64 (RFC 8215).
                || address.segments()[0] & 0xffc0 == 0xfec0
                || (address.segments()[0] == 0x64 && address.segments()[1] == 0xff9b && address.segments()[2] == 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn addresses_inside_are_for_named_hosts_alone_in_every_notation() {
        let reach = Reach { networks: vec!["11.0.0.0/8".parse().unwrap()], ..Reach::default() };
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.96.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "11.1.1.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "::127.0.0.1",
            "fec0::1",
            "64:ff9b:1::1",
            "::ffff:11.1.1.1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(!reach.permits("a.example", 443, address), "{address}");
            let named = Reach { inside: names(&["a.example"]), ..reach.clone() };
            assert!(named.permits("A.example", 443, address), "{address}");
            assert!(!named.permits("a.example", 5000, address) && !named.permits("b.example", 443, address));
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:1.1.1.1"] {
            assert!(reach.permits("a.example", 443, address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_name_without_a_port_is_for_the_port_of_the_scheme() {
        let reach = Reach { plain: names(&["a.example", "b.example:5000"]), ..Reach::default() };
        assert!(reach.is_plain("a.example", None) && reach.is_plain("a.example", Some(80)));
        assert!(!reach.is_plain("a.example", Some(5000)) && !reach.is_plain("a.example", Some(443)));
        assert!(reach.is_plain("b.example", Some(5000)) && !reach.is_plain("b.example", None));
    }
}
