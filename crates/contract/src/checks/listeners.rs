//! Listeners: addresses, limits, clients that can be told apart, and nobody from the network who is not asked.

use super::{
    Known,
    assets::Assets,
    connect::{is_variable, secret},
};
use crate::{
    codes,
    contract::{Address, Client, Listener, Secret, ServerTls, SourceKind, TlsIdentity},
    files::listeners::{ClientFile, ListenerFile, ServerTlsFile},
    load::Project,
    problem::{Finding, Spot},
    read::At,
};
use andon_model::{Name, SiteName, span::Span};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// Connections at once unless told, and at most.
const CONNECTIONS: (u64, u64) = (1_000, 10_000);
/// Publishes under way unless told, and at most.
const RECEIVE_MAX: (u64, u64) = (1_000, u16::MAX as u64);
/// The longest keep-alive unless told.
const KEEP_ALIVE: Span = Span::from_secs(300);
/// The longest user name, in bytes.
const USER_MAX: usize = 256;

/// The listener of a file; `seen` holds the addresses of the instance.
pub(crate) fn listener(
    project: &Project,
    file: &ListenerFile,
    assets: &Assets,
    seen: &mut BTreeMap<String, Spot>,
) -> Option<Listener> {
    let address = address(project, &file.address, seen);
    let tls = file.tls.as_ref().map(|tls| server_tls(project, tls));
    let mut clients = BTreeMap::new();
    let mut certificates: BTreeSet<&str> = BTreeSet::new();
    for (name, of) in &file.clients.good {
        if let Some(client) = client(project, name, of, file.tls.as_ref(), assets) {
            clients.insert(name.value.clone(), client);
        }
        let by_certificate = of.certificate.as_ref().filter(|_| of.password.is_none());
        if let Some(name) = by_certificate.filter(|name| !certificates.insert(name.as_str())) {
            let finding =
                Finding::error(codes::CLIENT, name.spot, format!("two clients show the certificate `{}`", name.value));
            project.push(finding.help("give each its own certificate, or a password"));
        }
    }
    let connections = limit(project, file.connections.as_ref(), "connections", CONNECTIONS);
    let receive_max = limit(project, file.receive_max.as_ref(), "publishes under way", RECEIVE_MAX);
    let keep_alive = file.keep_alive.as_ref().map_or(KEEP_ALIVE, |span| span.value.0);
    if let Some(span) = &file.keep_alive
        && !(Span::from_secs(1)..=Span::from_secs(65_535)).contains(&keep_alive)
    {
        let message = format!("no client can be held to a keep-alive of {keep_alive}");
        let finding = Finding::error(codes::LISTENER_LIMIT, span.spot, message);
        project.push(finding.expected("1 s to 65535 s").help("correct the duration"));
    }
    let address = address?;
    open(project, file, &address);
    Some(Listener {
        address,
        tls: match tls {
            None => None,
            Some(tls) => Some(tls?),
        },
        clients,
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        receive_max: u16::try_from(receive_max).unwrap_or(u16::MAX),
        keep_alive,
    })
}

/// Who can reach a listener, and whether he is asked who he is.
fn open(project: &Project, file: &ListenerFile, address: &Address) {
    let Ok(socket) = parse(&address.default) else { return };
    if socket.ip().is_loopback() {
        return;
    }
    if file.clients.good.is_empty() && file.clients.spoilt.is_empty() {
        let message = format!("anybody who reaches {socket} could publish for every machine");
        let finding = Finding::error(codes::LISTENER_OPEN, file.address.spot, message);
        project.push(
            finding
                .expected("`clients: { line-1: { password: env:LINE_1 } }`, or an address of 127.0.0.1")
                .help("name the clients that may come in, or listen on the machine itself only"),
        );
    }
    let with_password = file.clients.good.iter().find_map(|(name, client)| client.password.as_ref().map(|_| name));
    if let Some(name) = with_password.filter(|_| file.tls.is_none()) {
        let message = format!("the password of `{}` crosses the network in the clear", name.value);
        let finding = Finding::warning(codes::LISTENER_PASSWORD, name.spot, message);
        project.push(finding.help("give the listener `tls: { certificate: PATH, key: file:PATH }`"));
    }
}

