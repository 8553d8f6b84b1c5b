//! The HTTP shell of an office: reads requests, keeps the order *decide, write, sync, answer*, misbehaves on command.

use crate::{
    OfficeError, OfficeKind,
    eam::{self, Office, Reply},
    faults::{Fault, FaultKind, Faults},
    file::Rows,
};
use andon_model::Time;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Query, State, connect_info::Connected},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
    serve::{IncomingStream, Listener},
};
use serde_json::json;
use std::{
    io,
    net::SocketAddr,
    path::Path,
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

/// Serves an office on a listener until the future is dropped. `file` is the office's own: one JSON line for each
/// document, synced before the answer. `now` reads the present time.
pub async fn serve(
    listener: TcpListener,
    file: &Path,
    office: OfficeKind,
    now: impl Fn() -> Time + Send + Sync + 'static,
) -> Result<(), OfficeError> {
    let (rows, state) = match office {
        OfficeKind::Eam => Rows::open(file)?,
    };
    let desk = Arc::new(Desk {
        books: Mutex::new(Books { office: state, rows }),
        faults: Mutex::new(Faults::default()),
        now: Box::new(now),
    });
    let app = Router::new().fallback(answer).with_state(desk);
    axum::serve(CuttableListener(listener), app.into_make_service_with_connect_info::<Cut>()).await?;
    Ok(())
}

/// An office at work.
struct Desk {
    books: Mutex<Books>,
    faults: Mutex<Faults>,
    now: Box<dyn Fn() -> Time + Send + Sync>,
}

/// What changes together: the office and its file.
struct Books {
    office: Office,
    rows: Rows,
}

/// A panic while a lock was held leaves both whole: they change only after the file did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX_BYTES).await else {
        return respond(&eam::problem(413, "Content Too Large", &format!("at most {BODY_MAX_BYTES} bytes")));
    };
    match parts.uri.path() {
        "/healthz" => return respond(&Reply { status: 200, body: json!({ "status": "ok" }), row: None }),
        "/office/faults" => return respond(&command(&desk, &parts.method, &body)),
        _ => {}
    }
    let fault = lock(&desk.faults).take(parts.method.as_str());
    match fault {
        None => Box::pin(work(desk, parts, body)).await,
        Some(fault) => Box::pin(misbehave(desk, parts, body, fault, cut)).await,
    }
}

/// Meets a request as a command said.
async fn misbehave(
    desk: Arc<Desk>,
    parts: Parts,
    body: axum::body::Bytes,
    (kind, ms): (FaultKind, Option<u64>),
    cut: Cut,
) -> Response {
    match kind {
        FaultKind::Fail503 => {
            let mut response =
                respond(&eam::problem(503, "Service Unavailable", "the office is closed for the moment"));
            if let Some(ms) = ms {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
            }
            response
        }
        FaultKind::Fail500 => respond(&eam::problem(500, "Internal Server Error", "the office is confused")),
        FaultKind::Hang => std::future::pending().await,
        FaultKind::Late => {
            let response = work(desk, parts, body).await;
            tokio::time::sleep(Duration::from_millis(ms.unwrap_or(0))).await;
            response
        }
        FaultKind::LoseAnswer => {
            let response = work(desk, parts, body).await;
            cut.now();
            response
        }
        FaultKind::DropConnection => {
            cut.now();
            Response::new(Body::empty())
        }
    }
}

/// Decides, writes, syncs, and only then answers.
async fn work(desk: Arc<Desk>, parts: Parts, body: axum::body::Bytes) -> Response {
    let work = move || {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Ok(Query(query)) = query else {
            return eam::problem(400, "Bad Request", "the query cannot be read");
        };
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let request = eam::Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: &query,
            content_type: kind.as_deref(),
            body: &body,
        };
        let now = (desk.now)();
        let mut books = lock(&desk.books);
        let reply = books.office.decide(&request, now);
        if let Some(row) = &reply.row {
            let kept = books.rows.append(row).map_err(|e| e.to_string());
            if let Err(cause) = kept.and_then(|()| books.office.keep(row.clone())) {
                tracing::error!(%cause, "a request could not be written");
                return eam::problem(503, "Service Unavailable", "the office cannot write its file");
            }
        }
        reply
    };
    // Syncing waits for the disk, so it stands aside of the threads that answer others.
    match tokio::task::spawn_blocking(work).await {
        Ok(reply) => respond(&reply),
        Err(_) => respond(&eam::problem(500, "Internal Server Error", "the office broke off")),
    }
}

/// Takes or shows the commands that make the office misbehave.
fn command(desk: &Desk, method: &Method, body: &[u8]) -> Reply {
    let mut faults = lock(&desk.faults);
    if *method == Method::POST {
        let read = serde_json::from_slice::<Fault>(body).map_err(|e| e.to_string());
        if let Err(cause) = read.and_then(|fault| faults.add(fault)) {
            return eam::problem(422, "Unprocessable Content", &cause);
        }
    } else if *method == Method::DELETE {
        faults.waiting.clear();
    } else if *method != Method::GET {
        return eam::problem(405, "Method Not Allowed", "GET, POST or DELETE");
    }
    Reply { status: 200, body: json!(*faults), row: None }
}

fn respond(reply: &Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body.to_string()));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if reply.status < 400 { "application/json" } else { "application/problem+json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
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
