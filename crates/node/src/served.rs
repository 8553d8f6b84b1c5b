//! Where the API listens, and who serves it.

use crate::{assemble::StartError, given};
use andon_api::{
    Backend,
    doors::{Arrived, Doors},
};
use std::{net::SocketAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Takes the address of the API, which must be one of loopback.
pub(crate) fn bind(
    runtime: &tokio::runtime::Runtime,
    address: &str,
) -> Result<(tokio::net::TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Api { address: address.to_owned(), cause };
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).map_err(failed)?;
    let api = listener.local_addr().map_err(failed)?;
    if !api.ip().is_loopback() {
        let cause = "only loopback is served until the API has keys and roles";
        return Err(failed(std::io::Error::new(std::io::ErrorKind::PermissionDenied, cause)));
    }
    Ok((listener, api))
}

/// Layer 4: the API.
pub(crate) fn serve(
    runtime: &tokio::runtime::Runtime,
    listener: tokio::net::TcpListener,
    backend: Arc<dyn Backend>,
    closing: CancellationToken,
) {
    runtime.spawn(async move {
        let routes = andon_api::routes::router(backend).into_make_service_with_connect_info::<Arrived>();
        let doors = Doors::new(listener, given::connections());
        let served = axum::serve(doors, routes).with_graceful_shutdown(closing.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the API ended");
        }
    });
}
