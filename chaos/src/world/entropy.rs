//! Chance that a seed decides, so that a run can be repeated.

use std::sync::{Mutex, PoisonError};

use alys_sync::ports::{Entropy, EntropyError};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

/// Gives the same seeds in every run of the same seed.
pub struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    /// The entropy of a run.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn seed(&self) -> Result<[u8; 32], EntropyError> {
        let mut seed = [0; 32];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed);
        Ok(seed)
    }
}
