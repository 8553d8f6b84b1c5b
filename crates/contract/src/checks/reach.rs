//! How a system is reached: places that exist, keys of TLS that go together, a proxy, tokens, and TLS that is left out
//! within this machine only.

use super::{
    connect::{Form, HTTP, address, is_variable, secret, user_password},
    tls,
};
use crate::{
    codes,
    contract::{Address, ClientTls, Grant, OAuth2, Proxy, Rate, Reach, TokenPlace, UserPassword, is_loopback, place},
    files::{
        policy::LimitsFile,
        reach::{ClientAuthenticationWord, GrantWord, OAuth2File, ProxyFile, SystemTlsFile},
        systems::SystemFile,
    },
    load::Project,
    problem::{Finding, Spot},
    read::{At, Raw, read},
};

/// Requests at once after a pause, at most.
const BURST_MAX: u32 = 10_000;

/// The address of a proxy.
const PROXY: Form = Form {
    schemes: &["http"],
    not_built: &[("https", PLAIN), ("socks5", PLAIN)],
    path: false,
    example: "http://host:3128",
};
const PLAIN: &str = "name the proxy by http://; what goes through it to an https:// address is encrypted all the same";

/// How the host of a system is reached; `None` where it cannot be.
pub(crate) fn reach(project: &Project, file: &SystemFile) -> Option<Reach> {
    let connect = match &file.connect {
        None => None,
        Some(text) => Some(connect(project, text)?),
    };
    let loopback = file.tls.as_ref().and_then(|tls| tls.loopback.as_ref());
    if let Some(word) = loopback {
        let inside = connect.as_ref().is_some_and(|to| place(&to.default).is_some_and(|(host, _)| is_loopback(host)));
        if !inside {
            let message = "without TLS everybody on the way could read and change what is sent";
            let finding = Finding::error(codes::CONNECT, word.spot, message)
                .expected("`connect: 127.0.0.1:PORT`, an address of this machine")
                .help("leave `loopback` out, or connect to a program on this machine");
            project.push(finding);
            return None;
        }
    }
    let proxy = match file.proxy {
        None => None,
        Some(raw) => Some(proxy(project, raw, connect.is_some())?),
    };
    let tls = match &file.tls {
        None => ClientTls::default(),
        Some(tls) => self::tls(project, file, tls)?,
    };
    Some(Reach { connect, plain_on_loopback: loopback.is_some(), tls, proxy })
}

fn tls(project: &Project, file: &SystemFile, tls: &SystemTlsFile) -> Option<ClientTls> {
    let mut named = [&tls.authority, &tls.certificate, &tls.key].into_iter().flatten();
    if let Some(first) = named.next()
        && !secure(&file.base)
    {
        let finding = Finding::error(codes::TLS, first.spot, "the address of the system is without TLS");
        let finding = finding.expected("`https://host/path` as `base`");
        project.push(finding.help("write `https://` and the port of the system's TLS, or leave these keys out"));
        return None;
    }
    tls::files(project, tls.authority.as_ref(), tls.certificate.as_ref(), tls.key.as_ref())
}

/// Whether an address, or its default, is one with TLS.
fn secure(text: &str) -> bool {
    text.rsplit(" else ").next().is_some_and(|url| url.trim().starts_with("https://"))
}

/// A place, or `env:NAME else PLACE`.
fn connect(project: &Project, text: &At<String>) -> Option<Address> {
    let refuse = |message: String, help: &str| {
        let finding = Finding::error(codes::CONNECT, text.spot, message);
        project.push(finding.expected("`HOST:PORT` or `env:NAME else HOST:PORT`").help(help));
    };
    let (env, to) = match text.strip_prefix("env:").map(|rest| rest.split_once(" else ")) {
        None => (None, text.trim()),
        Some(Some((name, to))) if is_variable(name.trim()) => (Some(name.trim().to_owned()), to.trim()),
        Some(_) => {
            refuse("this names no variable and its default".into(), "write `env:NAME else HOST:PORT`");
            return None;
        }
    };
    if place(to).is_none() {
        refuse(format!("`{to}` is no place to connect to"), "write host and port, such as 127.0.0.1:8443");
        return None;
    }
    Some(Address { env, default: to.to_owned() })
}

