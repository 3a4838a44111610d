//! Asks a node for its status and its checkpoints, or to change something.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Method, Request, StatusCode, Uri, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::{
    ADMIN_HEADER, BanAnswer, BanRequest, CHECKPOINT_PATH, CHECKPOINTS_PATH, CheckpointAnswer,
    NodeReport, STATUS_PATH, ban_path, checkpoint_path, recover_path,
};
use crate::{
    importer::SET_BACK_DEADLINE,
    types::{Height, PeerId},
};

/// How long the whole question may take. Unit: time. A node answers at once, or after the ten
/// seconds it waits for children that hang. Too low: a busy node seems dead. Too high: an operator
/// waits for a hung one.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The longest answer that is read. Unit: bytes. A report takes 2 kB and 300 bytes a peer. Too low:
/// a node with many peers cannot be asked. Too high: memory for whatever else listens there.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The port of HTTP where an address names none.
const DEFAULT_PORT: u16 = 80;

fn why(text: &Option<String>) -> String {
    let kind = || ": it is no node of this kind".to_owned();
    text.as_ref().map_or_else(kind, |text| format!(": {text}"))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address is of another kind.
    #[error("cannot ask {url}: give an address such as http://127.0.0.1:9092")]
    Url {
        /// What was given.
        url: Uri,
    },
    /// Nobody listens there.
    #[error("cannot connect to {authority}: no node answers there")]
    Connect {
        /// Where.
        authority: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The connection failed.
    #[error("the connection to {authority} failed")]
    Http {
        /// Where.
        authority: String,
        /// The cause.
        #[source]
        source: hyper::Error,
    },
    /// The answer is an error.
    #[error("{authority} answers {code} to {path}{}", why(text))]
    Refused {
        /// Where.
        authority: String,
        /// What was asked for.
        path: String,
        /// What it says.
        code: StatusCode,
        /// What it says to people, if it is a node of this kind.
        text: Option<String>,
    },
    /// The answer is too long.
    #[error("the answer of {authority} has more than {max} bytes: it is no node of this kind")]
    TooLong {
        /// Where.
        authority: String,
        /// The limit, in bytes.
        max: usize,
    },
    /// The answer is no status.
    #[error("the answer of {authority} is none that this release understands")]
    Malformed {
        /// Where.
        authority: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// No answer in time.
    #[error("{authority} did not answer within {waited:?}")]
    TimedOut {
        /// Where.
        authority: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// The status of the node at `url`, whose path does not matter.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn ask_status(url: &Uri) -> Result<NodeReport, AskError> {
    ask(url, Method::GET, STATUS_PATH.to_owned(), Bytes::new()).await
}

/// Has the node at `url` keep `peer` out for so many seconds, or as long as a liar.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn ban_peer(
    url: &Uri,
    peer: PeerId,
    seconds: Option<u64>,
) -> Result<BanAnswer, AskError> {
    let body = serde_json::to_vec(&BanRequest { seconds }).unwrap_or_default();
    ask(url, Method::POST, ban_path(peer), body.into()).await
}

/// Has the node at `url` let `peer` in again.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn lift_ban(url: &Uri, peer: PeerId) -> Result<BanAnswer, AskError> {
    ask(url, Method::DELETE, ban_path(peer), Bytes::new()).await
}

/// All checkpoints of the node at `url`, each compared with its chain.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn check_checkpoints(url: &Uri) -> Result<CheckpointAnswer, AskError> {
    ask(url, Method::GET, CHECKPOINTS_PATH.to_owned(), Bytes::new()).await
}

/// Has the node at `url` make a checkpoint of its head.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn create_checkpoint(url: &Uri) -> Result<CheckpointAnswer, AskError> {
    ask(url, Method::POST, CHECKPOINT_PATH.to_owned(), Bytes::new()).await
}

/// Has the node at `url` take in the claims of an exported file.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn import_checkpoints(url: &Uri, export: Vec<u8>) -> Result<CheckpointAnswer, AskError> {
    ask(url, Method::POST, CHECKPOINTS_PATH.to_owned(), export.into()).await
}

/// Has the node at `url` forget the checkpoint that was made by hand at `height`.
///
/// # Errors
/// [`AskError`], after at most 15 s.
pub async fn remove_checkpoint(url: &Uri, height: Height) -> Result<CheckpointAnswer, AskError> {
    ask(url, Method::DELETE, checkpoint_path(height), Bytes::new()).await
}

