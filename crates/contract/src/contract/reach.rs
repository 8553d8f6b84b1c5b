//! How the host of a system is reached: place, TLS, proxy, and the pace it can bear.

use super::{Address, ClientTls, Secret, UserPassword};
use andon_model::span::Span;
use std::net::IpAddr;

/// How the host of a system is reached; by default as its address says.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Connections go to this place, `HOST:PORT`; the name in requests and in TLS stays that of the address.
    pub connect: Option<Address>,
    /// No TLS on the way to `connect`, which must be an address of this machine.
    pub plain_on_loopback: bool,
    /// How TLS is spoken.
    pub tls: ClientTls,
    /// Connections go through this proxy.
    pub proxy: Option<Proxy>,
}

/// A proxy of HTTP: asked by CONNECT for `https`, by whole addresses for `http`.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `http://host:port`.
    pub address: Address,
    /// What it wants to know of us, as `Basic`.
    pub credentials: Option<UserPassword>,
}

/// How many requests a system can bear in a time: calls, searches and reads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many requests, at least 1.
    pub number: u32,
    /// In this time, longer than 0.
    pub per: Span,
    /// So many at once after a pause; default 1, which spaces them evenly.
    pub burst: u32,
}

/// A token of OAuth 2.0 (RFC 6749) instead of a secret that goes with each request.
#[derive(Debug, Clone)]
pub struct OAuth2 {
    /// Where it is got.
    pub token: TokenPlace,
    /// For what.
    pub grant: Grant,
    /// The name of the client.
    pub client: String,
    /// Its secret; a public client has none.
    pub secret: Option<Secret>,
    /// Name and secret stand in the form and not in a header (RFC 6749, section 2.3.1).
    pub in_form: bool,
    /// What the token shall be good for.
    pub scopes: Vec<String>,
    /// Whom the token is for, where the server asks for it.
    pub audience: Option<String>,
}

/// Where a token is got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// At the system's own host: a path below its base.
    Path(String),
    /// At this address.
    Address(Address),
}

/// What a token is got for.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The client itself (RFC 6749, section 4.4).
    ClientCredentials,
    /// A user's name and password (RFC 6749, section 4.3).
    Password(UserPassword),
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