fn proxy(project: &Project, raw: Raw, connects: bool) -> Option<Proxy> {
    let tree = project.findings.tree(raw.spot.file)?;
    let file = if tree.scalar(raw.spot.node).is_some() {
        ProxyFile { address: read(&project.findings, raw.spot)?, credentials: None }
    } else {
        read(&project.findings, raw.spot)?
    };
    if connects {
        let message = "connections go to the place of `connect` or through a proxy, not both";
        let finding = Finding::error(codes::PROXY, raw.spot, message);
        project.push(finding.help("leave out `connect`, or the proxy"));
        return None;
    }
    let credentials = match &file.credentials {
        None => None,
        Some(pair) => Some(user_password(project, pair)?),
    };
    Some(Proxy { address: address(project, &file.address, &PROXY)?, credentials })
}

/// The pace that a system can bear.
pub(crate) fn rate(project: &Project, file: Option<&LimitsFile>) -> Option<Rate> {
    let file = file?;
    let burst = file.burst.as_ref();
    let refuse = |spot: Spot, message: String, expected: &str, help: &str| {
        project.push(Finding::error(codes::CONCURRENT, spot, message).expected(expected).help(help));
    };
    if let Some(number) = burst.filter(|number| !(1..=BURST_MAX).contains(&number.value)) {
        refuse(number.spot, format!("{} requests at once", number.value), "1 to 10000", "correct the number");
    }
    let Some(rate) = &file.rate else {
        if let Some(number) = burst {
            let message = "a `burst` without a `rate` limits nothing".into();
            refuse(number.spot, message, "`rate: 10 / s` beside it", "add the rate, or leave `burst` out");
        }
        return None;
    };
    Some(Rate { number: rate.number, per: rate.per, burst: burst.map_or(1, |number| number.value.max(1)) })
}

/// A token of OAuth 2.0.
pub(crate) fn oauth2(project: &Project, file: &OAuth2File) -> Option<OAuth2> {
    let refuse = |spot: Spot, message: &str, help: &str| {
        project.push(Finding::error(codes::OAUTH2, spot, message).help(help));
        None
    };
    let token = if file.token.starts_with('/') {
        if file.token.contains(['?', '#', ' ']) {
            return refuse(file.token.spot, "this is no path of a token", "write a path such as /oauth2/token");
        }
        TokenPlace::Path(file.token.value.clone())
    } else {
        TokenPlace::Address(address(project, &file.token, &HTTP)?)
    };
    let secret = match &file.client.secret {
        None => None,
        Some(text) => Some(secret(project, text)?),
    };
    if file.client.id.trim().is_empty() {
        return refuse(file.client.id.spot, "a client without a name gets no token", "write the name of the client");
    }
    let grant = match (file.grant.value, &file.username, &file.password) {
        (GrantWord::ClientCredentials, None, None) => {
            if secret.is_none() {
                let help = "add `secret: env:NAME` to the client";
                return refuse(file.grant.spot, "a client that proves nothing gets no token", help);
            }
            Grant::ClientCredentials
        }
        (GrantWord::ClientCredentials, Some(spare), _) | (GrantWord::ClientCredentials, _, Some(spare)) => {
            let help = "write `grant: password`, or leave `username` and `password` out";
            return refuse(spare.spot, "this grant is for the client itself, and takes no user", help);
        }
        (GrantWord::Password, Some(user), Some(password)) => Grant::Password(UserPassword {
            user: user.value.clone(),
            password: super::connect::secret(project, password)?,
        }),
        (GrantWord::Password, _, _) => {
            let help = "add `username` and `password: env:NAME`";
            return refuse(file.grant.spot, "this grant is for a user, and takes name and password", help);
        }
    };
    let in_form = file.client_authentication.as_ref().is_some_and(|word| word.value == ClientAuthenticationWord::Post);
    let mut scopes = Vec::new();
    for scope in file.scopes.iter() {
        if scope.is_empty() || scope.bytes().any(|b| !(0x21..=0x7e).contains(&b) || b == b'"' || b == b'\\') {
            return refuse(scope.spot, "this is no scope", "write each scope as an entry of its own");
        }
        scopes.push(scope.value.clone());
    }
    let audience = file.audience.as_ref().map(|text| text.value.clone());
    Some(OAuth2 { token, grant, client: file.client.id.value.clone(), secret, in_form, scopes, audience })
}
