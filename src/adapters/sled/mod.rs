//! The chain store on disk: block bodies in segment files, everything else in an embedded database.
//!
//! Owns a data directory: who may use it, what lies where, and what is durable when. Knows no rule
//! of sync or consensus beyond the link of a block to its parent, which it checks again as a fence
//! against a writer that lost its place. Damage on the disk is a typed error that names the file;
//! it is never repaired by guessing and nothing that was committed is deleted because of it. Who
//! asks for it gets a chain that goes on from a whole block below a damaged head
//! ([`ChainStore::open_recovering`]).
//!
//! ```text
//! alys-sync.json       layout version and chain: says that the directory is ours
//! LOCK                 held by the process that uses it
//! blocks/00000001.seg  bodies as they were received, each with length and checksum
//! index/               the database: heights, roots, head, small records
//! quarantine/0001/     bytes that a recovery moved out of the chain; nothing reads them
//! ```
//! The order of an append: bodies written, bodies synced, then entries and head in one transaction,
//! flushed and synced; only then it returns. When the directory is opened, whole blocks that a
//! crash left behind the head are taken in and the torn rest is cut, so the time it takes does not
//! depend on the length of the chain. An index that is gone is made anew from the bodies, and one
//! that cannot be used on request ([`ChainStore::open_reindexed`]).

mod chain_error;
mod chain_store;
mod data_dir;
mod database;
mod index;
mod journal;
mod open_error;
mod opening;
mod quarantine;
mod record;
mod record_store;
mod recovering;
mod segments;
mod tail;
#[cfg(test)]
mod tests;

pub use chain_store::{ChainStore, StoreOptions};
pub use database::IndexError;
pub use open_error::{BlockDamage, OpenError};
pub use record::RecordError;
pub use record_store::{Listed, RecordKey, RecordKind, RecordStore, RecordStoreError};
pub use segments::SegmentError;
