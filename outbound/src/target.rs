//! What a target's text alone says about where it is.

use std::net::IpAddr;

use crate::policy::{AddressKind, is_localhost};

/// Whether a text names this machine or a private network: `localhost`, or a literal address. Takes a host, a
/// `host:port` or an address with a scheme. Never resolves a name, so that the answer is the same at every load.
///
/// ```
/// assert!(outbound::is_private_target("http://localhost:8080/health"));
/// assert!(outbound::is_private_target("[::1]:5432"));
/// assert!(outbound::is_private_target("192.168.1.7:22"));
/// assert!(!outbound::is_private_target("db.internal:5432"));
/// assert!(!outbound::is_private_target("https://10.example/"));
/// ```
pub fn is_private_target(text: &str) -> bool {
    let host = host_of(text);
    is_localhost(host) || host.parse::<IpAddr>().is_ok_and(is_private_address)
}

/// Whether an address is of this machine or of a private network (RFC 1918, RFC 4193, link-local).
pub fn is_private_address(address: IpAddr) -> bool {
    matches!(
        AddressKind::of(address),
        AddressKind::Loopback | AddressKind::Private | AddressKind::LinkLocal
    )
}

/// The host within a host, a `host:port`, or an address with a scheme; without brackets.
fn host_of(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = text.split(['/', '?', '#']).next().unwrap_or(text);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match authority.split_once(':') {
        // More than one colon without brackets: a bare IPv6 address.
        Some((_, rest)) if rest.contains(':') => authority,
        Some((host, _)) => host,
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_decided_from_the_text() {
        for near in [
            "localhost",
            "LOCALHOST:80",
            "shop.localhost",
            "127.0.0.1:1",
            "::1",
            "[::1]",
            "http://[fd00::1]:80/x",
            "10.1.2.3",
            "172.31.0.1:22",
            "https://user:word@192.168.0.1/a?b#c",
            "169.254.1.1",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_private_target(near), "{near}");
        }
    }

    #[test]
    fn the_rest_is_far() {
        for far in [
            "",
            "shop.example",
            "localhost.example",
            "127.0.0.1.example",
            "172.32.0.1",
            "8.8.8.8:443",
            "[2606:4700::1111]:443",
            "https://shop.example/127.0.0.1",
            "100.64.0.1",
            "http://shop.example#@127.0.0.1",
        ] {
            assert!(!is_private_target(far), "{far}");
        }
    }
}
