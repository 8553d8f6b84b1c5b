//! Connections to a system: opened, kept for a while where that is harmless, and given back.
//!
//! On a connection that was kept open a request can meet the server's closing of it, and nobody can tell whether it was
//! read. So a request whose second sending could have a second effect gets a connection of its own; every other one may
//! take a kept one, and is sent once more on a fresh one when the kept one ended without a byte of an answer.

use super::{
    proxy::{self, Refused},
    reach::{Way, joined},
    tls,
};
use andon_model::OutcomeClass;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::TlsConnector;

/// A connection that was idle for longer is not used again: servers close theirs after 5 s (Node.js, Apache) or more.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// Idle connections to a system at most.
const IDLE_MAX_COUNT: usize = 64;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that takes one request at a time.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
}

/// Why there is no answer on a connection.
pub(crate) enum Lost {
    /// The request was surely not read.
    NotSent(OutcomeClass, String),
    /// The other side may have read it; `closed`: the connection ended before anything of an answer.
    Perhaps { cause: String, closed: bool },
}

impl Connection {
    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Lost> {
        self.sender.try_send_request(request).await.map_err(|mut failed| {
            let unsent = failed.take_message().is_some();
            let error = failed.into_error();
            if let Some(found) = tls::of(&error)
                && tls::is_about_us(found)
            {
                let (class, cause) = tls::explain(found);
                return Lost::NotSent(class, cause);
            }
            let cause = causes(&error);
            if unsent {
                return Lost::NotSent(OutcomeClass::Transient, cause);
            }
            Lost::Perhaps { cause, closed: !error.is_parse() }
        })
    }
}

/// The idle connections of a system.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(Arc<Way>, Connection, Instant)>>);

impl Idle {
    /// The connection of this way that was used last, if the other side has not closed it.
    pub(super) async fn take(&self, way: &Way) -> Option<Connection> {
        loop {
            let mut found = {
                let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|(_, connection, since)| !connection.sender.is_closed() && since.elapsed() < IDLE_MAX);
                let at = idle.iter().rposition(|(of, _, _)| **of == *way)?;
                idle.remove(at).1
            };
            if found.sender.ready().await.is_ok() {
                found.reused = true;
                return Some(found);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn put(&self, way: Arc<Way>, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.sender.is_closed() {
            return;
        }
        if idle.len() >= IDLE_MAX_COUNT {
            idle.remove(0);
        }
        idle.push((way, connection, Instant::now()));
    }
}

/// Opens a connection; `Err` says what stands in the way, and of which class that is.
pub(crate) async fn open(way: &Way, tls: Option<Arc<ClientConfig>>) -> Result<Connection, (OutcomeClass, String)> {
    let transient = |cause: String| (OutcomeClass::Transient, cause);
    let proxy = way.proxy.as_ref();
    let (host, port) = proxy.map_or((way.host.as_str(), way.port), |proxy| (proxy.host.as_str(), proxy.port));
    let stream = match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    };
    let mut stream = stream.map_err(|error| match proxy {
        None => transient(error.to_string()),
        Some(proxy) => transient(format!("{} cannot be reached: {error}", proxy.shown())),
    })?;
    // Small requests go at once.
    let _ = stream.set_nodelay(true);
    let (Some(name), Some(config)) = (&way.tls, tls) else { return shake(stream).await };
    if let Some(proxy) = proxy {
        let place = joined(&way.host, way.port);
        proxy::tunnel(&mut stream, &place, proxy.credentials.as_ref()).await.map_err(|refused| match refused {
            Refused::Credentials => {
                let remedy = "correct `proxy: { credentials: ... }`";
                (OutcomeClass::Auth, format!("{} does not accept who we are; {remedy}", proxy.shown()))
            }
            Refused::Says(what) => transient(format!("{} leads nowhere: {what}", proxy.shown())),
        })?;
    }
    let name = ServerName::try_from(name.clone())
        .map_err(|_| transient(format!("{name:?} cannot be the name of a server with TLS")))?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    shake(stream.map_err(|error| match tls::of(&error) {
        Some(found) => tls::explain(found),
        None => transient(format!("TLS failed: {error}")),
    })?)
    .await
}

async fn shake(stream: impl Io + 'static) -> Result<Connection, (OutcomeClass, String)> {
    let stream: Box<dyn Io> = Box::new(stream);
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| (OutcomeClass::Transient, causes(&error)))?;
    // It ends with the connection; what ended it is told to the request on it.
    tokio::spawn(connection);
    Ok(Connection { sender, reused: false })
}

/// An error and its causes; what an outer one only repeats is left out.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut told: Vec<String> = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if told.last().is_none_or(|last| !last.contains(&text)) {
            told.push(text);
        }
        next = cause.source();
    }
    told.join(": ")
}
