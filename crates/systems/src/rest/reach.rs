//! Where a connection to a system goes: place, name in TLS, proxy.

use super::{config, redact::Secrets};
use andon_contract::contract::{Credentials, Reach, is_loopback, place};
use andon_model::Name;
use reqwest::{Url, header::HeaderValue};

/// Where a connection goes. Two requests with the same way may share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// Host and port of the system, or of what stands in its place.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name that the certificate of the other side must hold; `None`: without TLS.
    pub(crate) tls: Option<String>,
    pub(crate) proxy: Option<Through>,
}

/// The proxy in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Through {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`; marked as sensitive.
    pub(super) credentials: Option<HeaderValue>,
}

impl Through {
    /// Its address, for people.
    pub(super) fn shown(&self) -> String {
        format!("the proxy {}", joined(&self.host, self.port))
    }
}

/// Host and port as one text.
pub(super) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The way to the host of an address, which is that of the system's base when `own`; `Err` says what is wrong and what
/// to do. What must not be shown of it is added to `secrets`.
pub(super) async fn way(
    system: &Name,
    (url, own): (&Url, bool),
    reach: &Reach,
    env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    secrets: &Secrets,
) -> Result<Way, String> {
    let (host, port) = of(url);
    let tls = (url.scheme() == "https").then(|| host.clone());
    if let Some(connect) = reach.connect.as_ref().filter(|_| own) {
        let to = connect.resolve(env);
        let Some((host, port)) = place(to.trim()) else {
            return Err(format!("`connect` of {system} is {to:?}, which is no place; it must be like 127.0.0.1:8443"));
        };
        if reach.plain_on_loopback && !is_loopback(host) {
            let only = "only an address of this machine may be reached so";
            return Err(format!("`connect` of {system} leads to {to} without TLS; {only}"));
        }
        return Ok(Way { host: host.to_owned(), port, tls: tls.filter(|_| !reach.plain_on_loopback), proxy: None });
    }
    let proxy = match &reach.proxy {
        None => None,
        Some(proxy) => {
            let text = proxy.address.resolve(env);
            let address = config::base(&text).ok().filter(|url| url.scheme() == "http");
            let Some(address) = address else {
                return Err(format!("the proxy of {system} is no address like http://host:3128; correct it"));
            };
            let credentials = match &proxy.credentials {
                None => None,
                Some(pair) => {
                    let found = config::credentials(system, &Credentials::Basic(pair.clone()), env).await;
                    let found = found.map_err(|cause| format!("for its proxy: {cause}"))?;
                    secrets.add_all(&found.secrets);
                    found.header.map(|(_, value)| value)
                }
            };
            let (host, port) = of(&address);
            Some(Through { host, port, credentials })
        }
    };
    Ok(Way { host, port, tls, proxy })
}

/// Host and port of an address.
pub(crate) fn of(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), url.port_or_known_default().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use andon_contract::contract::{Address, Proxy, Secret, UserPassword};

    async fn to(base: &str, reach: &Reach, value: Option<&'static str>) -> Result<Way, String> {
        let (env, secrets) = (|_: &str| value.map(str::to_owned), Secrets::default());
        let way = way(&"eam".parse().unwrap(), (&Url::parse(base).unwrap(), true), reach, &env, &secrets).await;
        assert!(
            !secrets.hide("it says s3cret").contains("s3cret") || !way.as_ref().is_ok_and(|way| way.proxy.is_some())
        );
        way
    }

    #[tokio::test]
    async fn connections_go_to_the_address_or_where_the_project_says() {
        let way = |host: &str, port, tls: Option<&str>| {
            Ok(Way { host: host.into(), port, tls: tls.map(str::to_owned), proxy: None })
        };
        assert_eq!(to("https://host/x", &Reach::default(), None).await, way("host", 443, Some("host")));
        assert_eq!(to("http://[::1]/x", &Reach::default(), None).await, way("::1", 80, None));
        let connect = Some(Address { env: Some("PLACE".into()), default: "127.0.0.1:8443".into() });
        let there = Reach { connect, ..Reach::default() };
        assert_eq!(to("https://host/x", &there, None).await, way("127.0.0.1", 8443, Some("host")));
        assert_eq!(to("https://host/x", &there, Some("10.0.0.1:1")).await, way("10.0.0.1", 1, Some("host")));
        let plain = Reach { plain_on_loopback: true, ..there };
        assert_eq!(to("https://host/x", &plain, None).await, way("127.0.0.1", 8443, None));
        assert!(to("https://host/x", &plain, Some("10.0.0.1:1")).await.unwrap_err().contains("without TLS"));
        assert!(to("https://host/x", &plain, Some("nowhere")).await.unwrap_err().contains("no place"));
    }

    #[tokio::test]
    async fn a_proxy_is_told_who_we_are_and_nobody_else() {
        let pair = UserPassword { user: "u".into(), password: Secret::Env("P".into()) };
        let address = Address { env: None, default: "http://proxy:3128".into() };
        let reach = Reach { proxy: Some(Proxy { address, credentials: Some(pair) }), ..Reach::default() };
        let way = to("https://host/x", &reach, Some("s3cret")).await.unwrap();
        assert_eq!((way.host.as_str(), way.port), ("host", 443));
        let proxy = way.proxy.clone().unwrap();
        assert_eq!((proxy.shown().as_str(), proxy.port), ("the proxy proxy:3128", 3128));
        assert_eq!(proxy.credentials.as_ref().unwrap(), "Basic dTpzM2NyZXQ=");
        assert!(!format!("{way:?}").contains("dTpz"));
        assert!(to("https://host/x", &reach, None).await.unwrap_err().contains("for its proxy"));
    }
}
