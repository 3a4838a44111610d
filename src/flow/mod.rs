//! What moves between the actors: segments of blocks, and the byte permits that bound them.
//!
//! Mailboxes are unbounded, so permits are what bounds them: every segment, from the request that
//! asks for it to the import that ends it, carries a permit of one [`ByteBudget`].

mod budget;
mod segment;

pub use budget::{BudgetGauge, ByteBudget, BytePermit};
pub use segment::{Origin, RawSegment, RequestId, Segment};