fn parse(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse(),
        None => text.parse(),
    }
}

fn address(project: &Project, text: &At<String>, seen: &mut BTreeMap<String, Spot>) -> Option<Address> {
    let refuse = |message: String, help: &str| {
        let finding = Finding::error(codes::LISTENER_ADDRESS, text.spot, message);
        project.push(finding.expected("`127.0.0.1:1883` or `env:NAME else 127.0.0.1:1883`").help(help));
    };
    let (env, address) = match text.strip_prefix("env:") {
        None => (None, text.trim()),
        Some(rest) => match rest.split_once(" else ") {
            Some((name, address)) if is_variable(name.trim()) => (Some(name.trim().to_owned()), address.trim()),
            Some((name, _)) => {
                refuse(format!("`{name}` cannot be an environment variable"), "use letters, digits and `_`");
                return None;
            }
            None => {
                refuse("the address has no value for when the variable is not set".into(), "add ` else ADDRESS`");
                return None;
            }
        },
    };
    let address = address.strip_prefix("mqtt://").or_else(|| address.strip_prefix("mqtts://")).unwrap_or(address);
    let Ok(socket) = parse(address) else {
        let help = "write the IP address of an interface and a port; 0.0.0.0 stands for all interfaces";
        refuse(format!("`{address}` is no address to listen on"), help);
        return None;
    };
    if socket.port() != 0
        && let Some(other) = seen.insert(socket.to_string(), text.spot)
    {
        let line = project.findings.line_of(other);
        refuse(format!("{line} listens on the same address"), "give one of them another port");
    }
    Some(Address { env, default: socket.to_string() })
}

fn limit(project: &Project, told: Option<&At<u64>>, what: &str, (unless_told, most): (u64, u64)) -> u64 {
    let Some(told) = told else { return unless_told };
    if !(1..=most).contains(&told.value) {
        let message = format!("a listener cannot have {} {what}", told.value);
        let finding = Finding::error(codes::LISTENER_LIMIT, told.spot, message);
        project.push(finding.expected(format!("1 to {most}")).help("correct the number"));
    }
    told.value
}

fn server_tls(project: &Project, file: &ServerTlsFile) -> Option<ServerTls> {
    Some(ServerTls {
        identity: TlsIdentity { certificate: file.certificate.value.clone(), key: secret(project, &file.key)? },
        client_authority: file.client_authority.as_ref().map(|path| path.value.clone()),
    })
}

fn client(
    project: &Project,
    name: &At<String>,
    file: &ClientFile,
    tls: Option<&ServerTlsFile>,
    assets: &Assets,
) -> Option<Client> {
    let refuse =
        |spot, message: String, help: &str| project.push(Finding::error(codes::CLIENT, spot, message).help(help));
    if name.is_empty() || name.len() > USER_MAX {
        refuse(name.spot, "a client has a user name of 1 to 256 bytes".into(), "write its user name");
    }
    if file.password.is_none() && file.certificate.is_none() {
        let message = format!("nothing shows that somebody is `{}`", name.value);
        refuse(name.spot, message, "add `password: env:NAME`, or `certificate: COMMON NAME`");
    }
    if let Some(certificate) = &file.certificate
        && tls.is_none_or(|tls| tls.client_authority.is_none())
    {
        let message = "the listener asks nobody for a certificate".into();
        refuse(certificate.spot, message, "add `tls: { client-authority: PATH }` to the listener");
    }
    let password: Option<Option<Secret>> = file.password.as_ref().map(|text| secret(project, text));
    let sites = file.sites.as_ref().map(|sites| {
        let known = |site: &&At<String>| {
            !assets.whole || assets.known_sites.expect(project, codes::UNKNOWN_SITE, site.spot, "site", site)
        };
        sites.iter().filter(known).filter_map(|site| SiteName::new(&site.value).ok()).collect()
    });
    let password = match password {
        None => None,
        Some(password) => Some(password?),
    };
    Some(Client {
        password,
        certificate: file.certificate.as_ref().map(|name| name.value.clone()),
        sites,
        publish: file.publish.iter().filter(|text| is_filter(project, text)).map(|text| text.value.clone()).collect(),
        subscribe: file
            .subscribe
            .iter()
            .filter(|text| is_filter(project, text))
            .map(|text| text.value.clone())
            .collect(),
    })
}

