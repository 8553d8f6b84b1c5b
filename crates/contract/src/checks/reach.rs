//! How the host of a system is reached: places that exist, and TLS that is left out within this machine only.

use super::connect::is_variable;
use crate::{
    codes,
    contract::{Address, Reach, is_loopback, place},
    files::systems::SystemFile,
    load::Project,
    problem::Finding,
    read::At,
};

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
    Some(Reach { connect, plain_on_loopback: loopback.is_some() })
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
