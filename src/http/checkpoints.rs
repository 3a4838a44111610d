//! `GET` and `POST /checkpoints`, `POST /checkpoint`, `DELETE /checkpoint/{height}`, `POST
//! /checkpoint/{height}/recover`: the checkpoints of a running node. Reading them is for the
//! machine itself, too, because each is compared with its block.

use std::net::SocketAddr;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::server::Served;
use crate::{
    checkpoint::{
        CheckedCheckpoint, CheckedJournal, Checkpoint, CheckpointError, KeepError, RecoverError,
        SetBack, SetBackRefused, import,
    },
    types::Height,
};

/// What came of a question about checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointAnswer {
    /// All of them, checked.
    Checked(CheckedJournal),
    /// The one that was made.
    Made(Checkpoint),
    /// What came of each claim.
    TakenIn(Vec<CheckedCheckpoint>),
    /// Whether there was one that was removed.
    Removed(bool),
    /// The chain was set back.
    Recovered(SetBack),
    /// Nothing was done, and why.
    Refused(String),
}

fn refused(code: StatusCode, why: impl Into<String>) -> Response {
    (code, Json(CheckpointAnswer::Refused(why.into()))).into_response()
}

fn answer(answer: Result<CheckpointAnswer, CheckpointError>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error @ CheckpointError::Keep(KeepError::TooMany { .. })) => {
            refused(StatusCode::CONFLICT, error.to_string())
        }
        Err(
            error @ (CheckpointError::Keep(KeepError::Unreadable(_) | KeepError::Store(_))
            | CheckpointError::Unanswered(_)),
        ) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no answer on checkpoints");
            refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

pub(super) async fn list(State(served): State<Served>) -> Response {
    answer(served.node.check_checkpoints().await.map(CheckpointAnswer::Checked))
}

pub(super) async fn create(State(served): State<Served>) -> Response {
    answer(served.node.create_checkpoint().await.map(CheckpointAnswer::Made))
}

pub(super) async fn take_in(State(served): State<Served>, export: Bytes) -> Response {
    match import(served.node.status().genesis, &export) {
        Ok(claims) => {
            let taken = served.node.import_checkpoints(claims).await;
            answer(taken.map(CheckpointAnswer::TakenIn))
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

pub(super) async fn remove(State(served): State<Served>, Path(height): Path<u64>) -> Response {
    let removed = served.node.remove_checkpoint(Height::new(height)).await;
    answer(removed.map(CheckpointAnswer::Removed))
}

pub(super) async fn recover(
    State(served): State<Served>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(height): Path<u64>,
) -> Response {
    tracing::info!(height, %from, "an operator asks to go back to a checkpoint");
    match served.node.recover_from_checkpoint(Height::new(height)).await {
        Ok(done) => answer(Ok(CheckpointAnswer::Recovered(done))),
        Err(RecoverError::Checkpoints(error)) => answer(Err(error)),
        Err(error @ RecoverError::Refused(SetBackRefused::NoCheckpoint { .. })) => {
            refused(StatusCode::NOT_FOUND, error.to_string())
        }
        Err(error @ RecoverError::Refused(SetBackRefused::DoesNotHold { .. })) => {
            refused(StatusCode::CONFLICT, error.to_string())
        }
        Err(
            error @ (RecoverError::Refused(SetBackRefused::Produces | SetBackRefused::NotGivenUp)
            | RecoverError::Unanswered(_)),
        ) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no answer on a checkpoint");
            refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}
