//! Listeners of an instance: MQTT without a broker.

use super::{Address, Secret, TlsIdentity};
use andon_model::{SiteName, span::Span};
use std::collections::BTreeMap;

/// An MQTT listener: machines publish to it, clients subscribe to what was published and to events.
#[derive(Debug, Clone)]
pub struct Listener {
    /// `host:port` to listen on.
    pub address: Address,
    /// With TLS, where set.
    pub tls: Option<ServerTls>,
    /// Who may come in, by user name; empty: anybody, which `check` accepts on loopback only.
    pub clients: BTreeMap<String, Client>,
    /// Connections at once; one more is refused.
    pub connections: usize,
    /// Publishes without acknowledgement that a client may have under way (receive maximum).
    pub receive_max: u16,
    /// The longest keep-alive; MQTT 5 clients are told it, others are held to it. Zero is taken as this.
    pub keep_alive: Span,
}

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Its certificate chain and key.
    pub identity: TlsIdentity,
    /// File of the authorities whose certificates clients must show, PEM; `None`: none is asked for.
    pub client_authority: Option<String>,
}

/// A client of a listener and what it may do.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its password; `None`: its certificate says who it is.
    pub password: Option<Secret>,
    /// The common name of the subject of its certificate, where it must show one.
    pub certificate: Option<String>,
    /// The sites whose assets it may publish for and whose topics and events it sees; `None`: all.
    pub sites: Option<Vec<SiteName>>,
    /// Topic filters it may publish to, on top of its sites; empty: all.
    pub publish: Vec<String>,
    /// Topic filters it may subscribe within, on top of its sites; empty: all.
    pub subscribe: Vec<String>,
}
