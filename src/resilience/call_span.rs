//! The span of one request: from the call to the end of the reply, with what came of it.

use std::{sync::Arc, time::Duration};

use tracing::Span;

use super::{breaker::BreakerState, recovery::ErrorClass};
use crate::{
    ports::{Clock, RequestError},
    types::{HeightRange, PeerId},
};

/// What a call has come to. Its figures are written when it is dropped.
pub(super) struct CallSpan {
    span: Span,
    clock: Arc<dyn Clock>,
    begun: Duration,
    first_block: Option<Duration>,
    blocks: u64,
    bytes: u64,
    outcome: &'static str,
}

impl CallSpan {
    /// The span of a request that is about to be sent, below that of the caller.
    pub(super) fn begin(
        clock: Arc<dyn Clock>,
        peer: PeerId,
        range: HeightRange,
        breaker: BreakerState,
    ) -> Self {
        let span = tracing::debug_span!(
            "peer_call",
            %peer,
            %range,
            breaker = breaker.name(),
            blocks = tracing::field::Empty,
            bytes = tracing::field::Empty,
            first_block_ms = tracing::field::Empty,
            outcome = tracing::field::Empty,
            error = tracing::field::Empty,
            error_class = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        let begun = clock.now();
        Self { span, clock, begun, first_block: None, blocks: 0, bytes: 0, outcome: "dropped" }
    }

    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// A block of so many bytes came.
    pub(super) fn block(&mut self, bytes: u64) {
        if self.first_block.is_none() {
            self.first_block = Some(self.clock.now().saturating_sub(self.begun));
        }
        self.blocks += 1;
        self.bytes += bytes;
    }

    /// The reply has ended well.
    pub(super) const fn ended(&mut self) {
        self.outcome = "ended";
    }

    /// The request, or the rest of its reply, failed.
    pub(super) fn failed(&mut self, error: &RequestError) {
        self.outcome = "failed";
        self.span.record("error", tracing::field::display(error));
        if let Some(class) = ErrorClass::of_request(error) {
            self.span.record("error_class", class.name());
        }
        // By this field collectors know a span that failed.
        self.span.record("otel.status_code", "error");
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        // OpenTelemetry has signed numbers only: others would leave as text.
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.span.record("blocks", signed(self.blocks));
        self.span.record("bytes", signed(self.bytes));
        self.span.record("outcome", self.outcome);
        if let Some(first) = self.first_block {
            self.span.record("first_block_ms", first.as_secs_f64() * 1e3);
        }
    }
}
