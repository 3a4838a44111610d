//! Connections that close in time, whatever the other end does.
//!
//! To close a connection in order is to send what still waits. Over a link that is cut nothing is
//! taken any more, and TCP gives up only after minutes: so long the swarm would hold the
//! connection, and the peer would count as connected.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Sleep, sleep};

/// How long the orderly end of a connection may take. Unit: time. If too low: peers learn of the
/// end by an error. If too high: after a cut, a peer counts as connected for longer, and is dialled
/// again later.
pub(super) const CLOSE_MAX: Duration = Duration::from_millis(500);

/// A connection that is let go of after [`CLOSE_MAX`] of closing.
pub(super) struct PromptClose<M> {
    streams: Pin<Box<M>>,
    /// Since closing began.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<M> PromptClose<M> {
    pub(super) fn new(streams: M) -> Self {
        Self { streams: Box::pin(streams), deadline: None }
    }
}

impl<M: StreamMuxer> StreamMuxer for PromptClose<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.streams.as_mut().poll_inbound(context)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.streams.as_mut().poll_outbound(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(closed) = self.streams.as_mut().poll_close(context) {
            return Poll::Ready(closed);
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(CLOSE_MAX)));
        deadline.as_mut().poll(context).map(Ok)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.streams.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use futures::io::Cursor;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// A connection whose close waits for a peer that takes nothing.
    struct Stuck;

    impl StreamMuxer for Stuck {
        type Substream = Cursor<Vec<u8>>;
        type Error = Infallible;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<StreamMuxerEvent, Infallible>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connection_whose_peer_takes_nothing_any_more_closes_in_time() {
        let (mut stuck, began) = (Box::pin(PromptClose::new(Stuck)), Instant::now());
        let close = poll_fn(|context| stuck.as_mut().poll_close(context));
        timeout(2 * CLOSE_MAX, close).await.expect("it hangs").unwrap();
        assert_eq!(began.elapsed(), CLOSE_MAX);
    }
}
