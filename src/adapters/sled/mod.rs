//! The chain store on disk: block bodies in segment files.

mod segments;

pub use segments::SegmentError;
