//! A bake-off of download policies, in virtual time.
//!
//! Each run is the shipped `DownloadCore` with one policy, the shipped byte budget, and a world of
//! peers that is played here: nothing takes real time, and equal seeds give equal runs. Only the
//! policy differs, so all that one policy gains over another is who is asked for what, and when.
//!
//! What is assumed, for all policies alike:
//! - **Links**: a peer has one link with a rate and a delay that do not depend on each other. A
//!   request takes the delay to arrive; the peer begins on it at once, or when all that it was
//!   asked before has gone out; blocks go out one after the other at the rate of the link and take
//!   the delay to arrive. There is no slow start, no cost of a request but its delay, and our own
//!   link carries whatever all the others bring.
//! - **Replies** are read as by the shipped fetch task: pieces of 32 blocks, 1 MiB or 100 ms go to
//!   verification while the rest still comes. A policy whose client takes whole replies only gains
//!   by that. A request that is given up is heard of by its peer one delay later; until then what
//!   it sends is lost. What of it has arrived but is in no piece yet is lost as well.
//! - **Blocks** have 32 KiB on average, from 8 to 256. Eight links of 10 Mbit/s bring some 300 of
//!   them a second; verification takes 0.25 ms and import 0.05 ms of each, in order of arrival. So
//!   the links are the limit, and not the processor.
//! - **Memory**: 64 MiB over everything that is asked for and not imported yet. A request reserves
//!   what the core expects of it before it goes out, the front is always granted, and a reply that
//!   is larger than expected waits unread, without a deadline. What clients bound more tightly by
//!   themselves, their policies do; where they allow more, this holds.
//! - **Deadlines** of silence are those that the policy gives a request; deadlines of whole
//!   requests are the policy's own.
//! - **Losses**: a stall stops a link for a while; a reset fails all replies that are open at a
//!   peer, which can be asked again at once. A peer that leaves takes its open replies with it.
//!   One that hangs sends 1 KiB of each reply. After the third reply with a bad block a peer is
//!   banned.
//! - **The start**: the peers of the mix are connected, and nothing is known of any. The height to
//!   sync to is known and does not move.
//!
//! The policies of other clients are written anew from what is published of them; no code of
//! theirs is used. They are about downloads only: how those clients verify and store is left out.

mod fetch;
mod link;
mod mixes;
mod policies;
mod run;
mod table;
mod world;

pub(crate) use mixes::Mix;
pub(crate) use policies::Contender;
pub(crate) use run::run_all;
pub(crate) use table::{Headlines, Row, headlines, rows};
