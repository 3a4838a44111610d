//! Who is chosen of those who may be asked.
//!
//! Owns: the order of preference between usable peers for an operation, as one of several
//! strategies wants it, and whose turn it is when somebody was not asked for long. Does not own:
//! who is usable ([`crate::reputation`]), or who is asked for how much
//! ([`crate::scheduler`]).
//!
//! Pure: time comes in with every call, chance follows from a seed, and nothing depends on the
//! order in which peers are given. No strategy leaves anybody out: all it does is to put some
//! behind others, so that the last usable peers are asked however bad they look.

mod estimates;
mod region;
mod selector;
mod settings;
mod standing;
mod strategy;
mod weights;

pub use region::ip_of;
pub use selector::{Selector, TURN_AFTER};
pub use settings::SelectionSettings;
pub use standing::{Candidate, Load, Standing};
pub use strategy::{SelectionStrategy, SelectionStrategyError};
pub use weights::{Experience, Operation, OperationWeights, QualityWeights};
