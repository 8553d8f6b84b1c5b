//! How a world is spoken to by the program that started it, or by the next one.

use super::{Andon, Shared};
use andon_model::Time;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::sync::Arc;
use tokio::net::TcpListener;

/// The world and the clock on the wall.
#[derive(Clone)]
struct Desk {
    world: Shared,
    wall: Arc<dyn Fn() -> Time + Send + Sync>,
}

/// Answers until the future is dropped: `GET /{nonce}` how it is, `POST /{nonce}/andon` where Andon is,
/// `POST /{nonce}/stop`. Whoever does not know the nonce speaks to another world.
pub async fn serve(
    listener: TcpListener,
    world: Shared,
    wall: impl Fn() -> Time + Send + Sync + 'static,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/{nonce}", get(stand))
        .route("/{nonce}/andon", post(meet))
        .route("/{nonce}/stop", post(stop))
        .with_state(Desk { world, wall: Arc::new(wall) });
    axum::serve(listener, app).await
}

impl Desk {
    /// Whether it is this world that is spoken to.
    fn hears(&self, nonce: &str) -> bool {
        let meant = self.world.nonce == nonce;
        if meant {
            self.world.heard((self.wall)());
        }
        meant
    }
}

async fn stand(State(desk): State<Desk>, Path(nonce): Path<String>) -> Response {
    if !desk.hears(&nonce) {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(desk.world.stand((desk.wall)())).into_response()
}

async fn meet(State(desk): State<Desk>, Path(nonce): Path<String>, Json(andon): Json<Andon>) -> StatusCode {
    if !desk.hears(&nonce) {
        return StatusCode::NOT_FOUND;
    }
    match desk.world.meet(andon, (desk.wall)()) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::error!(%error, "where Andon is could not be kept");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

async fn stop(State(desk): State<Desk>, Path(nonce): Path<String>) -> StatusCode {
    if !desk.hears(&nonce) {
        return StatusCode::NOT_FOUND;
    }
    desk.world.ask_to_stop();
    StatusCode::ACCEPTED
}
