//! Answers `GET /status`, and the requests of [`super::admin`] and [`super::checkpoints`].

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    routing::{delete, get, post},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    CHECKPOINT_PATH, CHECKPOINTS_PATH, NodeReport, STATUS_PATH, admin, ban_path, checkpoints,
};
use crate::{
    checkpoint::{EXPORT_BYTES_MAX, Recovery},
    node::Node,
};

/// Why the status cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot serve the status on {address}: choose another address and port with --http")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) node: Arc<Node>,
    synthetic_payloads: bool,
    recovery: Option<Arc<Recovery>>,
}

/// A server of the status. Dropping it closes the port and cuts off answers under way.
#[derive(Debug)]
pub struct StatusServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl StatusServer {
    /// Serves the status of `node` on `address`; port 0 means a free one. `recovery`: what was done
    /// when its data directory was opened.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub async fn start(
        node: Arc<Node>,
        synthetic_payloads: bool,
        recovery: Option<Recovery>,
        address: SocketAddr,
    ) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        if !bound.ip().is_loopback() {
            tracing::warn!(address = %bound, "whoever reaches this address can read the status");
        }
        let served = Served { node, synthetic_payloads, recovery: recovery.map(Arc::new) };
        let app = Router::new()
            .route(STATUS_PATH, get(status))
            .route(&ban_path("{peer}"), post(admin::ban).delete(admin::lift))
            .route(CHECKPOINTS_PATH, get(checkpoints::list).post(checkpoints::take_in))
            .route(CHECKPOINT_PATH, post(checkpoints::create))
            .route(&format!("{CHECKPOINT_PATH}/{{height}}"), delete(checkpoints::remove))
            .layer(DefaultBodyLimit::max(EXPORT_BYTES_MAX))
            .with_state(served)
            .into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the status has ended");
            }
        });
        Ok(Self { address: bound, task })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn status(State(served): State<Served>) -> Json<NodeReport> {
    Json(NodeReport::of(&served.node, served.synthetic_payloads, served.recovery.as_deref()).await)
}
