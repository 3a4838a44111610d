//! The `chaos` command: seeded runs of all scenarios, and replays of single seeds.
//!
//! People read stderr; the last line of stdout is one JSON object. Exit codes: 0 when all
//! invariants held, 1 when one broke, 2 when nothing could be run.

use std::{error::Error, num::NonZeroU64, process::ExitCode, sync::Arc, time::Duration};

use alys_sync::resilience::{ErrorClass, RECOVERY_TABLE};
use chaos::{
    abuse::{self, AbuseOptions},
    byzantine::run_byzantine,
    children::run_all,
    fixture::Fixture,
    kill9::{Kill9Options, KillRun, run_kill9},
    links::{self, LinkOptions},
    many::Options,
    partition::run_partition,
    plan::{self, Plan},
    processes,
    recovery_table::{RowReport, run_table},
    recovery_time::{self, BLOCKS_MIN, RecoveryTime, RecoveryTimeOptions},
    regret::{RegretOptions, simulate},
    restart_time::{self, RestartTimeOptions},
    run::{Outcome, run},
    stores::{StoreRun, StoresOptions, run_stores},
};
use clap::{Parser, Subcommand};
use supervisors::StruckDown;

/// Syncs a real node through everything that can go wrong, as seeds decide, and checks invariants.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Strikes children of the tree while it syncs from peers of all kinds: each is killed, made to
    /// panic, to fail and to hang.
    Children {
        /// How many runs for each of the eight children.
        #[arg(long, default_value_t = 20)]
        runs: u64,
        /// The seed of the first run; the next run has the next seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Blocks of the chain to sync.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
        blocks: u64,
        /// Runs at once; 0 for one on each core.
        #[arg(long, default_value_t = 0)]
        jobs: usize,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Syncs among peers of which up to half are byzantine, and stay it.
    Byzantine {
        #[command(flatten)]
        seeds: SeedsArgs,
    },
    /// Cuts the way to peers for 30 s and lets it come back.
    Partition {
        #[command(flatten)]
        seeds: SeedsArgs,
    },
    /// Measures what a client that abuses a node costs its sync and its honest clients, with real
    /// processes on this machine.
    Abuse {
        #[command(flatten)]
        abuse: AbuseArgs,
    },
    /// A process of `abuse`.
    #[command(hide = true)]
    AbuseRole {
        #[command(flatten)]
        role: abuse::RoleArgs,
    },
    /// Kills real nodes with SIGKILL at any instant of their sync, also exactly where they sync
    /// data to disk (with strace), starts them again, and compares what they come to.
    Kill9 {
        /// How many kills.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// The seed of the first run; the next run has the next seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Blocks of the chain to sync.
        #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..))]
        blocks: u64,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Causes the errors of the table of recovery for real, and checks what the node does.
    RecoveryTable {
        /// The classes of errors to cause; all if not given.
        #[arg(long, value_delimiter = ',', value_parser = error_class)]
        only: Vec<ErrorClass>,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Measures how long nodes take from their start until they download, on a short chain and on
    /// a long one: after a kill, with a damaged head, and where only a checkpoint saves them.
    RecoveryTime {
        /// Blocks of the short chain.
        #[arg(long, default_value_t = 5_000, value_parser = recoverable())]
        short: u64,
        /// Blocks of the long chain.
        #[arg(long, default_value_t = 500_000, value_parser = recoverable())]
        long: u64,
        /// Starts of each kind on each chain.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
        pairs: u64,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Damages the files of stores and opens them.
    Stores {
        /// How many stores.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// The seed of the first; the next has the next seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Blocks in each store.
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(2..))]
        blocks: u64,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Measures how long each child of a real node is away that is killed while it syncs.
    RestartTime {
        /// Syncs, each with every child killed once.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
        /// Blocks of the chain to sync.
        #[arg(long, default_value_t = 3_000, value_parser = measurable())]
        blocks: u64,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// A process of `kill9`, `recovery-table`, `recovery-time` and `restart-time`.
    #[command(hide = true)]
    SyncRole {
        #[command(flatten)]
        role: processes::SyncRoleArgs,
    },
    /// Measures how much of the links of honest peers a sync uses, in virtual time.
    Links {
        /// Blocks of the chain to sync.
        #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
        blocks: u64,
        /// Bytes of transactions in each block; as encoded, a block is about twice as large.
        #[arg(long, default_value_t = 32_000)]
        transaction_bytes: u32,
        /// How many peers serve.
        #[arg(long, default_value_t = 8)]
        peers: usize,
        /// What each link carries. Unit: megabits a second.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        megabits: u64,
        /// The round trip to each peer; several are measured one after the other. Unit: ms.
        #[arg(long, value_delimiter = ',', default_values_t = [5, 50, 150])]
        round_trips: Vec<u64>,
        /// The node's overall limit of downloads; none if not given. Unit: megabits a second.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        limit_megabits: Option<u64>,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Simulates what choosing peers costs against always choosing the best, in virtual time.
    Regret {
        /// Worlds of peers of each kind: fixed, drifting, switching.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        worlds: u64,
        /// Choices in each world.
        #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(2..))]
        rounds: u64,
        /// The seed of the first world; the next world has the next seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Print nothing but the JSON report.
        #[arg(long)]
        json: bool,
    },
    /// Runs one seed and tells the hash of what happened.
    Run {
        #[command(flatten)]
        seed: SeedArgs,
    },
    /// Runs one seed again and compares the hashes of what happened.
    Replay {
        #[command(flatten)]
        seed: SeedArgs,
        /// The hash that `run` told; without it the seed is run twice.
        #[arg(long)]
        hash: Option<String>,
    },
}

#[derive(clap::Args)]
struct SeedsArgs {
    /// How many runs.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The seed of the first run; the next run has the next seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Blocks of the chain to sync.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(60..))]
    blocks: u64,
    /// Runs at once; 0 for one on each core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Print nothing but the JSON report.
    #[arg(long)]
    json: bool,
}

impl SeedsArgs {
    fn options(&self) -> Options {
        let Self { seeds: runs, seed, blocks, jobs, .. } = *self;
        Options { runs, seed, blocks, jobs }
    }
}

#[derive(clap::Args)]
struct AbuseArgs {
    /// Pairs of runs, with and without the abuser, for each kind of abuser.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Blocks that the node has from the start, which the clients download.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(1..))]
    held: u64,
    /// Blocks that the node syncs.
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
    /// Requests that the abuser sends in a second.
    #[arg(long, default_value_t = 1_000)]
    requests_per_second: u32,
    /// The most blocks that an honest client takes in a second; 0 for as many as it gets.
    #[arg(long, default_value_t = 0)]
    client_blocks_per_second: u64,
    /// Print nothing but the JSON report.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct SeedArgs {
    /// Which runs the seed stands for.
    #[arg(long, value_enum, default_value_t = plan::Scenario::Children)]
    scenario: plan::Scenario,
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// Blocks of the chain to sync.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
    /// Print every event of the run to stderr.
    #[arg(long)]
    events: bool,
}

fn recoverable() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(BLOCKS_MIN..)
}

/// Lengths of chains on which there is time to kill every child.
fn measurable() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1_000..)
}

fn main() -> ExitCode {
    keep_silent_about_blows();
    let done = match Cli::parse().scenario {
        Scenario::Children { runs, seed, blocks, jobs, json } => {
            children(Options { runs, seed, blocks, jobs }, json)
        }
        Scenario::Byzantine { seeds } => byzantine(&seeds),
        Scenario::Partition { seeds } => partition(&seeds),
        Scenario::Abuse { abuse } => measure_abuse(&abuse),
        Scenario::AbuseRole { role } => abuse::play(&role).map(|()| true),
        Scenario::Kill9 { runs, seed, blocks, json } => {
            kill(Kill9Options { runs, seed, blocks }, json)
        }
        Scenario::Stores { runs, seed, blocks, json } => {
            damage_stores(StoresOptions { runs, seed, blocks }, json)
        }
        Scenario::RecoveryTable { only, json } => recovery_table(&only, json),
        Scenario::RecoveryTime { short, long, pairs, json } => {
            time_recovery(RecoveryTimeOptions { short, long, pairs }, json)
        }
        Scenario::RestartTime { runs, blocks, json } => {
            time_restarts(RestartTimeOptions { runs, blocks }, json)
        }
        Scenario::SyncRole { role } => processes::play(role).map(|()| true),
        Scenario::Links {
            blocks,
            transaction_bytes,
            peers,
            megabits,
            round_trips,
            limit_megabits,
            json,
        } => {
            let bytes = |megabits: u64| megabits.saturating_mul(1_000_000) / 8;
            let options = LinkOptions {
                blocks,
                transaction_bytes,
                peers,
                bytes_per_second: bytes(megabits),
                round_trips: round_trips.into_iter().map(Duration::from_millis).collect(),
                bytes_per_second_max: limit_megabits.map(bytes).and_then(NonZeroU64::new),
            };
            measure(&options, json)
        }
        Scenario::Regret { worlds, rounds, seed, json } => {
            regret(RegretOptions { worlds, rounds, seed }, json)
        }
        Scenario::Run { seed } => run_seed(&seed),
        Scenario::Replay { seed, hash } => replay(&seed, hash),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("chaos: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because {cause}");
                source = cause.source();
            }
            ExitCode::from(2)
        }
    }
}

