//! Which addresses may be reached. Targets are written by the operator, so whatever the configuration names literally
//! is allowed; what a name server or a redirect says is not trusted as far.
//!
//! The policy is asked at three places, as each alone can be evaded: at the literal host, at every answer of the
//! resolver (only vetted addresses are connected to, so that a second answer cannot differ), and at every redirect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for, by the IANA special-purpose registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Anywhere in the world.
    Public,
    /// This machine.
    Loopback,
    /// RFC 1918 and RFC 4193.
    Private,
    /// Carrier-grade NAT, RFC 6598; also used by overlay networks.
    Shared,
    /// RFC 3927 and `fe80::/10`.
    LinkLocal,
    /// Where clouds hand out a machine's credentials.
    Metadata,
    /// Unspecified, multicast, broadcast and reserved: never a target.
    Unusable,
}

/// Most clouds; Alibaba; the wire server of Azure.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// Amazon's over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

impl AddressKind {
    /// The kind of an address; of one that embeds an IPv4 address (mapped, NAT64, 6to4) the kind of that.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => embedded(address).map_or_else(|| of_v6(address), of_v4),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> AddressKind {
    let [first, second, ..] = address.octets();
    if METADATA_V4.contains(&address) {
        AddressKind::Metadata
    } else if address.is_loopback() {
        AddressKind::Loopback
    } else if address.is_private() {
        AddressKind::Private
    } else if address.is_link_local() {
        AddressKind::LinkLocal
    } else if first == 100 && (64..128).contains(&second) {
        AddressKind::Shared
    } else if first == 0 || first >= 224 {
        AddressKind::Unusable
    } else {
        AddressKind::Public
    }
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    if address == METADATA_V6 {
        AddressKind::Metadata
    } else if address.is_loopback() {
        AddressKind::Loopback
    } else if address.is_unique_local() {
        AddressKind::Private
    } else if address.is_unicast_link_local() {
        AddressKind::LinkLocal
    } else if address.is_unspecified() || address.is_multicast() {
        AddressKind::Unusable
    } else {
        AddressKind::Public
    }
}

/// The IPv4 address within `::ffff:0:0/96`, `64:ff9b::/96` (RFC 6052), `64:ff9b:1::/48` (RFC 8215) and `2002::/16`
/// (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Why an address is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to {address}, which may not be reached: {why}")]
pub struct Forbidden {
    /// The host as named.
    pub host: String,
    /// Where it leads.
    pub address: IpAddr,
    /// Why not.
    pub why: &'static str,
}

/// Who named a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The operator, in the configuration: what is literally there is allowed; a name may lead to private networks, but
    /// not to link-local or metadata addresses, as an operator would write such an address, not hide it behind a name.
    Configured,
    /// Somebody else: a redirect to another host, a caller of the API. Public addresses only.
    Foreign,
}

impl Policy {
    /// The policy for the next hop of a redirect: the operator's host stays the operator's, any other is foreign.
    pub fn after_redirect(self, from_host: &str, to_host: &str) -> Self {
        if from_host.eq_ignore_ascii_case(to_host) {
            self
        } else {
            Self::Foreign
        }
    }

    /// Judges one address that a host leads to, the host itself when it is a literal address (without brackets).
    pub fn judge(self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let literal = host.parse() == Ok(address);
        match self.objection(literal, is_localhost(host), AddressKind::of(address)) {
            None => Ok(()),
            Some(why) => Err(Forbidden {
                host: host.to_owned(),
                address,
                why,
            }),
        }
    }

    fn objection(self, literal: bool, localhost: bool, kind: AddressKind) -> Option<&'static str> {
        match (self, kind) {
            (_, AddressKind::Unusable) => Some("it is no address of a machine"),
            (Self::Configured, AddressKind::Loopback) => None,
            (Self::Configured, _) if literal => None,
            (Self::Configured, _) if localhost => Some("localhost is this machine only"),
            (Self::Configured, AddressKind::LinkLocal | AddressKind::Metadata) => {
                Some("a name may not lead to a link-local or metadata address; write the address itself if it is meant")
            }
            (Self::Foreign, kind) if kind != AddressKind::Public => {
                Some("only public addresses are followed to where the configuration did not point")
            }
            _ => None,
        }
    }
}

/// `localhost` and names below it (RFC 6761).
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(policy: Policy, host: &str, address: &str) -> bool {
        policy.judge(host, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn embedded_addresses_are_seen_through() {
        for text in [
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "169.254.169.254",
        ] {
            assert_eq!(AddressKind::of(text.parse().unwrap()), AddressKind::Metadata, "{text}");
        }
        assert_eq!(AddressKind::of("2606:4700::1111".parse().unwrap()), AddressKind::Public);
        assert_eq!(AddressKind::of("100.64.0.1".parse().unwrap()), AddressKind::Shared);
        assert_eq!(AddressKind::of("0.0.0.0".parse().unwrap()), AddressKind::Unusable);
    }

    #[test]
    fn what_the_operator_wrote_is_allowed() {
        for literal in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "8.8.8.8"] {
            assert!(judge(Policy::Configured, literal, literal), "{literal}");
        }
        assert!(judge(Policy::Configured, "db.internal", "10.0.0.1"));
        assert!(judge(Policy::Configured, "shop.test", "127.0.0.1"));
        assert!(judge(Policy::Configured, "localhost", "::1"));
    }

    #[test]
    fn a_name_does_not_lead_to_credentials() {
        for address in [
            "169.254.169.254",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
        ] {
            assert!(!judge(Policy::Configured, "hooks.example", address), "{address}");
        }
        assert!(!judge(Policy::Configured, "localhost", "93.184.216.34"));
    }

    #[test]
    fn a_redirect_leads_to_public_addresses_only() {
        let policy = Policy::Configured.after_redirect("shop.example", "other.example");
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "fd00::1"] {
            assert!(!judge(policy, "other.example", address), "{address}");
            assert!(!judge(policy, address, address), "literal {address}");
        }
        assert!(judge(policy, "other.example", "93.184.216.34"));
        let same = Policy::Configured.after_redirect("Shop.example", "shop.example");
        assert_eq!(same, Policy::Configured);
    }
}
