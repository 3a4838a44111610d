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
//! - [`run`]: one run, from start to shutdown.
//! - [`trace`]: what happened, and its hash.
//! - [`invariants`]: what must hold of every trace, a file each; `VALIDATION.md` lists the planted
//!   bug that each of them finds.
//! - [`many`]: many runs at once.
//! - [`children`]: runs with killed children, and the report on them.
//! - [`byzantine`]: runs among byzantine peers, and the report on them.
//! - [`partition`]: runs in which the way to peers is cut, and the report on them.
//! - [`abuse`]: real processes, one of which abuses the node that is measured.
//! - [`kill9`]: real nodes on a real disk, killed with SIGKILL at any instant, and started again.
//! - [`stores`]: stores whose files were damaged, and what becomes of them.
//! - [`recovery_table`]: rows of the table of recovery, each caused for real.
//! - [`recovery_time`]: how long a start takes on a short chain and on a long one.
//! - [`restart_time`]: how long a killed child of a real node is away, by the clock.
//! - [`processes`]: what runs with real processes have in common.
//! - [`links`]: how much of shaped links a sync uses, without any fault.
//! - [`regret`]: what choosing peers by what is known costs against always choosing the best.
//!
//! How far a seed replays: a run has one thread and paused time; random numbers come from the
//! seed alone; blocking jobs of the store run one at a time, and only while the one thread has
//! nothing left to do. So a seed gives the same trace each time, as far as the two-run test shows:
//! within one build of one machine. Nothing is promised across builds, for what tasks do at one
//! instant of virtual time is the scheduler's order of them.

pub mod abuse;
pub mod adversaries;
pub mod byzantine;
pub mod children;
pub mod fixture;
pub mod invariants;
pub mod kill9;
pub mod links;
pub mod many;
pub mod partition;
pub mod plan;
pub mod processes;
pub mod recovery_table;
pub mod recovery_time;
pub mod regret;
pub mod restart_time;
pub mod run;
pub mod stage;
pub mod stores;
pub mod trace;
pub mod world;
