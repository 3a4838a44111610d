//! The small protocols, asked as another node would ask.

use std::io;

use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, noise,
    request_response::{self, Event, Message, OutboundFailure, ProtocolSupport},
    swarm::SwarmEvent,
    tcp, yamux,
};

use super::*;
use crate::ports::Misuse;
use crate::wire::{
    protocol::Protocol as Wire,
    request::{FixedMessage as _, Goodbye, Metadata, MetadataRequest, Ping, Status},
    response::{Chunk, ChunkDecoder, ChunkProgress, ErrorChunk, ResponseCode},
};

/// Sends bytes, reads bytes.
#[derive(Clone, Default)]
struct Bare;

impl request_response::Codec for Bare {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut wire = Vec::new();
        io.read_to_end(&mut wire).await?;
        Ok(wire)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        wire: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&wire).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}

type Asker = Swarm<request_response::Behaviour<Bare>>;

/// Somebody who asks by one protocol, connected to `server`.
async fn asker(protocol: Wire, server: &Node) -> Asker {
    let protocols = [(StreamProtocol::new(protocol.id()), ProtocolSupport::Outbound)];
    let config = request_response::Config::default().with_request_timeout(HANG);
    let mut asker = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| request_response::Behaviour::new(protocols, config))
        .unwrap()
        .build();
    asker.dial(tcp(&server.addresses)).unwrap();
    let connected = async {
        let is_up = |event: &_| matches!(event, SwarmEvent::ConnectionEstablished { .. });
        while !is_up(&asker.select_next_some().await) {}
    };
    timeout(HANG, connected).await.expect("it does not connect");
    asker
}

/// What comes back for `wire`.
async fn ask(asker: &mut Asker, server: PeerId, wire: Vec<u8>) -> Result<Vec<u8>, OutboundFailure> {
    asker.behaviour_mut().send_request(&server, wire);
    let answered = async {
        loop {
            let event = asker.select_next_some().await;
            if let SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) = event {
                return Err(error);
            }
            if let SwarmEvent::Behaviour(Event::Message { message, .. }) = event
                && let Message::Response { response, .. } = message
            {
                return Ok(response);
            }
        }
    };
    timeout(HANG, answered).await.expect("no answer")
}

/// Who misuses the server, and how.
async fn misused(events: &mut Events) -> (PeerId, Misuse) {
    let misused = |event: &NetworkEvent| {
        let NetworkEvent::Misused { peer, misuse, .. } = event else { return None };
        Some((*peer, *misuse))
    };
    events.find(misused).await
}

/// The one chunk that `wire` is.
fn chunk(protocol: Wire, wire: &[u8]) -> Chunk {
    let mut decoder = ChunkDecoder::new(protocol.response_limits().unwrap());
    let mut input = wire;
    assert!(matches!(decoder.advance(&mut input), Ok(Some(ChunkProgress::Header(_)))));
    let Ok(Some(ChunkProgress::Chunk(chunk))) = decoder.advance(&mut input) else {
        panic!("no chunk")
    };
    assert!(input.is_empty() && decoder.finish().is_ok());
    chunk
}

fn code(chunk: &Chunk) -> Option<ResponseCode> {
    if let Chunk::Error(ErrorChunk { code, .. }) = chunk { Some(*code) } else { None }
}

/// A server, and what it answers to one request.
async fn answer(protocol: Wire, wire: Vec<u8>) -> Chunk {
    let server = Node::empty().await;
    let mut asker = asker(protocol, &server).await;
    chunk(protocol, &ask(&mut asker, server.peer, wire).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_ping_and_metadata_are_answered() {
    let theirs = Status { finalized: BlockRoot::new([7; 32]), head: BlockRoot::new([8; 32]) };
    let ours = Status { finalized: BlockRoot::ZERO, head: BlockRoot::ZERO };
    let Chunk::Body(status) = answer(Wire::Status, theirs.encode_request()).await else { panic!() };
    assert_eq!(Status::from_body(&status), Ok(ours));
    let theirs = Ping { seq_number: 9 }.encode_request();
    let Chunk::Body(pong) = answer(Wire::Ping, theirs).await else { panic!() };
    assert_eq!(Ping::from_body(&pong), Ok(Ping { seq_number: 0 }));
    let theirs = MetadataRequest.encode_request();
    let Chunk::Body(metadata) = answer(Wire::Metadata, theirs).await else { panic!() };
    let none = Metadata { seq_number: 0, attnets: [0; 8], syncnets: 0 };
    assert_eq!(Metadata::from_body(&metadata), Ok(none));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goodbye_is_read_and_closed_without_an_answer() {
    let server = Node::empty().await;
    let mut asker = asker(Wire::Goodbye, &server).await;
    let wire = Goodbye::TooManyPeers.encode_request();
    assert_eq!(ask(&mut asker, server.peer, wire).await.unwrap(), Vec::<u8>::new());
    assert!(asker.is_connected(&server.peer), "whether to leave is up to who says it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_small_request_is_refused_and_the_connection_stays() {
    let mut server = Node::empty().await;
    let mut asker = asker(Wire::Ping, &server).await;
    let ping = Ping { seq_number: 9 }.encode_request();
    for wire in [vec![0xff; 500], ping[..9].to_vec(), [&ping[..], b"x"].concat(), Vec::new()] {
        let answer = ask(&mut asker, server.peer, wire).await.unwrap();
        assert_eq!(code(&chunk(Wire::Ping, &answer)), Some(ResponseCode::InvalidRequest));
    }
    let answer = ask(&mut asker, server.peer, ping).await.unwrap();
    assert_eq!(code(&chunk(Wire::Ping, &answer)), None);
    let who = *asker.local_peer_id();
    assert_eq!(misused(&mut server.events).await, (who, Misuse::MalformedRequest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_pings_is_told_to_wait_and_holds_up_no_blocks() {
    let source = MemorySource::filled(3, 10);
    let mut server = Node::new(Arc::clone(&source)).await;
    let mut asker = asker(Wire::Ping, &server).await;
    let mut refused = 0;
    for _ in 0..100 {
        let ping = Ping { seq_number: 9 }.encode_request();
        let answer = chunk(Wire::Ping, &ask(&mut asker, server.peer, ping).await.unwrap());
        if let Chunk::Error(error) = answer {
            assert_eq!(error.code, ResponseCode::RateLimited);
            assert!(error.text.wait().is_some(), "{}", error.text);
            refused += 1;
        }
    }
    assert!(refused > 0, "100 pings at once were answered");
    let who = *asker.local_peer_id();
    assert_eq!(misused(&mut server.events).await, (who, Misuse::TooManyRequests));
    let mut client = Node::empty().await;
    client.connect(server.peer, &tcp(&server.addresses)).await;
    assert_eq!(client.fetch(server.peer, 1, 3).await.blocks.len(), 3);
}
