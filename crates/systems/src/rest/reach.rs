//! Where a connection to a system goes, and whether TLS is spoken on it.

use andon_contract::contract::{Reach, is_loopback, place};
use reqwest::Url;

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Way {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// The way to the host of an address; `Err` says what is wrong and what to do.
pub(super) fn way(url: &Url, reach: &Reach, env: &dyn Fn(&str) -> Option<String>) -> Result<Way, String> {
    let tls = url.scheme() == "https";
    let Some(connect) = &reach.connect else {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        return Ok(Way { host: host.to_owned(), port: url.port_or_known_default().unwrap_or_default(), tls });
    };
    let to = connect.resolve(env);
    let Some((host, port)) = place(to.trim()) else {
        return Err(format!("`connect` is {to:?}, which is no place; it must be like 127.0.0.1:8443"));
    };
    if reach.plain_on_loopback && !is_loopback(host) {
        return Err(format!("`connect` leads to {to} without TLS; only an address of this machine may be reached so"));
    }
    Ok(Way { host: host.to_owned(), port, tls: tls && !reach.plain_on_loopback })
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::Address;

    fn of(base: &str, reach: &Reach, port: Option<&str>) -> Result<Way, String> {
        way(&Url::parse(base).unwrap(), reach, &|_| port.map(str::to_owned))
    }

    #[test]
    fn connections_go_to_the_address_or_where_the_project_says() {
        let way = |host: &str, port, tls| Ok(Way { host: host.into(), port, tls });
        assert_eq!(of("https://host/x", &Reach::default(), None), way("host", 443, true));
        assert_eq!(of("http://[::1]/x", &Reach::default(), None), way("::1", 80, false));
        let connect = Some(Address { env: Some("PLACE".into()), default: "127.0.0.1:8443".into() });
        let there = Reach { connect, ..Reach::default() };
        assert_eq!(of("https://host/x", &there, None), way("127.0.0.1", 8443, true));
        assert_eq!(of("https://host/x", &there, Some("10.0.0.1:1")), way("10.0.0.1", 1, true));
        let plain = Reach { plain_on_loopback: true, ..there };
        assert_eq!(of("https://host/x", &plain, None), way("127.0.0.1", 8443, false));
        assert!(of("https://host/x", &plain, Some("10.0.0.1:1")).unwrap_err().contains("without TLS"));
        assert!(of("https://host/x", &plain, Some("nowhere")).unwrap_err().contains("no place"));
    }
}
