//! Answers `GET /status`, and the requests of [`super::admin`] and [`super::checkpoints`].

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    middleware,
    routing::{delete, get, post},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    CHECKPOINT_PATH, CHECKPOINTS_PATH, NodeReport, STATUS_PATH, admin, ban_path, checkpoint_path,
    checkpoints, recover_path,
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
        let routes = Router::new()
            .route(STATUS_PATH, get(status))
            .route(&ban_path("{peer}"), post(admin::ban).delete(admin::lift))
            .route(CHECKPOINTS_PATH, get(checkpoints::list).post(checkpoints::take_in))
            .route(CHECKPOINT_PATH, post(checkpoints::create))
            .route(&checkpoint_path("{height}"), delete(checkpoints::remove))
            .route(&recover_path("{height}"), post(checkpoints::recover));
        let app = guarded(routes)
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

/// All of `routes`, each behind the one guard.
fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.route_layer(middleware::from_fn(admin::admit))
}

async fn status(State(served): State<Served>) -> Json<NodeReport> {
    Json(NodeReport::of(&served.node, served.synthetic_payloads, served.recovery.as_deref()).await)
}

#[cfg(test)]
mod tests {
    use axum::{extract::connect_info::MockConnectInfo, http::StatusCode};

    use super::*;
    use crate::http::{AskError, CheckpointAnswer, ask_status, create_checkpoint, lift_ban};

    /// A server of routes that nobody thought of guarding, to which everybody seems to be `from`.
    async fn asked_from(from: [u8; 4]) -> hyper::Uri {
        let bare = Router::new()
            .route(STATUS_PATH, get(|| async { "no status" }))
            .route(CHECKPOINT_PATH, post(|| async { Json(CheckpointAnswer::Removed(true)) }))
            .route(&ban_path("{peer}"), delete(|| async { "no answer" }));
        let app = guarded(bare).layer(MockConnectInfo(SocketAddr::from((from, 9))));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    #[tokio::test]
    async fn whatever_is_added_is_for_the_machine_itself_and_the_status_for_everybody() {
        let home = asked_from([127, 0, 0, 1]).await;
        let made = create_checkpoint(&home).await.unwrap();
        assert_eq!(made, CheckpointAnswer::Removed(true));
        let away = asked_from([10, 0, 0, 1]).await;
        let refused = |error| {
            let AskError::Refused { code, text: Some(text), .. } = error else {
                panic!("{error:?}")
            };
            text.contains("only the machine of the node") && code == StatusCode::FORBIDDEN
        };
        assert!(refused(create_checkpoint(&away).await.unwrap_err()));
        assert!(refused(lift_ban(&away, crate::doubles::peer(1)).await.unwrap_err()));
        // What is not JSON was answered, and not refused.
        assert!(matches!(ask_status(&away).await, Err(AskError::Malformed { .. })));
    }
}
