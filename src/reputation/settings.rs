//! What an operator may choose about how peers are judged.

use std::time::Duration;

use super::score::ScoreWeights;

/// Choices of reputation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReputationSettings {
    /// What each part of the score counts.
    pub weights: ScoreWeights,
    /// In which time half of what was observed is forgotten, also while the node does not run.
    /// Too low: a bad peer is a stranger again soon. Too high: a peer that was repaired is not
    /// given another chance.
    pub half_life: Duration,
    /// How long a provable liar is kept out the first time; each further time is four times as
    /// long. Too low: it lies again soon. Too high: a node that was repaired stays out.
    pub ban: Duration,
    /// The same for a peer that floods us with requests. It may be a node with a defect, so
    /// shorter.
    pub misuse_ban: Duration,
    /// The longest ban. An offence is forgotten when so much time has passed after its ban.
    pub ban_max: Duration,
}

impl Default for ReputationSettings {
    fn default() -> Self {
        Self {
            weights: ScoreWeights::default(),
            half_life: Duration::from_secs(3_600),
            ban: Duration::from_secs(3_600),
            misuse_ban: Duration::from_secs(60),
            ban_max: Duration::from_secs(7 * 24 * 3_600),
        }
    }
}
