//! How the host of a system is reached.

use super::Address;
use std::net::IpAddr;

/// How the host of a system is reached; by default as its address says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Connections go to this place, `HOST:PORT`; the name in requests and in TLS stays that of the address.
    pub connect: Option<Address>,
    /// No TLS on the way to `connect`, which must be an address of this machine.
    pub plain_on_loopback: bool,
}

/// Host and port of a place `HOST:PORT`, a number of IPv6 in brackets; `None` where it is none.
pub fn place(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.split_once(':')?,
    };
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host.then_some((host, port))
}

/// Whether a host is this machine itself, whatever a resolver says.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_a_host_and_a_port() {
        assert_eq!(place("127.0.0.1:8741"), Some(("127.0.0.1", 8741)));
        assert_eq!(place("[::1]:80"), Some(("::1", 80)));
        assert_eq!(place("plant-7.example:443"), Some(("plant-7.example", 443)));
        for wrong in ["", "host", ":80", "host:", "host:0", "host:70000", "[::1]80", "http://host:80", "a/b:80"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
        assert!(is_loopback("localhost") && is_loopback("127.8.8.8") && is_loopback("::1"));
        assert!(!is_loopback("localhost.example") && !is_loopback("10.0.0.1"));
    }
}
