//! `POST` and `DELETE /peers/{peer}/ban`, and who may ask for anything but the status: an operator,
//! from the machine itself.
//!
//! There is no password, so two things stand for one: the connection must come from loopback, and
//! the request must carry a header that no page in a browser can send to another site.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{ADMIN_HEADER, STATUS_PATH, server::Served};
use crate::{reputation::BanStatus, types::PeerId};

/// The longest ban by hand. Unit: seconds. Source: a hundred years, which is for ever and far from
/// where arithmetic on times ends.
const BAN_SECONDS_MAX: u64 = 100 * 366 * 24 * 3_600;

/// A ban by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRequest {
    /// For how long; as long as a liar if not given.
    pub seconds: Option<u64>,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BanAnswer {
    /// The peer is kept out.
    Banned(BanStatus),
    /// The peer is let in again.
    Lifted,
    /// It was not kept out.
    NotBanned,
    /// Nothing was changed, and why.
    Refused(String),
}

fn refused(code: StatusCode, why: impl Into<String>) -> Response {
    (code, Json(BanAnswer::Refused(why.into()))).into_response()
}

/// Stands before every route: the status is for everybody, all else for the machine itself. A route
/// that is added is refused to others unless it is named here.
pub(super) async fn admit(
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let for_everybody = request.method().is_safe() && request.uri().path() == STATUS_PATH;
    if for_everybody || is_from_here(from, request.headers()) {
        return next.run(request).await;
    }
    let why = "only the machine of the node may do that: use `alys-sync` there";
    (StatusCode::FORBIDDEN, Json(Forbidden::Refused(why))).into_response()
}

/// A refusal as all answers have it.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Forbidden {
    Refused(&'static str),
}

fn is_from_here(from: SocketAddr, headers: &HeaderMap) -> bool {
    from.ip().to_canonical().is_loopback() && headers.contains_key(ADMIN_HEADER)
}

/// Whom the request is about.
fn named(peer: &str) -> Result<PeerId, Box<Response>> {
    peer.parse().map_err(|error| {
        let why = format!("this is no peer id: {error}");
        Box::new(refused(StatusCode::BAD_REQUEST, why))
    })
}

pub(super) async fn ban(
    State(served): State<Served>,
    Path(peer): Path<String>,
    Json(request): Json<BanRequest>,
) -> Response {
    let peer = match named(&peer) {
        Ok(peer) => peer,
        Err(response) => return *response,
    };
    let length = request.seconds.map(|seconds| Duration::from_secs(seconds.min(BAN_SECONDS_MAX)));
    match served.node.ban_peer(peer, length).await {
        Ok(Some(ban)) => Json(BanAnswer::Banned(ban)).into_response(),
        Ok(None) => Json(BanAnswer::NotBanned).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

pub(super) async fn lift(State(served): State<Served>, Path(peer): Path<String>) -> Response {
    let peer = match named(&peer) {
        Ok(peer) => peer,
        Err(response) => return *response,
    };
    match served.node.lift_ban(peer).await {
        Ok(true) => Json(BanAnswer::Lifted).into_response(),
        Ok(false) => Json(BanAnswer::NotBanned).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_with_the_header_may_change_anything() {
        let (with, without) = (
            HeaderMap::from_iter([(ADMIN_HEADER.parse().unwrap(), "1".parse().unwrap())]),
            HeaderMap::new(),
        );
        let may = |from: &str, headers| is_from_here(from.parse().unwrap(), headers);
        for home in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(may(home, &with), "{home}");
            assert!(!may(home, &without), "{home}");
        }
        assert!(!may("10.0.0.1:9", &with));
    }

    #[test]
    fn what_is_no_peer_is_refused() {
        let peer = crate::doubles::peer(1);
        assert_eq!(named(&peer.to_string()).ok(), Some(peer));
        assert_eq!(named("nobody").unwrap_err().status(), StatusCode::BAD_REQUEST);
    }
}
