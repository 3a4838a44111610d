//! The stateless checks of one block, and the proof by type that it passed them.
//!
//! Order of the checks, and why: majority, signature, slot rule, execution hash. The majority is
//! counted first, because that is cheap and a block without one convicts its sender by itself. The
//! signature comes before the two checks of content, although it is the costliest of the four,
//! because it decides whom a failure of content speaks against: below an invalid signature any
//! content can have been tampered with, below a valid one it is what the authorities signed, and
//! its sender passed it on honestly. To blame rightly, every failure of content would need the
//! signature checked anyway, and a block that passes needs all four; so no order is cheaper. It
//! also keeps the hash of a payload made to be slow to hash behind a signature that only the
//! authorities can make.
//!
//! Two things are for others to see. The authorities are those of the height that the block claims
//! for itself, so a set that has been replaced can still sign blocks that claim an old height: the
//! link rule catches those, as a height must be the parent's plus one. And a genesis block has no
//! signers, so it never passes: see [`Genesis`](super::Genesis).
//!
//! Failure: a [`BlockFault`], which says whether it is a provable lie.

use std::{fmt, ops::Deref, sync::Arc};

use super::{
    authorities::AuthoritySet,
    batch::{BatchVerdict, SignatureBatch, SignatureClaim, Weights},
    bls::{self, Signature},
    chain_spec::ChainSpec,
    link::LinkPoint,
    majority::SignerSet,
    memory::SignatureMemory,
    payload_hash::execution_hash,
    slot_rule::{SlotDuration, slot_is_in_future},
};
use crate::{
    types::{BlockRef, ExecutionHash, Slot},
    wire::block::EncodedBlock,
};

/// Why a block is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// Too few authorities claim to have signed it.
    #[error("{signers} authorities signed, {majority} are needed")]
    NoMajority {
        /// How many authorities the approval bits name. Bits that belong to nobody do not count.
        signers: usize,
        /// How many it takes at this height.
        majority: usize,
    },
    /// The signature is not that of the authorities that the approval bits name.
    #[error("the aggregate signature is not that of the {signers} authorities named")]
    InvalidSignature {
        /// How many authorities the approval bits name.
        signers: usize,
    },
    /// The authorities signed a slot that lies in the future of the block's own timestamp.
    #[error("slot {slot} lies in the future of timestamp {timestamp} s with slots of {duration}")]
    SlotInFuture {
        /// The slot of the block.
        slot: Slot,
        /// The timestamp of the block. Unit: seconds since the Unix epoch.
        timestamp: u64,
        /// How long a slot lasts at this height.
        duration: SlotDuration,
    },
    /// The authorities signed a payload that claims another block hash than it has.
    #[error("the execution payload claims hash {claimed}, it has {computed}")]
    WrongExecutionHash {
        /// The hash in the payload.
        claimed: ExecutionHash,
        /// The hash of the payload.
        computed: ExecutionHash,
    },
}

impl BlockFault {
    /// Whether the fault alone proves that the sender lied: the block carries no valid signature
    /// of a majority, so no honest node can have imported it. Blocks that do carry one never
    /// convict their sender, whatever else is wrong with them.
    pub const fn is_provable_lie(&self) -> bool {
        match self {
            Self::NoMajority { .. } | Self::InvalidSignature { .. } => true,
            Self::SlotInFuture { .. } | Self::WrongExecutionHash { .. } => false,
        }
    }
}

/// Checks blocks against the rules that need no other block.
///
/// One block goes through [`Verifier::verify`]. Many are cheaper in three steps:
/// [`Verifier::claim`] each, [`attest`] all together, [`Verifier::check_content`] each.
#[derive(Debug, Clone)]
pub struct Verifier {
    spec: Arc<ChainSpec>,
    memory: Option<Arc<SignatureMemory>>,
}

impl Verifier {
    /// A verifier for the chain with this specification.
    pub const fn new(spec: Arc<ChainSpec>) -> Self {
        Self { spec, memory: None }
    }

    /// The same verifier, which remembers up to `signatures` that it found valid and does not check
    /// them again. For simulations that sync one chain again and again: a node meets a signature
    /// twice so seldom that it gains nothing.
    pub fn remembering(self, signatures: usize) -> Self {
        Self { memory: Some(Arc::new(SignatureMemory::new(signatures))), ..self }
    }

