//! What today's node asks of its execution client for each block of a sync, over HTTP one after the
//! other: two fork choices around the new payload, the block back, a receipt for each transaction.
//!
//! The client here answers at once and executes nothing, so this is the least that the calls cost:
//! JSON, HTTP on loopback and two processes' worth of waking up, in one. Tokens and retries are
//! left out.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use alys_sync::wire::block::ExecutionPayload;
use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// An execution client that agrees to everything, and a connection to it.
pub(super) struct ExecutionClient {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    /// Ends both ends.
    _ends: JoinSet<()>,
}

/// The calls failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecutionError {
    #[error("the execution client of the old algorithm cannot be reached")]
    Connect(#[from] io::Error),
    #[error("a call to the execution client of the old algorithm failed")]
    Call(#[from] hyper::Error),
    #[error("a call to the execution client of the old algorithm cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("an answer of the execution client of the old algorithm is no JSON")]
    Answer(#[from] serde_json::Error),
    #[error("the execution client of the old algorithm does not know the call {method}")]
    Unknown { method: &'static str },
}

/// What the client knows: the last payload.
type Last = Arc<Mutex<Value>>;

impl ExecutionClient {
    /// Starts one on loopback.
    pub(super) async fn start() -> Result<Self, ExecutionError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let service = Router::new().route("/", post(answer)).with_state(Last::default());
        let mut ends = JoinSet::new();
        ends.spawn(async move {
            if let Err(error) = axum::serve(listener, service).await {
                tracing::warn!(%error, "the execution client of the old algorithm has ended");
            }
        });
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        ends.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the execution client has ended");
            }
        });
        Ok(Self { sender, host: address.to_string(), _ends: ends })
    }

    /// All calls for one block, in the order of today's node.
    pub(super) async fn take_in(
        &mut self,
        payload: &ExecutionPayload,
    ) -> Result<(), ExecutionError> {
        let choice = |head: String| {
            json!([{ "headBlockHash": head, "safeBlockHash": head,
            "finalizedBlockHash": head }, null])
        };
        let hash = payload.block_hash.to_string();
        self.call("engine_forkchoiceUpdatedV2", choice(payload.parent_hash.to_string())).await?;
        self.call("engine_newPayloadV2", json!([payload_json(payload)])).await?;
        self.call("engine_forkchoiceUpdatedV2", choice(hash.clone())).await?;
        let block = self.call("eth_getBlockByHash", json!([hash, true])).await?;
        for transaction in block["transactions"].as_array().into_iter().flatten() {
            self.call("eth_getTransactionReceipt", json!([transaction["hash"]])).await?;
        }
        Ok(())
    }

    async fn call(&mut self, method: &'static str, params: Value) -> Result<Value, ExecutionError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = Request::post("/")
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(&body)?)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let answer = response.into_body().collect().await?.to_bytes();
        let mut answer: Value = serde_json::from_slice(&answer)?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(ExecutionError::Unknown { method }),
        }
    }
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// The payload as the engine takes it.
fn payload_json(payload: &ExecutionPayload) -> Value {
    let data = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let transactions: Vec<_> = payload.transactions.iter().map(data).collect();
    json!({
        "parentHash": payload.parent_hash.to_string(),
        "feeRecipient": payload.fee_recipient.to_string(),
        "stateRoot": payload.state_root.to_string(),
        "receiptsRoot": payload.receipts_root.to_string(),
        "logsBloom": data(&payload.logs_bloom),
        "prevRandao": payload.prev_randao.to_string(),
        "blockNumber": quantity(payload.block_number.get()),
        "gasLimit": quantity(payload.gas_limit),
        "gasUsed": quantity(payload.gas_used),
        "timestamp": quantity(payload.timestamp),
        "extraData": data(&payload.extra_data),
        "baseFeePerGas": format!("{:#x}", payload.base_fee_per_gas),
        "blockHash": payload.block_hash.to_string(),
        "transactions": transactions,
        "withdrawals": [],
    })
}

async fn answer(State(last): State<Last>, Json(mut call): Json<Value>) -> Json<Value> {
    let result = match call["method"].as_str().unwrap_or_default() {
        "engine_newPayloadV2" => {
            let payload = call["params"][0].take();
            let hash = payload["blockHash"].clone();
            *last.lock().unwrap_or_else(PoisonError::into_inner) = payload;
            json!({ "status": "VALID", "latestValidHash": hash, "validationError": null })
        }
        "engine_forkchoiceUpdatedV2" => {
            let head = &call["params"][0]["headBlockHash"];
            let status = json!({ "status": "VALID", "latestValidHash": head });
            json!({ "payloadStatus": status, "payloadId": null })
        }
        "eth_getBlockByHash" => block(&last.lock().unwrap_or_else(PoisonError::into_inner)),
        "eth_getTransactionReceipt" => json!({
            "transactionHash": call["params"][0],
            "status": "0x1",
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x3b9aca00",
            "logs": [],
            "logsBloom": format!("0x{}", "0".repeat(512)),
        }),
        _ => return Json(json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601 } })),
    };
    Json(json!({ "jsonrpc": "2.0", "id": 1, "result": result }))
}

/// The block that `payload` is, with its transactions in full.
fn block(payload: &Value) -> Value {
    let mut block = payload.clone();
    let transactions = payload["transactions"].as_array().into_iter().flatten();
    let full = |(index, input)| json!({ "hash": format!("{index:#066x}"), "input": input });
    block["transactions"] = transactions.enumerate().map(full).collect();
    block
}

#[cfg(test)]
mod tests {
    use alys_sync::consensus::generate::{GenerateOptions, Transactions, generate};

    use super::*;

    #[tokio::test]
    async fn all_calls_for_a_block_are_answered() {
        let transactions = Transactions::Fixed { per_block: 2, bytes: 120 };
        let options = GenerateOptions { blocks: 1, transactions, ..GenerateOptions::default() };
        let chain = generate(options).unwrap();
        let payload = chain.blocks().next().unwrap().payload();
        let mut client = ExecutionClient::start().await.unwrap();
        client.take_in(&payload).await.unwrap();
        let block = client.call("eth_getBlockByHash", json!(["", true])).await.unwrap();
        assert_eq!(block["blockHash"], payload.block_hash.to_string());
        assert_eq!(block["blockNumber"], "0x1");
        let hashes = block["transactions"].as_array().unwrap().iter().map(|one| &one["hash"]);
        assert_eq!(
            hashes.collect::<Vec<_>>(),
            [&json!(format!("{:#066x}", 0)), &json!(format!("{:#066x}", 1))]
        );
        let error = client.call("eth_nothing", json!([])).await.unwrap_err();
        assert!(error.to_string().contains("eth_nothing"), "{error}");
    }
}
