//! The HTTP shell of the offices: reads requests, keeps the order *decide, write, sync, answer*, misbehaves on command.

use crate::{
    OfficeError,
    faults::{Fault, FaultKind, Faults},
    offices::{Desk, OfficeKind, Reply, Request, form},
};
use andon_model::Time;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, State, connect_info::Connected},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
    serve::{IncomingStream, Listener},
};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// The largest body of a request: 128 KiB.
pub const BODY_MAX_BYTES: usize = 128 << 10;

/// What an office says that has lost its mind.
const GARBAGE: &str = "<html><body>Wartungsarbeiten &#x1F6E0;</body></html>\u{0}";

/// Serves the offices of a desk on a listener until the future is dropped: each under `/<name>`, and an only one
/// under `/` too. `now` reads the present time.
pub async fn serve(
    listener: TcpListener,
    desk: Desk,
    now: impl Fn() -> Time + Send + Sync + 'static,
) -> Result<(), OfficeError> {
    let opened = desk.opened();
    let only = match &opened[..] {
        [only] => Some(*only),
        _ => None,
    };
    let faults = opened.into_iter().map(|office| (office, Mutex::default())).collect();
    let house = Arc::new(House { desk, only, faults, now: Box::new(now) });
    let app = Router::new().fallback(answer).with_state(house);
    axum::serve(CuttableListener(listener), app.into_make_service_with_connect_info::<Cut>()).await?;
    Ok(())
}

/// What is served.
struct House {
    desk: Desk,
    /// The office, where there is only one.
    only: Option<OfficeKind>,
    faults: BTreeMap<OfficeKind, Mutex<Faults>>,
    now: Box<dyn Fn() -> Time + Send + Sync>,
}

impl House {
    /// The office that a path leads to, the prefix that was its name, and the segments behind it.
    fn office<'a>(&self, path: &'a [String]) -> Option<(OfficeKind, &'static str, &'a [String])> {
        let named = path.split_first().and_then(|(first, rest)| Some((OfficeKind::named(first)?, rest)));
        match named.filter(|(office, _)| self.faults.contains_key(office)) {
            Some((office, rest)) => Some((office, office.name(), rest)),
            None => Some((self.only?, "", path)),
        }
    }

    fn faults(&self, office: OfficeKind) -> Option<MutexGuard<'_, Faults>> {
        Some(lock(self.faults.get(&office)?))
    }
}

/// A panic while a lock was held leaves the commands whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(house): State<Arc<House>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX_BYTES).await else {
        return respond(&Reply::problem(413, "Content Too Large", &format!("at most {BODY_MAX_BYTES} bytes")));
    };
    let path: Vec<String> = parts.uri.path().split('/').skip(1).filter(|part| !part.is_empty()).map(decoded).collect();
    let path_text: Vec<&str> = path.iter().map(String::as_str).collect();
    if path_text[..] == ["healthz"] {
        return respond(&Reply::new(200, json!({ "status": "ok" })));
    }
    let Some((office, name, below)) = house.office(&path) else {
        return respond(&Reply::problem(404, "Not Found", "the first part of the path names an office"));
    };
    match below.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["healthz"] => return respond(&Reply::new(200, json!({ "status": "ok" }))),
        ["office", "faults"] => return respond(&command(&house, office, &parts.method, &body)),
        _ => {}
    }
    let request = taken_apart(&parts, name, below.to_vec(), &body);
    let fault = house.faults(office).and_then(|mut faults| faults.take(parts.method.as_str()));
    match fault {
        None => Box::pin(work(house, office, request)).await,
        Some(fault) => Box::pin(misbehave(house, office, request, fault, cut)).await,
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A request as offices read it. The prefix tells them how they are called from outside.
fn taken_apart(parts: &Parts, name: &str, path: Vec<String>, body: &Bytes) -> Request {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: Vec<(String, String)> =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    if !name.is_empty() {
        headers.push(("x-forwarded-prefix".into(), format!("/{name}")));
    }
    Request {
        method: parts.method.as_str().to_owned(),
        path,
        query: form(parts.uri.query().unwrap_or_default().as_bytes()),
        headers,
        body: body.to_vec(),
    }
}

/// Meets a request as a command said.
async fn misbehave(
    house: Arc<House>,
    office: OfficeKind,
    request: Request,
    (kind, ms): (FaultKind, Option<u64>),
    cut: Cut,
) -> Response {
    match kind {
        FaultKind::Fail(status) => {
            let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            let mut response =
                respond(&Reply::problem(status, title.unwrap_or("Unknown"), "the office was told to answer so"));
            if let Some(ms) = ms {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
            }
            response
        }
        FaultKind::Hang => std::future::pending().await,
        FaultKind::Late => {
            let response = work(house, office, request).await;
            tokio::time::sleep(Duration::from_millis(ms.unwrap_or(0))).await;
            response
        }
        FaultKind::LoseAnswer => {
            let response = work(house, office, request).await;
            cut.now();
            response
        }
        FaultKind::DropConnection => {
            cut.now();
            Response::new(Body::empty())
        }
        FaultKind::Garbage => {
            let mut response = work(house, office, request).await;
            response.headers_mut().remove(header::LOCATION);
            *response.body_mut() = Body::from(GARBAGE);
            response
        }
    }
}

/// Decides, writes, syncs, and only then answers.
async fn work(house: Arc<House>, office: OfficeKind, request: Request) -> Response {
    let work = move || house.desk.answer(office, &request, (house.now)());
    // Syncing waits for the disk, so it stands aside of the threads that answer others.
    match tokio::task::spawn_blocking(work).await {
        Ok(reply) => respond(&reply),
        Err(_) => respond(&Reply::problem(500, "Internal Server Error", "the office broke off")),
    }
}

/// Takes or shows the commands that make an office misbehave.
fn command(house: &House, office: OfficeKind, method: &Method, body: &[u8]) -> Reply {
    let Some(mut faults) = house.faults(office) else {
        return Reply::problem(404, "Not Found", "the office is not open");
    };
    if *method == Method::POST {
        let read = serde_json::from_slice::<Fault>(body).map_err(|e| e.to_string());
        if let Err(cause) = read.and_then(|fault| faults.add(fault)) {
            return Reply::problem(422, "Unprocessable Content", &cause);
        }
    } else if *method == Method::DELETE {
        faults.waiting.clear();
    } else if *method != Method::GET {
        return Reply::problem(405, "Method Not Allowed", "GET, POST or DELETE");
    }
    Reply::new(200, json!(*faults))
}

fn respond(reply: &Reply) -> Response {
    let body = if reply.body == Json::Null { Body::empty() } else { Body::from(reply.body.to_string()) };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.body != Json::Null {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

/// Cuts a connection: from then on nothing is written to it.
#[derive(Clone)]
struct Cut(Arc<AtomicBool>);

impl Cut {
    fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}

/// A listener whose connections can be cut.
struct CuttableListener(TcpListener);

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.0).await;
        (CuttableStream { stream, cut: Cut(Arc::default()) }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that can be cut.
struct CuttableStream {
    stream: TcpStream,
    cut: Cut,
}

impl CuttableStream {
    fn whole(&self) -> io::Result<()> {
        if self.cut.0.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