    fn knows(&self, block: &EncodedBlock, signers: SignerSet) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.knows(block, signers))
    }

    /// The specification that blocks are checked against.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// Checks `block` on the caller's thread. About 1 ms, nearly all of it the signature.
    ///
    /// # Errors
    /// [`BlockFault`] for the first check that fails, in the order that the module gives.
    pub fn verify(&self, block: EncodedBlock) -> Result<VerifiedBlock, BlockFault> {
        let (authorities, signers) = self.majority(&block)?;
        if self.knows(&block, signers) {
            return self.check_content(AttestedBlock { block, signers });
        }
        let signature = Signature::from_bytes(block.approval().signature.as_bytes());
        let valid = signature.is_ok_and(|signature| {
            bls::fast_aggregate_verify(&block.root(), authorities.keys_of(signers), &signature)
        });
        if !valid {
            return Err(BlockFault::InvalidSignature { signers: signers.count() });
        }
        self.check_content(AttestedBlock { block, signers })
    }

    /// The first step: whether `block` claims a majority, and its signature made ready to be
    /// checked together with others. Most of the work of a batch is here.
    ///
    /// # Errors
    /// [`BlockFault::NoMajority`], and [`BlockFault::InvalidSignature`] for a signature that cannot
    /// be anybody's.
    pub fn claim(&self, block: EncodedBlock) -> Result<ClaimedBlock, BlockFault> {
        let (authorities, signers) = self.majority(&block)?;
        if self.knows(&block, signers) {
            return Ok(ClaimedBlock { block, signers, claim: None });
        }
        let signature = block.approval().signature.as_bytes();
        match SignatureClaim::new(authorities, signers, block.root(), signature) {
            Some(claim) => Ok(ClaimedBlock { block, signers, claim: Some(claim) }),
            None => Err(BlockFault::InvalidSignature { signers: signers.count() }),
        }
    }

    /// The last step: slot rule and execution hash.
    ///
    /// # Errors
    /// [`BlockFault::SlotInFuture`] and [`BlockFault::WrongExecutionHash`].
    pub fn check_content(&self, attested: AttestedBlock) -> Result<VerifiedBlock, BlockFault> {
        let AttestedBlock { block, signers } = attested;
        if let Some(memory) = &self.memory {
            memory.remember(&block, signers);
        }
        let height = block.height();
        let (slot, timestamp) = (block.slot(), block.timestamp());
        let duration = self.spec.slot_duration_at(height);
        if slot_is_in_future(slot, timestamp, duration) {
            return Err(BlockFault::SlotInFuture { slot, timestamp, duration });
        }
        let claimed = block.execution_hash();
        if !self.spec.synthetic_payloads {
            let computed = execution_hash(&block.payload());
            if computed != claimed {
                return Err(BlockFault::WrongExecutionHash { claimed, computed });
            }
        }
        Ok(VerifiedBlock { block, signers })
    }

    /// Who claims to have signed `block`: a majority of the authorities at its height.
    fn majority(&self, block: &EncodedBlock) -> Result<(&AuthoritySet, SignerSet), BlockFault> {
        let authorities = self.spec.authorities_at(block.height());
        let count = authorities.len();
        let set = SignerSet::below(count, block.approval().bits.signers_below(count));
        let (signers, majority) = (set.count(), authorities.majority());
        if signers < majority {
            return Err(BlockFault::NoMajority { signers, majority });
        }
        Ok((authorities, set))
    }
}

/// A block that claims to be signed by a majority. Whether it is, [`attest`] finds.
#[derive(Debug, Clone)]
pub struct ClaimedBlock {
    block: EncodedBlock,
    signers: SignerSet,
    /// None: the signature is known to be valid.
    claim: Option<SignatureClaim>,
}

impl ClaimedBlock {
    /// The block as height and root.
    pub const fn block_ref(&self) -> BlockRef {
        self.block.block_ref()
    }

    /// Checks the signature of this block alone: the verdict that [`attest`] would give.
    ///
    /// # Errors
    /// [`BlockFault::InvalidSignature`].
    pub fn attest_alone(&self) -> Result<AttestedBlock, BlockFault> {
        self.attested(self.claim.as_ref().is_none_or(SignatureClaim::is_valid))
    }

    fn attested(&self, valid: bool) -> Result<AttestedBlock, BlockFault> {
        let signers = self.signers;
        if valid {
            Ok(AttestedBlock { block: self.block.clone(), signers })
        } else {
            Err(BlockFault::InvalidSignature { signers: signers.count() })
        }
    }
}

/// A block that is signed by a majority. Its content is still to be checked.
#[derive(Debug, Clone)]
pub struct AttestedBlock {
    block: EncodedBlock,
    signers: SignerSet,
}

/// The second step: checks the signatures of all `blocks` together. A verdict for each, in order:
/// the same that [`Verifier::verify`] would give. `weights` are drawn after the blocks are fixed.
///
/// Returns as well how many products of pairings it took: 1 if all are valid, 0 if all were known.
pub fn attest(
    blocks: &[ClaimedBlock],
    weights: &mut dyn Weights,
) -> (Vec<Result<AttestedBlock, BlockFault>>, usize) {
    let open: Vec<_> = blocks.iter().filter_map(|block| block.claim.as_ref()).collect();
    let BatchVerdict { invalid, group_checks } = if open.is_empty() {
        BatchVerdict { invalid: Vec::new(), group_checks: 0 }
    } else {
        SignatureBatch::new(open, weights).check()
    };
    let mut position = 0;
    let verdict = |block: &ClaimedBlock| {
        let valid = block.claim.is_none() || {
            position += 1;
            invalid.binary_search(&(position - 1)).is_err()
        };
        block.attested(valid)
    };
    (blocks.iter().map(verdict).collect(), group_checks)
}

/// A block that passed every stateless check: only [`Verifier::verify`] and
/// [`Verifier::check_content`] make one. It can be asked what any [`EncodedBlock`] can. The height
/// that it claims is true once it is linked.
#[derive(Clone)]
pub struct VerifiedBlock {
    block: EncodedBlock,
    signers: SignerSet,
}

impl VerifiedBlock {
    /// The authorities that signed it: a majority of those at its height.
    pub const fn signers(&self) -> SignerSet {
        self.signers
    }

    /// What the next block must refer to.
    pub const fn link_point(&self) -> LinkPoint {
        LinkPoint::of(&self.block)
    }
}

impl Deref for VerifiedBlock {
    type Target = EncodedBlock;

    fn deref(&self) -> &EncodedBlock {
        &self.block
    }
}

impl fmt::Debug for VerifiedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedBlock({}, {} bytes)", self.block_ref(), self.raw().len())
    }
}
