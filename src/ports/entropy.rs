//! Chance that nobody can foresee, for the weights of signature batches.

use std::num::NonZeroU64;

use rand::{
    Rng as _, SeedableRng as _, TryRngCore as _,
    rngs::{OsRng, StdRng},
};

use crate::consensus::batch::Weights;

/// The system has no entropy to give.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no entropy")]
pub struct EntropyError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Gives seeds for cryptographic generators.
pub trait Entropy: Send + Sync + 'static {
    /// A seed that nobody can foresee. Only simulations, which repeat a run, may give others.
    ///
    /// # Errors
    /// [`EntropyError`]; nothing may be used in its place.
    fn seed(&self) -> Result<[u8; 32], EntropyError>;
}

/// The entropy of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn seed(&self) -> Result<[u8; 32], EntropyError> {
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(|error| EntropyError(Box::new(error)))?;
        Ok(seed)
    }
}

/// Weights from a cryptographic generator (ChaCha with 12 rounds).
#[derive(Debug)]
pub struct RandomWeights(StdRng);

impl RandomWeights {
    /// The weights that follow from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(StdRng::from_seed(seed))
    }
}

impl Weights for RandomWeights {
    fn draw(&mut self) -> NonZeroU64 {
        loop {
            if let Some(weight) = NonZeroU64::new(self.0.random()) {
                return weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_never_gives_the_same_seed_twice() {
        let [one, two] = [OsEntropy.seed().unwrap(), OsEntropy.seed().unwrap()];
        assert_ne!(one, two);
    }

    #[test]
    fn weights_follow_from_the_seed_and_use_all_their_bits() {
        let draw = |seed| {
            let mut weights = RandomWeights::new([seed; 32]);
            std::array::from_fn::<u64, 64, _>(|_| weights.draw().get())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let set = draw(1).iter().fold(0, |bits, weight| bits | weight);
        let clear = draw(1).iter().fold(0, |bits, weight| bits | !weight);
        assert_eq!([set, clear], [u64::MAX; 2]);
    }
}
