//! What an operator may choose about selection.

use super::{OperationWeights, SelectionStrategy};

/// Choices of how peers are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SelectionSettings {
    /// Who comes first.
    pub strategy: SelectionStrategy,
    /// What counts for which operation, where the strategy asks what a peer is worth: adaptive,
    /// weighted, diversified, and all others between peers that are alike.
    pub weights: OperationWeights,
}