/// Whether a text is a topic filter; tells where it is not.
fn is_filter(project: &Project, text: &At<String>) -> bool {
    let last = text.split('/').count().saturating_sub(1);
    let levels_fit = text.split('/').enumerate().all(|(at, level)| match level {
        "#" => at == last,
        "+" => true,
        level => !level.contains(['#', '+', '{', '}', '\0']),
    });
    if !text.is_empty() && levels_fit {
        return true;
    }
    let finding =
        Finding::error(codes::CLIENT_FILTER, text.spot, format!("`{}` is no topic filter of MQTT", text.value));
    project.push(
        finding.expected("a filter like `plant/+/temperature` or `plant/#`").help("write `+` for one level, `#` last"),
    );
    false
}

/// The listeners that are declared, also those in which something is wrong.
pub(crate) fn declared(project: &Project) -> Known {
    let file = project.andon.as_ref().and_then(|doc| doc.body.as_ref());
    let instances = file.into_iter().flat_map(|file| &file.instances.good);
    let names = instances.flat_map(|(_, instance)| {
        let good = instance.listeners.good.iter().map(|(name, _)| name.value.to_string());
        good.chain(instance.listeners.spoilt.iter().map(ToString::to_string))
    });
    Known(names.collect())
}

/// The listeners that sources name exist, and each is named by one.
pub(crate) fn check(project: &Project, sources: &BTreeMap<Name, crate::contract::Source>) {
    let known = declared(project);
    for doc in &project.sources {
        let Some(raw) = doc.body else { continue };
        let Some(file) = listener_named(project, raw.spot) else { continue };
        if !known.has(&file.1) {
            let message = format!("no instance has a listener `{}`", file.1);
            let finding = known.lacking(codes::UNKNOWN_LISTENER, file.0, &file.1, message);
            let help = "correct the name, or add it to the instance in `andon.yaml`: `listeners: { ... }`";
            project.push(finding.help(help));
        }
    }
    let named: BTreeSet<&str> = sources
        .values()
        .filter_map(|source| match &source.kind {
            SourceKind::Listener(of) => Some(of.listener.as_str()),
            _ => None,
        })
        .collect();
    let Some(file) = project.andon.as_ref().and_then(|doc| doc.body.as_ref()) else { return };
    let all_read = sources.len() == project.sources.len();
    for (name, _) in file.instances.good.iter().flat_map(|(_, instance)| &instance.listeners.good) {
        if all_read && !named.contains(name.value.as_str()) {
            let message =
                format!("no source takes what is published to the listener `{}`: all of it is refused", name.value.0);
            let finding = Finding::warning(codes::IDLE_LISTENER, name.spot, message);
            project.push(finding.help(format!("add a source: `kind: mqtt`, `listener: {}`, `topics`", name.value.0)));
        }
    }
}

/// The listener that the file of a source names, and where.
fn listener_named(project: &Project, spot: Spot) -> Option<(Spot, String)> {
    let tree = project.findings.tree(spot.file)?;
    let node = tree.get(spot.node, "listener")?;
    Some((Spot { node, ..spot }, tree.text(node)?.to_owned()))
}

/// The file of a source that names a listener.
pub(crate) fn is_of_listener(project: &Project, spot: Spot) -> bool {
    project.findings.tree(spot.file).is_some_and(|tree| tree.get(spot.node, "listener").is_some())
}
