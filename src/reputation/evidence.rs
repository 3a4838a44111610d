//! What is known against a peer, or for it.

use crate::{
    ports::{Misuse, RequestError},
    validation::Fault,
};

/// One observation of a peer.
#[derive(Debug)]
pub enum Evidence {
    /// Part of a reply, verified.
    Delivered {
        /// How many blocks passed.
        blocks: u64,
        /// How many did not, or came for another height.
        failed: u64,
        /// Of what size.
        bytes: u64,
    },
    /// A request failed.
    Failed(RequestError),
    /// Part of a reply cannot have come from an honest peer.
    Lied(Fault),
    /// Part of a reply was of no use, as a stale or forked server's is.
    Useless(Fault),
    /// A block that a majority signed does not continue our chain.
    NotLinked,
    /// It misused our server.
    Misused {
        /// How.
        misuse: Misuse,
        /// How often since the last report of this kind.
        times: u32,
    },
}

impl Evidence {
    /// What the faults of one piece of a reply say: the gravest of them, once.
    pub fn from_faults(faults: Vec<Fault>) -> Option<Self> {
        let mut useless = None;
        for fault in faults {
            if fault.fault.is_provable_lie() {
                return Some(Self::Lied(fault));
            }
            useless.get_or_insert(fault);
        }
        useless.map(Self::Useless)
    }
}