/// Children that panic because they are told to need not say so, thousands of times.
fn keep_silent_about_blows() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let on_purpose = StruckDown.to_string();
        if panic.payload_as_str() != Some(on_purpose.as_str()) {
            say(panic);
        }
    }));
}

fn children(options: Options, json: bool) -> Result<bool, Box<dyn Error>> {
    let report = run_all(options, |outcome| {
        if !outcome.broken.is_empty() {
            complain(outcome, plan::Scenario::Children, options.blocks);
        } else if !json {
            eprintln!(
                "seed {}: {} peers, {} blows, {} events, synced after {:.1} s: all invariants held",
                outcome.plan.seed,
                outcome.plan.peers.len(),
                outcome.plan.blows.len(),
                outcome.events.len(),
                outcome.synced_at().unwrap_or_default().as_secs_f64(),
            );
        }
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn byzantine(args: &SeedsArgs) -> Result<bool, Box<dyn Error>> {
    let report = run_byzantine(args.options(), |outcome| {
        if !outcome.broken.is_empty() {
            complain(outcome, plan::Scenario::Byzantine, args.blocks);
        } else if !args.json {
            eprintln!(
                "seed {}: {} peers, {} events, synced after {:.1} s: all invariants held",
                outcome.plan.seed,
                outcome.plan.peers.len(),
                outcome.events.len(),
                outcome.synced_at().unwrap_or_default().as_secs_f64(),
            );
        }
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn partition(args: &SeedsArgs) -> Result<bool, Box<dyn Error>> {
    let report = run_partition(args.options(), |outcome, broken| {
        complain(outcome, plan::Scenario::Partition, args.blocks);
        for what in broken {
            eprintln!("seed {}: BROKEN {what}", outcome.plan.seed);
            eprintln!("{}", reproduce(outcome, plan::Scenario::Partition, args.blocks));
        }
        if !args.json && outcome.broken.is_empty() && broken.is_empty() {
            eprintln!("seed {}: all bounds kept", outcome.plan.seed);
        }
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn measure_abuse(args: &AbuseArgs) -> Result<bool, Box<dyn Error>> {
    let AbuseArgs { pairs, held, blocks, requests_per_second, client_blocks_per_second, json } =
        *args;
    let options =
        AbuseOptions { pairs, held, blocks, requests_per_second, client_blocks_per_second };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(abuse::measure(options, |[without, with]| {
        if !json {
            eprintln!("without the abuser: {without:?}\nwith the abuser: {with:?}");
        }
    }))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn kill(options: Kill9Options, json: bool) -> Result<bool, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run_kill9(options, |run: &KillRun| {
        if !json {
            eprintln!("{run:?}");
        }
    }))?;
    if report.promises.is_none() {
        eprintln!("there is no strace that works here: no kill was exactly at a sync");
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn damage_stores(options: StoresOptions, json: bool) -> Result<bool, Box<dyn Error>> {
    let report = run_stores(options, |run: &StoreRun| {
        if !json {
            eprintln!("{run:?}");
        }
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn error_class(name: &str) -> Result<ErrorClass, String> {
    let mut classes = RECOVERY_TABLE.iter().map(|row| row.class);
    let names = || RECOVERY_TABLE.map(|row| row.class.name()).join(", ");
    classes.find(|class| class.name() == name).ok_or_else(|| format!("give one of {}", names()))
}

fn recovery_table(only: &[ErrorClass], json: bool) -> Result<bool, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run_table(only, |row: &RowReport| {
        if !json {
            eprintln!("{row:#?}");
        }
    }))?;
    for left_out in &report.left_out {
        eprintln!("left out: {}: {}", left_out.row, left_out.why);
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn time_recovery(options: RecoveryTimeOptions, json: bool) -> Result<bool, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(recovery_time::measure(options, |row: &RecoveryTime| {
        if !json {
            eprintln!("{row:?}");
        }
    }))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn time_restarts(options: RestartTimeOptions, json: bool) -> Result<bool, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(restart_time::measure(options, |run| {
        if !json {
            eprintln!("run {run} is done");
        }
    }))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_kept())
}

fn measure(options: &LinkOptions, json: bool) -> Result<bool, Box<dyn Error>> {
    let reports = links::measure(options)?;
    if !json {
        for report in &reports {
            eprintln!(
                "round trip {:.0} ms: {:.1} % of the links used, {:.2} s, first import after \
                 {:.2} s, {:.1} % delivered twice",
                report.round_trip_seconds * 1e3,
                report.utilisation * 1e2,
                report.seconds,
                report.first_import_seconds,
                report.duplicate_fraction * 1e2,
            );
        }
    }
    println!("{}", serde_json::json!({ "links": reports }));
    Ok(true)
}

fn regret(options: RegretOptions, json: bool) -> Result<bool, Box<dyn Error>> {
    let report = simulate(options);
    if !json {
        eprintln!("lost of what the best peer would have brought, in the second half of each run:");
        for (strategy, changes) in &report.strategies {
            eprint!("{strategy:<20}");
            for (change, regret) in changes {
                let change = format!("{change:?}").to_lowercase();
                eprint!("  {change} {:>5.1} %", regret.fraction_last_half * 1e2);
            }
            eprintln!();
        }
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(true)
}

fn run_seed(args: &SeedArgs) -> Result<bool, Box<dyn Error>> {
    let fixture = Arc::new(Fixture::new(args.blocks)?);
    let plan = Plan::of(args.scenario, args.seed, args.blocks);
    let outcome = shown(args, run(&plan, &fixture, None)?);
    println!("{}", line(args, &outcome, None));
    Ok(outcome.broken.is_empty())
}

fn replay(args: &SeedArgs, hash: Option<String>) -> Result<bool, Box<dyn Error>> {
    let fixture = Arc::new(Fixture::new(args.blocks)?);
    let plan = Plan::of(args.scenario, args.seed, args.blocks);
    let outcome = shown(args, run(&plan, &fixture, None)?);
    let expected = match hash {
        Some(hash) => hash,
        None => {
            let second = run(&plan, &fixture, None)?;
            let events = outcome.events.iter().zip(&second.events);
            if let Some(at) = { events }.position(|(one, other)| one != other) {
                eprintln!("the runs part at event {at}:");
                eprintln!("  {:?}\n  {:?}", outcome.events.get(at), second.events.get(at));
            }
            second.hash
        }
    };
    let same = outcome.hash == expected;
    println!("{}", line(args, &outcome, Some(same)));
    Ok(same && outcome.broken.is_empty())
}

fn shown(args: &SeedArgs, outcome: Outcome) -> Outcome {
    eprintln!("{:#?}", outcome.plan);
    if args.events {
        for stamped in &outcome.events {
            eprintln!("{:>12.3} ms  {:?}", stamped.at.as_secs_f64() * 1e3, stamped.event);
        }
    }
    complain(&outcome, args.scenario, args.blocks);
    outcome
}

fn line(args: &SeedArgs, outcome: &Outcome, same: Option<bool>) -> serde_json::Value {
    let mut line = serde_json::json!({
        "seed": args.seed,
        "hash": outcome.hash,
        "events": outcome.events.len(),
        "broken": outcome.broken.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(same) = same {
        line["same"] = same.into();
    }
    line
}

fn complain(outcome: &Outcome, scenario: plan::Scenario, blocks: u64) {
    for broken in &outcome.broken {
        eprintln!("seed {}: BROKEN {broken}", outcome.plan.seed);
        eprintln!("{}", reproduce(outcome, scenario, blocks));
    }
}

fn reproduce(outcome: &Outcome, scenario: plan::Scenario, blocks: u64) -> String {
    let seed = outcome.plan.seed;
    format!(
        "  reproduce: cargo run --release -p chaos -- replay --scenario {scenario} --seed {seed} \
         --blocks {blocks} --events"
    )
}
