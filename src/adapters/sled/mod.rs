//! The chain store on disk: block bodies in segment files, everything else in an embedded database.

mod data_dir;
mod database;
mod open_error;
mod record;
mod run_state;
mod segments;

pub use database::IndexError;
pub use open_error::{BlockDamage, OpenError};
pub use record::RecordError;
pub use run_state::{Listed, RecordKey, RecordKind, RunState, RunStateError};
pub use segments::SegmentError;
