//! Addresses, secrets and brokers: what connects to somebody else, wherever it stands.

use super::tls;
use crate::{
    codes,
    contract::{Address, Broker, MqttVersion, Secret, UserPassword},
    files::{
        sources::{UserPasswordFile, VersionWord},
        tls::ClientTlsFile,
        words::Duration,
    },
    load::Project,
    problem::Finding,
    read::At,
};
use andon_model::span::Span;

/// How long a connection may be silent unless told.
const KEEP_ALIVE: Span = Span::from_secs(30);

/// A secret by reference; a literal is refused.
pub(crate) fn secret(project: &Project, text: &At<String>) -> Option<Secret> {
    if let Some(name) = text.strip_prefix("env:") {
        if is_variable(name) {
            return Some(Secret::Env(name.to_owned()));
        }
        let finding = Finding::error(codes::SECRET, text.spot, "this cannot be an environment variable");
        project.push(finding.expected("`env:NAME` of letters, digits and `_`").help("correct the name"));
        return None;
    }
    if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Some(Secret::File(path.to_owned()));
    }
    let finding = Finding::error(codes::SECRET, text.spot, "a secret must not stand in the project");
    project.push(
        finding
            .expected("`env:NAME` or `file:PATH`")
            .help("put the secret into an environment variable or a file, and change it: it has been written down")
            .secret(),
    );
    None
}

pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// User and password.
pub(crate) fn user_password(project: &Project, file: &UserPasswordFile) -> Option<UserPassword> {
    Some(UserPassword { user: file.user.clone(), password: secret(project, &file.password)? })
}

/// What an address may look like.
pub(crate) struct Form {
    /// Schemes that work.
    pub(crate) schemes: &'static [&'static str],
    /// Schemes that are not built yet, with what to do instead.
    pub(crate) not_built: &'static [(&'static str, &'static str)],
    /// Whether a path may follow.
    pub(crate) path: bool,
    pub(crate) example: &'static str,
}

/// A broker.
pub(crate) const MQTT: Form = Form {
    schemes: &["mqtt", "mqtts"],
    not_built: &[
        ("ws", "connect to the broker's plain MQTT listener"),
        ("wss", "connect to the broker's plain MQTT listener"),
    ],
    path: false,
    example: "mqtt://host:1883",
};

/// A system of record.
pub(crate) const HTTP: Form =
    Form { schemes: &["http", "https"], not_built: &[], path: true, example: "https://host/path" };

/// An address, or `env:NAME else ADDRESS`.
pub(crate) fn address(project: &Project, text: &At<String>, form: &Form) -> Option<Address> {
    let refuse = |message: String, help: &str| {
        let example = form.example;
        let finding = Finding::error(codes::ADDRESS, text.spot, message);
        project.push(finding.expected(format!("`{example}` or `env:NAME else {example}`")).help(help));
    };
    let (env, url) = match text.strip_prefix("env:") {
        None => (None, text.trim()),
        Some(rest) => match rest.split_once(" else ") {
            Some((name, url)) if is_variable(name.trim()) => (Some(name.trim().to_owned()), url.trim()),
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
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        refuse("the address holds a user or a password".into(), "put them under `credentials`, as `env:` or `file:`");
        return None;
    }
    if let Some((_, help)) = form.not_built.iter().find(|(name, _)| *name == scheme) {
        let finding = Finding::error(codes::NOT_BUILT, text.spot, format!("`{scheme}://` is not built yet"));
        project.push(finding.help(*help));
        return None;
    }
    if !form.schemes.contains(&scheme) {
        refuse(format!("`{url}` is no address that can be used here"), "begin it with the scheme");
        return None;
    }
    if let Err(cause) = host_and_port(authority) {
        refuse(cause, "correct the address");
        return None;
    }
    if path.contains(['?', '#', ' ']) || (!form.path && !path.trim_matches('/').is_empty()) {
        refuse("nothing else may follow the host in this address".into(), "leave the rest out");
        return None;
    }
    Some(Address { env, default: url.trim_end_matches('/').to_owned() })
}

fn host_and_port(authority: &str) -> Result<(), String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    if !is_host {
        return Err(format!("`{host}` is no host"));
    }
    match port {
        Some(port) if port.parse::<u16>().ok().is_none_or(|port| port == 0) => Err(format!("`{port}` is no port")),
        _ => Ok(()),
    }
}

/// The parts of a broker as files write them.
pub(crate) struct BrokerParts<'a> {
    pub(crate) broker: &'a At<String>,
    pub(crate) tls: Option<&'a ClientTlsFile>,
    pub(crate) version: Option<&'a At<VersionWord>>,
    pub(crate) credentials: Option<&'a UserPasswordFile>,
    pub(crate) keep_alive: Option<&'a At<Duration>>,
}

/// A broker.
pub(crate) fn broker(project: &Project, parts: &BrokerParts<'_>) -> Option<Broker> {
    let keep_alive = parts.keep_alive.map_or(KEEP_ALIVE, |span| span.0);
    if let Some(span) = parts.keep_alive
        && !(Span::from_secs(1)..=Span::from_secs(65_535)).contains(&keep_alive)
    {
        let finding =
            Finding::error(codes::KEEP_ALIVE, span.spot, format!("a keep-alive of {keep_alive} cannot be sent"));
        project.push(finding.expected("1 s to 65535 s").help("correct the duration"));
    }
    let credentials = parts.credentials.map(|file| user_password(project, file));
    let address = address(project, parts.broker, &MQTT)?;
    let tls = tls::client(project, &address, parts.tls);
    if let Some(file) = parts.credentials {
        tls::open_password(project, &address, file);
    }
    let version = match parts.version.map(|version| version.value) {
        Some(VersionWord::Three) => MqttVersion::V3,
        Some(VersionWord::Five) | None => MqttVersion::V5,
    };
    Some(Broker {
        address,
        tls: tls?,
        version,
        credentials: match credentials {
            None => None,
            Some(credentials) => Some(credentials?),
        },
        keep_alive,
    })
}