/// Has the node at `url` go back to the checkpoint at `height`.
///
/// # Errors
/// [`AskError`], after at most five minutes: what is above is forgotten block by block.
pub async fn recover_from_checkpoint(
    url: &Uri,
    height: Height,
) -> Result<CheckpointAnswer, AskError> {
    let within = SET_BACK_DEADLINE + ANSWER_WITHIN;
    ask_within(within, url, Method::POST, recover_path(height), Bytes::new()).await
}

/// How every answer of a node that is a refusal looks.
#[derive(Deserialize)]
struct Refusal {
    refused: String,
}

async fn ask<T: DeserializeOwned>(
    url: &Uri,
    method: Method,
    path: String,
    body: Bytes,
) -> Result<T, AskError> {
    ask_within(ANSWER_WITHIN, url, method, path, body).await
}

async fn ask_within<T: DeserializeOwned>(
    within: Duration,
    url: &Uri,
    method: Method,
    path: String,
    body: Bytes,
) -> Result<T, AskError> {
    let http = url.scheme_str().is_none_or(|scheme| scheme == "http");
    let Some(host) = url.host().filter(|_| http) else {
        return Err(AskError::Url { url: url.clone() });
    };
    let port = url.port_u16().unwrap_or(DEFAULT_PORT);
    let authority = format!("{host}:{port}");
    // An IPv6 address stands in brackets in a URL and without them everywhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let request = Request::builder()
        .method(method)
        .uri(&path)
        .header(header::HOST, &authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(ADMIN_HEADER, "1")
        .body(Full::new(body))
        .expect("a fixed path and a host taken from a URL make a request");
    match timeout(within, exchange(host, port, &authority, &path, request)).await {
        Ok(answer) => serde_json::from_slice(&answer?)
            .map_err(|source| AskError::Malformed { authority, source }),
        Err(_) => Err(AskError::TimedOut { authority, waited: within }),
    }
}

async fn exchange(
    host: &str,
    port: u16,
    authority: &str,
    path: &str,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, AskError> {
    let http = |source| AskError::Http { authority: authority.to_owned(), source };
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|source| AskError::Connect { authority: authority.to_owned(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    // The connection ends with this set, whether or not there was an answer.
    let mut connections = JoinSet::new();
    connections.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection ended early");
        }
    });
    let response = sender.send_request(request).await.map_err(http)?;
    let code = response.status();
    let body = read_body(response.into_body(), authority).await?;
    if code == StatusCode::OK {
        return Ok(body);
    }
    let text = serde_json::from_slice(&body).ok().map(|Refusal { refused }| refused);
    let (authority, path) = (authority.to_owned(), path.to_owned());
    Err(AskError::Refused { authority, path, code, text })
}

async fn read_body(body: Incoming, authority: &str) -> Result<Bytes, AskError> {
    let authority = authority.to_owned();
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(AskError::TooLong { authority, max: ANSWER_BYTES_MAX })
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => Err(AskError::Http { authority, source: *source }),
            Err(other) => {
                let source = io::Error::other(other);
                Err(AskError::Connect { authority, source })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers one request with `answer` and closes.
    async fn answering(answer: Vec<u8>) -> Uri {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await.unwrap();
            // A client that has seen enough closes before everything is sent.
            let _ = stream.write_all(&answer).await;
        });
        format!("http://{address}").parse().unwrap()
    }

    #[tokio::test]
    async fn refuses_answers_that_are_no_status() {
        let url = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()).await;
        assert!(matches!(ask_status(&url).await, Err(AskError::Malformed { .. })));
        let url = answering(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        assert!(matches!(
            ask_status(&url).await,
            Err(AskError::Refused { code: StatusCode::NOT_FOUND, .. })
        ));
        let url = answering(b"SSH-2.0\r\n\r\n".to_vec()).await;
        assert!(matches!(ask_status(&url).await, Err(AskError::Http { .. })));
    }

    #[tokio::test]
    async fn answer_without_end_is_cut_at_the_limit() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(ANSWER_BYTES_MAX + 100, b' ');
        let url = answering(answer).await;
        assert!(matches!(ask_status(&url).await, Err(AskError::TooLong { .. })));
    }

    #[tokio::test]
    async fn says_that_nobody_listens() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url: Uri = format!("http://{}/x", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        assert!(matches!(ask_status(&url).await, Err(AskError::Connect { .. })));
        for other in ["https://127.0.0.1:1/", "/status"] {
            let url: Uri = other.parse().unwrap();
            assert!(matches!(ask_status(&url).await, Err(AskError::Url { .. })), "{other}");
        }
    }
}
