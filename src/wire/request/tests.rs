//! Requests against the golden vectors.

use proptest::prelude::*;
use serde::Deserialize;

use super::{
    BlocksByRangeRequest, FixedMessage, Goodbye, MessageError, Metadata, MetadataRequest, Ping,
    REQUEST_BYTES_MAX, RequestError, Status,
};
use crate::{
    types::Height,
    wire::{
        framing::FrameError,
        protocol::Protocol,
        vectors::{self, Hex},
    },
};

#[derive(Deserialize)]
struct RequestRow {
    name: String,
    protocol: String,
    ssz_hex: Hex,
    wire_hex: Hex,
}

fn row(name: &str) -> RequestRow {
    let rows: Vec<RequestRow> = vectors::rows("rpc_requests.json");
    rows.into_iter().find(|row| row.name == name).unwrap()
}

/// Decodes the wire bytes, and checks that body and wire bytes come back from the message.
fn decoded<M: FixedMessage>(row: &RequestRow) -> M {
    let message = M::decode_request(&row.wire_hex.0).unwrap();
    assert_eq!(message.to_body(), row.ssz_hex.0, "{}", row.name);
    assert_eq!(message.encode_request(), row.wire_hex.0, "{}", row.name);
    assert!(row.wire_hex.0.len() <= REQUEST_BYTES_MAX, "{}", row.name);
    message
}

#[test]
fn every_golden_request_decodes_and_encodes_to_its_bytes() {
    let rows: Vec<RequestRow> = vectors::rows("rpc_requests.json");
    assert_eq!(rows.len(), 18);
    for row in &rows {
        let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.id() == row.protocol);
        match protocol.unwrap() {
            Protocol::Status => drop(decoded::<Status>(row)),
            Protocol::Goodbye => {
                let goodbye = decoded::<Goodbye>(row);
                let unknown = matches!(goodbye, Goodbye::Unknown { .. });
                assert_eq!(unknown, row.name == "goodbye_unknown", "{}", row.name);
            }
            Protocol::BlocksByRange => drop(decoded::<BlocksByRangeRequest>(row)),
            Protocol::Ping => drop(decoded::<Ping>(row)),
            Protocol::Metadata => drop(decoded::<MetadataRequest>(row)),
        }
    }
}

#[test]
fn any_range_can_be_asked_for() {
    for (name, start, count) in [
        ("blocks_by_range_1_1024", 1, 1024),
        ("blocks_by_range_0_1", 0, 1),
        ("blocks_by_range_big", 72_623_859_790_382_856, u64::MAX),
        ("blocks_by_range_count0", 7, 0),
    ] {
        let request = BlocksByRangeRequest { start: Height::new(start), count };
        assert_eq!(decoded::<BlocksByRangeRequest>(&row(name)), request);
    }
}

#[test]
fn refuses_a_request_with_bytes_behind() {
    let wire = [&row("ping_1").wire_hex.0[..], &[0]].concat();
    assert_eq!(Ping::decode_request(&wire), Err(RequestError::TrailingBytes { count: 1 }));
    let refusal = Err(RequestError::TrailingBytes { count: 1 });
    assert_eq!(MetadataRequest::decode_request(&[0]), refusal);
}

#[test]
fn refuses_every_truncated_request() {
    let wire = row("blocks_by_range_1_1024").wire_hex.0;
    for received in 0..wire.len() {
        assert_eq!(
            BlocksByRangeRequest::decode_request(&wire[..received]),
            Err(RequestError::Cut { received })
        );
    }
}

#[test]
fn refuses_a_request_of_another_length() {
    let ping = row("ping_1").wire_hex.0;
    assert_eq!(
        BlocksByRangeRequest::decode_request(&ping),
        Err(FrameError::LengthOutOfRange { announced: 8, min: 16, max: 16 }.into())
    );
    assert_eq!(
        Status::from_body(&[0; 63]),
        Err(MessageError::WrongLength { expected: 64, found: 63 })
    );
}

#[test]
fn refuses_metadata_with_bits_that_stand_for_nothing() {
    let mut body = [0; 17];
    body[16] = 0x10;
    assert_eq!(Metadata::from_body(&body), Err(MessageError::UnknownSyncnets));
}

proptest! {
    #[test]
    fn any_range_request_survives(start in any::<u64>(), count in any::<u64>()) {
        let request = BlocksByRangeRequest { start: Height::new(start), count };
        let wire = request.encode_request();
        prop_assert!(wire.len() <= REQUEST_BYTES_MAX);
        prop_assert_eq!(BlocksByRangeRequest::decode_request(&wire), Ok(request));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = BlocksByRangeRequest::decode_request(&bytes);
        let _ = Goodbye::decode_request(&bytes);
        let _ = MetadataRequest::decode_request(&bytes);
        let _ = Metadata::from_body(&bytes);
    }
}
