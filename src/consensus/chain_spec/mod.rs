//! The chain specification: the operator's own `chain.json`, as far as sync needs it.
//!
//! Owns: the keys that the rules of a full node depend on, their validation, and the questions
//! "who may sign at this height" and "how long is a slot at this height".
//! Does not own: keys for mining, the wallet and the federation's addresses. Live nodes have them
//! in the same file, so keys that are not known here are left alone.
//!
//! Two keys are ours and optional, because authorities and slot times have changed on live
//! networks and the file otherwise describes only today:
//! `"laterAuthorities": [{"fromHeight": 100, "authorities": ["0x..", ..]}, ..]` and
//! `"laterSlotDurations": [{"fromHeight": 100, "slotDuration": 5000}, ..]`. Heights rise strictly.
//! A third, `"syntheticPayloads": true`, turns the check of execution block hashes off.
//!
//! Failure: [`ChainSpecError`] names the key, its value and what would be right.

mod error;
mod read;

use serde_json::{Value, json};

use super::{
    authorities::AuthoritySet, bls::PublicKey, by_height::ByHeight, slot_rule::SlotDuration,
};
use crate::types::Height;

pub use error::{ChainSpecError, Expected};

/// What the nodes of one chain agree on before the first block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSpec {
    /// Who may sign, by height.
    pub authorities: ByHeight<AuthoritySet>,
    /// How long a slot lasts, by height.
    pub slot_durations: ByHeight<SlotDuration>,
    /// The id of the chain in merge mining and in execution.
    pub chain_id: u32,
    /// The proof-of-work target that the chain began with, in Bitcoin's compact form.
    pub bits: u32,
    /// How many blocks may follow the last finalized one without proof of work.
    pub max_blocks_without_pow: u64,
    /// How the proof-of-work target follows the time that blocks take.
    pub retarget: RetargetParams,
    /// The chain's execution payloads are made up: their block hashes are linked, but are the
    /// hash of nothing. Only for chains of test vectors; on a live chain this gives up a check.
    pub synthetic_payloads: bool,
}

/// How the proof-of-work target follows the time that blocks take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetargetParams {
    /// The target never changes.
    pub never: bool,
    /// The easiest target, in Bitcoin's compact form.
    pub limit: u32,
    /// The hardest target, in Bitcoin's compact form.
    pub lower_limit: u32,
    /// The most that a target changes at once. Unit: percent, 0 to 100.
    pub max_adjustment_percent: u8,
    /// The time that all blocks between two changes should take. At least `spacing`.
    pub timespan: u64,
    /// The time that one block should take, in the unit of `timespan`. At least 1.
    pub spacing: u64,
}

impl ChainSpec {
    /// The specification that this JSON text describes.
    ///
    /// # Errors
    /// [`ChainSpecError`] for text that is no JSON object, and for a known key that is missing or
    /// has a value that cannot be used.
    pub fn from_json(text: &str) -> Result<Self, ChainSpecError> {
        read::chain_spec(text)
    }

    /// The JSON text of this specification; [`ChainSpec::from_json`] gives it back.
    pub fn to_json(&self) -> String {
        let mut spec = json!({
            "slotDuration": self.slot_durations.first().as_ms(),
            "authorities": key_texts(self.authorities.first()),
            "chainId": self.chain_id,
            "bits": self.bits,
            "maxBlocksWithoutPow": self.max_blocks_without_pow,
            "retargetParams": {
                "powNoRetargeting": self.retarget.never,
                "powLimit": self.retarget.limit,
                "powLowerLimit": self.retarget.lower_limit,
                "maxPowAdjustment": self.retarget.max_adjustment_percent,
                "powTargetTimespan": self.retarget.timespan,
                "powTargetSpacing": self.retarget.spacing,
            },
            "syntheticPayloads": self.synthetic_payloads,
        });
        let authorities: Vec<Value> = (self.authorities.later())
            .map(|(height, set)| json!({"fromHeight": height, "authorities": key_texts(set)}))
            .collect();
        if !authorities.is_empty() {
            spec["laterAuthorities"] = authorities.into();
        }
        let durations: Vec<Value> = (self.slot_durations.later())
            .map(|(height, slot)| json!({"fromHeight": height, "slotDuration": slot.as_ms()}))
            .collect();
        if !durations.is_empty() {
            spec["laterSlotDurations"] = durations.into();
        }
        format!("{spec:#}\n")
    }

    /// The authorities that may sign the block at `height`.
    pub fn authorities_at(&self, height: Height) -> &AuthoritySet {
        self.authorities.at(height)
    }

    /// How long a slot lasts at `height`.
    pub fn slot_duration_at(&self, height: Height) -> SlotDuration {
        *self.slot_durations.at(height)
    }
}

fn key_texts(set: &AuthoritySet) -> Vec<String> {
    set.keys().iter().map(PublicKey::to_string).collect()
}

#[cfg(test)]
mod tests;
