//! `POST` and `DELETE /peers/{peer}/ban`, and who may change anything at all: an operator, from the
//! machine itself.
//!
//! There is no password, so two things stand for one: the connection must come from loopback, and
//! the request must carry a header that no page in a browser can send to another site.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{ADMIN_HEADER, server::Served};
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

/// Why the request may change nothing, if it may not.
pub(super) fn forbidden(from: SocketAddr, headers: &HeaderMap) -> Option<&'static str> {
    let here = from.ip().to_canonical().is_loopback() && headers.contains_key(ADMIN_HEADER);
    (!here).then_some("only the machine of the node may do that: use `alys-sync` there")
}

/// Whether the request may change anything, and whom it is about.
fn admit(from: SocketAddr, headers: &HeaderMap, peer: &str) -> Result<PeerId, Box<Response>> {
    if let Some(why) = forbidden(from, headers) {
        return Err(Box::new(refused(StatusCode::FORBIDDEN, why)));
    }
    peer.parse().map_err(|error| {
        let why = format!("this is no peer id: {error}");
        Box::new(refused(StatusCode::BAD_REQUEST, why))
    })
}

pub(super) async fn ban(
    State(served): State<Served>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(peer): Path<String>,
    headers: HeaderMap,
    Json(request): Json<BanRequest>,
) -> Response {
    let peer = match admit(from, &headers, &peer) {
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

pub(super) async fn lift(
    State(served): State<Served>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(peer): Path<String>,
    headers: HeaderMap,
) -> Response {
    let peer = match admit(from, &headers, &peer) {
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
        let peer = crate::doubles::peer(1);
        let (with, without) = (
            HeaderMap::from_iter([(ADMIN_HEADER.parse().unwrap(), "1".parse().unwrap())]),
            HeaderMap::new(),
        );
        let may =
            |from: &str, headers, name: &str| admit(from.parse().unwrap(), headers, name).ok();
        let name = peer.to_string();
        for home in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert_eq!(may(home, &with, &name), Some(peer), "{home}");
            assert_eq!(may(home, &without, &name), None, "{home}");
        }
        assert_eq!(may("10.0.0.1:9", &with, &name), None);
        assert_eq!(may("127.0.0.1:9", &with, "nobody"), None);
    }
}
