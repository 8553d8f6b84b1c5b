//! TLS towards brokers: keys that go together, and passwords that nobody reads on the way.

use super::connect::secret;
use crate::{
    codes,
    contract::{Address, ClientTls, TlsIdentity},
    files::{sources::UserPasswordFile, tls::ClientTlsFile},
    load::Project,
    problem::Finding,
    read::At,
};

/// The scheme of a broker with TLS.
const SECURE: &str = "mqtts://";

/// How TLS is spoken with the broker of this address; `None` where the keys do not go together.
pub(crate) fn client(project: &Project, address: &Address, file: Option<&ClientTlsFile>) -> Option<ClientTls> {
    let Some(file) = file else { return Some(ClientTls::default()) };
    let named = [&file.authority, &file.certificate, &file.key].into_iter().flatten();
    if let Some(first) = named.clone().next()
        && !address.default.starts_with(SECURE)
    {
        let finding = Finding::error(codes::TLS, first.spot, "the address of the broker is without TLS");
        project.push(
            finding
                .expected(format!("`{SECURE}host:8883` as the address"))
                .help("write `mqtts://` and the port of the broker's TLS listener, or leave `tls` out"),
        );
        return None;
    }
    files(project, file.authority.as_ref(), file.certificate.as_ref(), file.key.as_ref())
}

/// The files of TLS; `None` where the keys do not go together.
pub(crate) fn files(
    project: &Project,
    authority: Option<&At<String>>,
    certificate: Option<&At<String>>,
    key: Option<&At<String>>,
) -> Option<ClientTls> {
    let mut paths = [authority, certificate].into_iter().flatten();
    if let Some(path) = paths.find(|path| path.trim().is_empty()) {
        let finding = Finding::error(codes::TLS, path.spot, "this names no file");
        project.push(finding.expected("the path of a PEM file").help("write the path, or leave the key out"));
        return None;
    }
    let identity = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some(TlsIdentity { certificate: certificate.value.clone(), key: secret(project, key)? })
        }
        (Some(alone), None) => return half(project, alone, "key", "certificate"),
        (None, Some(alone)) => return half(project, alone, "certificate", "key"),
    };
    Some(ClientTls { authority: authority.map(|path| path.value.clone()), identity })
}

fn half(project: &Project, alone: &At<String>, missing: &str, present: &str) -> Option<ClientTls> {
    let finding = Finding::error(codes::TLS, alone.spot, format!("a `{present}` without a `{missing}` proves nothing"));
    project.push(
        finding
            .expected("both `certificate: PATH` and `key: file:PATH`")
            .help(format!("add `{missing}`, or leave `{present}` out where the broker asks for no certificate")),
    );
    None
}

/// Warns of a password that crosses a network without TLS.
pub(crate) fn open_password(project: &Project, address: &Address, file: &UserPasswordFile) {
    if address.default.starts_with(SECURE) || is_loopback(&address.default) {
        return;
    }
    let message = format!("the password of `{}` crosses the network in the clear, at every connection", file.user);
    let finding = Finding::warning(codes::OPEN_PASSWORD, file.password.spot, message);
    project.push(finding.help("connect to the broker's TLS listener: `mqtts://host:8883`"));
}

/// Whether an address stays on its machine.
fn is_loopback(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_machine_is_known_by_its_names() {
        for own in ["mqtt://localhost:1883", "mqtt://127.0.0.1", "mqtt://[::1]:1883", "mqtt://127.9.9.9:1"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["mqtt://plant:1883", "mqtt://10.0.0.1", "mqtt://[fe80::1]:1883", "mqtt://localhost.example"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
