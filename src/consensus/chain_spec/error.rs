//! What can be wrong with a chain specification, told so that the operator can mend it.

use std::fmt;

use crate::consensus::{
    authorities::{AUTHORITIES_MAX, AuthoritySetError},
    bls::{BlsError, PUBLIC_KEY_BYTES},
    by_height::ByHeightError,
};

/// Why a text is no usable chain specification. Keys are given as a path into the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainSpecError {
    /// The text is not JSON.
    #[error("not JSON (line {line}, column {column}): give the node's own chain.json")]
    NotJson {
        /// Line of the first character that does not fit, from 1.
        line: usize,
        /// Column of that character, from 1.
        column: usize,
    },
    /// The text is JSON, but no object.
    #[error("not a JSON object: give the node's own chain.json")]
    NotAnObject,
    /// A key that the rules need is not there.
    #[error("{key} is missing: add {expected}")]
    Missing {
        /// Where it should be.
        key: String,
        /// What it should hold.
        expected: Expected,
    },
    /// A value of the wrong kind or out of its range.
    #[error("{key} is {value}: give {expected}")]
    WrongValue {
        /// Where it is.
        key: String,
        /// The value as written, shortened.
        value: String,
        /// What it should be.
        expected: Expected,
    },
    /// Text of the right form that is nobody's key.
    #[error("{key} is {value}, which is no usable public key: give {}", Expected::PublicKey)]
    PublicKey {
        /// Where it is.
        key: String,
        /// The key as written.
        value: String,
        /// Why it is refused.
        source: BlsError,
    },
    /// The keys are good, the set is not.
    #[error("{key}: give {}", Expected::Authorities)]
    Authorities {
        /// Where the set is.
        key: String,
        /// Why it is refused.
        source: AuthoritySetError,
    },
    /// A later value that does not come later.
    #[error("{key} is {}: give heights that rise from entry to entry, from 1 on", source.height)]
    Height {
        /// Where the height is.
        key: String,
        /// Why it is refused.
        source: ByHeightError,
    },
    /// The time for all blocks between two retargets is below the time for one block.
    #[error(
        "retargetParams.powTargetTimespan is {timespan}: \
         give at least retargetParams.powTargetSpacing, which is {spacing}"
    )]
    RetargetTimespan {
        /// The timespan given.
        timespan: u64,
        /// The spacing given.
        spacing: u64,
    },
}

/// What a key of the chain specification should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A slot duration.
    SlotDuration,
    /// A list of authorities.
    Authorities,
    /// One authority.
    PublicKey,
    /// A list of `{fromHeight, ..}` objects.
    LaterValues,
    /// A height above genesis.
    LaterHeight,
    /// An object with the keys of the retarget rule.
    RetargetParams,
    /// A whole number from `min` to `max`.
    Whole {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Yes or no.
    Bool,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotDuration => f.write_str("whole milliseconds from 1 on, such as 5000"),
            Self::Authorities => {
                write!(f, "a list of 1 to {AUTHORITIES_MAX} different public keys")
            }
            Self::PublicKey => write!(
                f,
                "a BLS public key, compressed: \"0x\" and {} hexadecimal digits",
                2 * PUBLIC_KEY_BYTES
            ),
            Self::LaterValues => {
                f.write_str("a list of objects, each with fromHeight and the value from there on")
            }
            Self::LaterHeight => f.write_str("the height that the value is in force from, above 0"),
            Self::RetargetParams => f.write_str(
                "an object with powNoRetargeting, powLimit, powLowerLimit, maxPowAdjustment, \
                 powTargetTimespan and powTargetSpacing",
            ),
            Self::Whole { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Bool => f.write_str("true or false"),
        }
    }
}
