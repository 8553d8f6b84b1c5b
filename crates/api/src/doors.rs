//! The doors of the surface: so many connections are served at once, and some more in which only what people need is
//! answered. A connection on which nothing happens for long is ended, so that its place is free.

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until},
};

/// Connections served at once.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Connections beyond them, in which one question of health, status, exceptions or an act is answered.
pub const CONNECTIONS_SPARE: usize = 16;
/// A connection on which nothing is said for this long is ended; longer than any answer takes.
pub const IDLE_MAX: Duration = Duration::from_mins(11);
/// The same for one of those beyond: who takes one says at once what he wants.
pub const SPARE_IDLE_MAX: Duration = Duration::from_secs(30);

/// When no connection can be taken, because files are too many, it is tried again so much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Lets connections in.
#[derive(Debug)]
pub struct Doors {
    listener: TcpListener,
    places: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

/// How a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// It is one of those beyond [`CONNECTIONS_MAX`].
    pub spare: bool,
}

impl Doors {
    /// Doors for so many connections, at least one and at most [`CONNECTIONS_MAX`]; the spare ones come beside them.
    pub fn new(listener: TcpListener, connections: usize) -> Self {
        let places = connections.clamp(1, CONNECTIONS_MAX);
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self { listener, places: semaphore(places), spare: semaphore(CONNECTIONS_SPARE) }
    }
}

impl Listener for Doors {
    type Io = Held;
    type Addr = Arrived;

    async fn accept(&mut self) -> (Held, Arrived) {
        let stream = loop {
            match self.listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the API can take no connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        loop {
            let (places, spare) = (Arc::clone(&self.places), Arc::clone(&self.spare));
            let (place, arrived) = tokio::select! {
                biased;
                place = places.acquire_owned() => (place, Arrived { spare: false }),
                place = spare.acquire_owned() => (place, Arrived { spare: true }),
            };
            // Nobody closes them.
            let Ok(place) = place else { continue };
            let idle = if arrived.spare { SPARE_IDLE_MAX } else { IDLE_MAX };
            return (Held::new(stream, place, idle), arrived);
        }
    }

    fn local_addr(&self) -> io::Result<Arrived> {
        Ok(Arrived { spare: false })
    }
}

impl Connected<IncomingStream<'_, Doors>> for Arrived {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Self {
        *stream.remote_addr()
    }
}

/// Whether only this one connection failed.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection that holds its place.
#[derive(Debug)]
pub struct Held {
    stream: TcpStream,
    idle: Duration,
    ends: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Held {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, idle: Duration) -> Self {
        Self { stream, idle, ends: Box::pin(sleep_until(Instant::now() + idle)), _place: place }
    }

    fn heard(&mut self) {
        self.ends.as_mut().reset(Instant::now() + self.idle);
    }
}

impl AsyncRead for Held {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(cx, to) {
            Poll::Ready(read) => {
                this.heard();
                Poll::Ready(read)
            }
            Poll::Pending => {
                ready!(this.ends.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was said for too long")))
            }
        }
    }
}

impl AsyncWrite for Held {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes));
        this.heard();
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, parts));
        this.heard();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Lanes, sort};
    use axum::{Router, middleware, routing::any};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn answer(stream: &mut TcpStream, path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 1_024];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "the answer ends early");
            read.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(read).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn beyond_the_connections_that_are_served_people_are_answered_and_machines_told_to_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/{*path}", any(|| async { "done" }))
            .layer(middleware::from_fn_with_state(Arc::new(Lanes::default()), sort));
        let served = axum::serve(Doors::new(listener, 2), routes.into_make_service_with_connect_info::<Arrived>());
        let serving = tokio::spawn(async move { served.await });

        let (mut first, mut second) =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        for taken in [&mut first, &mut second] {
            assert!(answer(taken, "/v1/samples").await.starts_with("HTTP/1.1 200"));
        }
        let mut machine = TcpStream::connect(address).await.unwrap();
        let refused = answer(&mut machine, "/v1/samples").await;
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("connection: close"), "{refused}");
        let mut person = TcpStream::connect(address).await.unwrap();
        let answered = answer(&mut person, "/readyz").await;
        assert!(answered.starts_with("HTTP/1.1 200") && answered.contains("connection: close"), "{answered}");

        // A connection that ends gives its place to the next.
        drop(first);
        loop {
            let mut next = TcpStream::connect(address).await.unwrap();
            if answer(&mut next, "/v1/samples").await.starts_with("HTTP/1.1 200") {
                break;
            }
        }
        assert!(answer(&mut second, "/v1/samples").await.starts_with("HTTP/1.1 200"));
        serving.abort();
    }
}
