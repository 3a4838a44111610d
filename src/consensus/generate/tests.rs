use sha2::{Digest, Sha256};

use super::*;
use crate::{
    consensus::{Genesis, Verifier, links},
    types::{BlockRoot, Height},
};

fn options(blocks: u64) -> GenerateOptions {
    GenerateOptions { blocks, ..GenerateOptions::default() }
}

/// Verifies the whole chain and gives the root of its last block.
fn verified_head(chain: &GeneratedChain) -> BlockRoot {
    let verifier = Verifier::new(Arc::clone(chain.spec()));
    let mut tip = Genesis::from_block(chain.genesis().clone()).unwrap().link_point();
    for block in chain.blocks() {
        let decoded = EncodedBlock::decode(block.raw().clone()).unwrap();
        assert_eq!(decoded.root(), block.root());
        let block = verifier.verify(decoded).unwrap();
        links(&tip, &block).unwrap();
        tip = block.link_point();
    }
    assert_eq!(tip.height, Height::new(chain.options().blocks));
    tip.root
}

#[test]
fn generated_blocks_pass_every_check_and_link_from_genesis() {
    let chain = generate(options(150)).unwrap();
    verified_head(&chain);
    let spec = ChainSpec::from_json(&chain.spec().to_json()).unwrap();
    assert_eq!(spec, **chain.spec());
    assert!(!spec.synthetic_payloads);
}

#[test]
fn every_number_of_authorities_works() {
    for authorities in 1..=AUTHORITIES_MAX {
        let chain = generate(GenerateOptions { authorities, ..options(4) }).unwrap();
        verified_head(&chain);
    }
}

#[test]
fn equal_options_give_equal_bytes_and_other_seeds_other_chains() {
    let bytes = |options| -> Vec<_> {
        let chain = generate(options).unwrap();
        let all: Vec<_> = chain.blocks().collect();
        std::iter::once(chain.genesis()).chain(&all).map(|block| block.raw().clone()).collect()
    };
    assert_eq!(bytes(options(140)), bytes(options(140)));
    assert_eq!(bytes(options(30))[..], bytes(options(40))[..31], "a prefix of a longer chain");
    let other = bytes(GenerateOptions { seed: 2, ..options(1) });
    assert_ne!(bytes(options(1))[0], other[0]);
}

/// A seed in a bug report must mean the same chain in every later version.
#[test]
fn the_chain_of_a_seed_stays_the_same() {
    let chain = generate(options(20)).unwrap();
    let mut hash = Sha256::new_with_prefix(chain.genesis().raw());
    for block in chain.blocks() {
        hash.update(block.raw());
    }
    assert_eq!(
        hex::encode(hash.finalize()),
        "14cc013f92203fa63e947618670b81c8fad1b07a8fba99d6fea45a54072a7734"
    );
}

#[test]
fn blocks_vary_in_signers_slots_sizes_and_withdrawals() {
    let chain = generate(options(120)).unwrap();
    let blocks: Vec<_> = chain.blocks().collect();
    let signers: Vec<_> = blocks.iter().map(|block| block.approval().bits.count_below(5)).collect();
    assert!(signers.iter().all(|count| (4..=5).contains(count)));
    assert!(signers.contains(&4) && signers.contains(&5));
    let slots: Vec<_> = blocks.iter().map(|block| block.slot().get()).collect();
    let steps: Vec<_> = slots.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (1..=2).contains(step)));
    assert!(steps.contains(&1) && steps.contains(&2));
    let payloads: Vec<_> = blocks.iter().map(EncodedBlock::payload).collect();
    assert!(payloads.iter().any(|payload| payload.transactions.is_empty()));
    assert!(payloads.iter().any(|payload| payload.transactions.len() > 10));
    assert!(payloads.iter().any(|payload| !payload.withdrawals.is_empty()));
    let mut sizes: Vec<_> =
        payloads.iter().flat_map(|payload| payload.transactions.iter().map(<[u8]>::len)).collect();
    sizes.sort_unstable();
    assert!((105..=6384).contains(&sizes[0]) && *sizes.last().unwrap() <= 6384);
    assert!((115..=130).contains(&sizes[sizes.len() / 2]), "median {}", sizes[sizes.len() / 2]);
}

#[test]
fn fixed_transactions_fill_blocks_as_asked() {
    let transactions = Transactions::Fixed { per_block: 3, bytes: 100_000 };
    let chain = generate(GenerateOptions { transactions, ..options(2) }).unwrap();
    verified_head(&chain);
    for block in chain.blocks() {
        let lists = block.payload().transactions;
        assert_eq!(lists.iter().map(<[u8]>::len).collect::<Vec<_>>(), [100_000; 3]);
    }
}

#[test]
fn crowded_blocks_end_before_the_limit() {
    let transactions = Transactions::Realistic { mean_per_block: 1100 };
    let chain = generate(GenerateOptions { transactions, ..options(8) }).unwrap();
    verified_head(&chain);
}

#[test]
fn refuses_options_out_of_range() {
    let refusal = |change: fn(&mut GenerateOptions)| {
        let mut options = options(1);
        change(&mut options);
        generate(options).unwrap_err()
    };
    let authorities = |count| GenerateError::Authorities { count };
    assert_eq!(refusal(|options| options.authorities = 0), authorities(0));
    assert_eq!(refusal(|options| options.authorities = 16), authorities(16));
    assert_eq!(refusal(|options| options.authorities = usize::MAX), authorities(usize::MAX));
    let slot = |ms| GenerateError::SlotDuration { ms };
    assert_eq!(refusal(|options| options.slot_duration_ms = 0), slot(0));
    assert_eq!(refusal(|options| options.slot_duration_ms = 999), slot(999));
    assert_eq!(refusal(|options| options.blocks = u64::MAX), GenerateError::OutOfTime);
    assert_eq!(refusal(|options| options.genesis_time = u64::MAX), GenerateError::OutOfTime);
    let full = Transactions::Fixed { per_block: u32::MAX, bytes: u32::MAX };
    let mut options = options(1);
    options.transactions = full;
    assert!(matches!(generate(options), Err(GenerateError::BlockTooLarge { .. })));
}
