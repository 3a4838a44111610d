//! Chaos runs: a whole node syncs a real chain over a simulated network while a seed decides what
//! goes wrong, and invariants are checked over everything that happened.
//!
//! What is real: the supervision tree with all its actors, the block codec, the framing of requests
//! and replies, the verifier, the byte budget. What is simulated: links, peers, the store (in
//! memory) and time (paused: it jumps from one timer to the next).
//!
//! - [`plan`]: from a seed to everything that a run does.
//! - [`world`]: the simulated ports.
//! - [`adversaries`]: what peers do, a file each.
//! - [`run`]: one run, from start to shutdown; a fault phase, then a heal phase.
//! - [`trace`]: what happened, and its hash.
//! - [`invariants`]: what must hold of every trace, a file each; `VALIDATION.md` lists the planted
//!   bug that each of them finds.
//! - [`children`]: many runs, and their report.
//! - [`links`]: how much of shaped links a sync uses, without any fault.
//! - [`regret`]: what choosing peers by what is known costs against always choosing the best.
//!
//! How far a seed replays: a run has one thread and paused time; random numbers come from the
//! seed alone; blocking jobs of the store run one at a time, and only while the one thread has
//! nothing left to do. So a seed gives the same trace each time, as far as the two-run test shows:
//! within one build of one machine. Nothing is promised across builds, for what tasks do at one
//! instant of virtual time is the scheduler's order of them.

pub mod adversaries;
pub mod children;
pub mod fixture;
pub mod invariants;
pub mod links;
pub mod plan;
pub mod regret;
pub mod run;
pub mod trace;
pub mod world;
