//! A stream that takes as much as the test allows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::io::AsyncWrite;
use libp2p::request_response::Codec as _;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    adapters::libp2p::{codec::RangeCodec, exchange::Reply},
    wire::protocol::Protocol as WireProtocol,
};

#[derive(Default)]
struct Window {
    taken: Vec<u8>,
    room: usize,
    writer: Option<Waker>,
}

struct Stream(Arc<Mutex<Window>>);

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut window = self.0.lock().unwrap();
        let count = bytes.len().min(window.room);
        if count == 0 {
            window.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        window.room -= count;
        window.taken.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The peer's end of a stream into which our codec writes a reply.
pub(super) struct Reader {
    window: Arc<Mutex<Window>>,
    written: JoinHandle<io::Result<()>>,
}

impl Reader {
    pub(super) fn of(reply: Reply) -> Self {
        let window = Arc::new(Mutex::new(Window::default()));
        let mut stream = Stream(Arc::clone(&window));
        let written = tokio::spawn(async move {
            let protocol = libp2p::StreamProtocol::new(WireProtocol::BlocksByRange.id());
            RangeCodec::default().write_response(&protocol, &mut stream, reply).await
        });
        Self { window, written }
    }

    /// Takes up to so many bytes more, as they come.
    pub(super) fn take(&self, bytes: usize) {
        let mut window = self.window.lock().unwrap();
        window.room = window.room.saturating_add(bytes);
        window.writer.take().into_iter().for_each(Waker::wake);
    }

    /// What was taken so far.
    pub(super) fn taken(&self) -> Vec<u8> {
        self.window.lock().unwrap().taken.clone()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.written.is_finished()
    }

    /// Takes everything; the whole reply, and how its writing ended.
    pub(super) async fn end(mut self) -> (Vec<u8>, io::Result<()>) {
        self.take(usize::MAX);
        let written = timeout(LONG, &mut self.written).await.expect("the reply hangs").unwrap();
        (self.taken(), written)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.written.abort();
    }
}

/// Far longer than anything takes in virtual time.
pub(super) const LONG: Duration = Duration::from_secs(10_000);
