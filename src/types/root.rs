//! 32-byte hashes that must not be mixed up: of consensus blocks, execution blocks and states.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is no 32-byte hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, with or without 0x, got {0:?}")]
pub struct ParseHashError(String);

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; 32]);

        impl $name {
            /// All zero bytes: the parent of genesis.
            pub const ZERO: Self = Self([0; 32]);

            /// The hash with these bytes, in display order.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes, in display order.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
                    .map_err(|_| ParseHashError(text.chars().take(80).collect()))?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_type! {
    /// The identity of a consensus block: the Merkle root of its unsigned message, which is also
    /// what its authorities sign and what its child names as parent.
    BlockRoot
}

hash_type! {
    /// The identity of an execution block: keccak-256 of the RLP of its header.
    ExecutionHash
}

hash_type! {
    /// The state of the execution side after a block: the root of its tree.
    StateRoot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_text_round_trips_and_refuses_other_lengths() {
        let root = BlockRoot::new([0xab; 32]);
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_eq!(root.to_string().trim_start_matches("0x").parse(), Ok(root));
        assert!("0xab".parse::<BlockRoot>().is_err());
        assert!("zz".repeat(32).parse::<BlockRoot>().is_err());
    }
}
