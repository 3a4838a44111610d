//! How much peers may have of a node that serves.

use std::num::NonZeroU32;

use alys_sync::{adapters::libp2p::ServingOptions, resilience::Allowance};
use clap::Args;

/// What each peer may have by default. Unit: blocks in 10 s.
const BLOCKS: u32 = or_zero(ServingOptions::PER_PEER.blocks);

/// The same in MiB in 10 s.
const MEBIBYTES: u32 = or_zero(ServingOptions::PER_PEER.mebibytes);

/// A number that says nothing is no number of anything.
const fn or_zero(number: Option<NonZeroU32>) -> u32 {
    match number {
        Some(number) => number.get(),
        None => 0,
    }
}

/// How much peers may have. Nobody is refused for asking more: it comes more slowly.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct QuotaArgs {
    /// Each peer is sent at most so many blocks in 10 s; more wait
    ///
    /// 1024 is the limit that the network's software has built in.
    #[arg(
        long, value_name = "N", default_value_t = BLOCKS,
        value_parser = clap::value_parser!(u32).range(100..=100_000_000)
    )]
    serve_blocks_per_10s: u32,
    /// Each peer is sent at most so many MiB in 10 s; more wait
    #[arg(
        long, value_name = "N", default_value_t = MEBIBYTES,
        value_parser = clap::value_parser!(u32).range(4..=1_000_000)
    )]
    serve_mib_per_10s: u32,
    /// All peers together are sent at most so many MiB in 10 s, divided alike; no limit if not set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    serve_total_mib_per_10s: Option<u32>,
}

impl QuotaArgs {
    /// The default options with these quotas.
    pub(crate) fn options(self) -> ServingOptions {
        let options = ServingOptions::default();
        let per_peer = Allowance {
            blocks: NonZeroU32::new(self.serve_blocks_per_10s),
            mebibytes: NonZeroU32::new(self.serve_mib_per_10s),
            ..options.per_peer
        };
        let mebibytes = self.serve_total_mib_per_10s.and_then(NonZeroU32::new);
        let overall = Allowance { mebibytes, ..options.overall };
        ServingOptions { per_peer, overall, ..options }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        quota: QuotaArgs,
    }

    fn options(line: &str) -> Result<ServingOptions, clap::Error> {
        Ok(Cli::try_parse_from(line.split(' '))?.quota.options())
    }

    #[test]
    fn default_is_that_of_the_library() {
        assert_eq!(options("serve").unwrap(), ServingOptions::default());
    }

    #[test]
    fn quotas_are_what_is_given() {
        let given = "serve --serve-blocks-per-10s 1024 --serve-mib-per-10s 8 \
                     --serve-total-mib-per-10s 100";
        let options = options(given).unwrap();
        assert_eq!(options.per_peer.blocks, NonZeroU32::new(1024));
        assert_eq!(options.per_peer.mebibytes, NonZeroU32::new(8));
        let mebibytes = NonZeroU32::new(100);
        assert_eq!(options.overall, Allowance { mebibytes, ..Allowance::UNLIMITED });
    }

    #[test]
    fn quotas_with_which_old_nodes_would_hang_are_refused() {
        for given in ["--serve-blocks-per-10s 99", "--serve-mib-per-10s 3"] {
            assert!(options(&format!("serve {given}")).is_err(), "{given}");
        }
    }
}
