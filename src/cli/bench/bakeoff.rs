//! `bench bakeoff`: our download policy against those of other clients, in virtual time.

#[path = "../../../benches/bakeoff/mod.rs"]
mod runs;

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::{Args, builder::PossibleValuesParser};
use runs::{Contender, Headlines, Mix, Row};
use serde_json::{Value, json};

use super::headline::{Bound, Headline};
use crate::cli::{Answer, Context, Ending, blocking, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  alys-sync bench bakeoff
  alys-sync bench bakeoff --seeds 20 --json
  alys-sync bench bakeoff --mix mixed-speeds,lossy --policy ours,geth,zebra";

/// Compare who is asked for what: our policy, and those of other clients, with the same peers
///
/// Each run syncs a chain of some hundreds of megabytes over eight links, in virtual time, with one
/// policy. All policies meet the same peers, links, losses and blocks: those of a mix and a seed.
/// The other clients' policies are written anew from what is published of them. Ends with 0
/// whoever is fastest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BakeoffArgs {
    /// How many runs of each policy in each mix
    #[arg(
        long, value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX)
    )]
    seeds: u64,
    /// Only these mixes of peers
    #[arg(
        long, value_name = "MIX,MIX", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Mix::ALL.map(Mix::name))
    )]
    mix: Vec<String>,
    /// Only these policies
    #[arg(
        long, value_name = "POLICY,POLICY", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Contender::ALL.map(Contender::name))
    )]
    policy: Vec<String>,
}

/// The most seeds. Unit: runs of each policy and mix. Source: some hours. Higher: mistyped.
const SEEDS_MAX: u64 = 1_000;

/// What the runs came to.
struct Report {
    seeds: u64,
    rows: Vec<Row>,
    headlines: Headlines,
}

/// Those of `all` whose name is among `names`; all if there are none.
fn chosen<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, names: &[String]) -> Vec<T> {
    let is_chosen = |one: &T| names.is_empty() || names.iter().any(|other| other == name(*one));
    all.iter().copied().filter(is_chosen).collect()
}

pub(super) async fn bakeoff(args: BakeoffArgs, context: Context) -> Result<Answer, Ending> {
    let BakeoffArgs { seeds, mix, policy } = args;
    let mixes = chosen(&Mix::ALL, Mix::name, &mix);
    let contenders = chosen(&Contender::ALL, Contender::name, &policy);
    let report = blocking(move || {
        let shown = Mutex::new(Progress::bar_or_lines(&context.bars));
        let (of, done) = (mixes.len() as u64 * contenders.len() as u64 * seeds, AtomicU64::new(0));
        let runs = runs::run_all(&mixes, &contenders, seeds, || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            shown.lock().unwrap_or_else(PoisonError::into_inner).work("runs", done, of);
            context.stop.check().is_ok()
        });
        context.stop.check()?;
        let runs = runs.unwrap_or_default();
        Ok(Report { seeds, rows: runs::rows(&runs), headlines: runs::headlines(&runs) })
    })
    .await?;
    Ok(Answer::new(report.to_string(), report.json()))
}

impl Report {
    fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "mix": row.mix.name(),
                "policy": row.contender.name(),
                "seconds": row.seconds,
                "over_fastest": row.over_fastest,
                "duplicates": row.duplicates,
                "gap_seconds": row.gap_seconds,
                "utilisation": row.utilisation,
                "given_up": row.given_up,
            })
        };
        let mut json = json!({
            "seeds": self.seeds,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        });
        for (key, headline) in self.headlines() {
            json[key] = json!(headline.value);
        }
        json
    }

    fn headlines(&self) -> [(&'static str, Headline); 4] {
        let of = &self.headlines;
        let headline = |key, text: &str, value, bound| {
            let (text, bound) = (text.to_owned(), Some(bound));
            (key, Headline { text, value, bound })
        };
        [
            headline(
                "fastest_share",
                "runs in which ours is the fastest",
                of.fastest_share,
                Bound::AtLeast(0.9),
            ),
            headline(
                "margin_on_mixed_speeds",
                "mixed speeds: how much longer the best other takes",
                of.margin_on_mixed_speeds,
                Bound::AtLeast(0.2),
            ),
            headline(
                "margin_over_fixed_on_mixed_speeds",
                "mixed speeds: how much longer the fixed size takes",
                of.margin_over_fixed_on_mixed_speeds,
                Bound::AtLeast(0.2),
            ),
            headline(
                "worst_loss",
                "how much longer than the fastest ours takes at worst",
                of.worst_loss,
                Bound::AtMost(0.05),
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "medians of {} seeds, in virtual time\n", self.seeds)?;
        write!(f, "{:<14} {:<10} {:>8} {:>12}", "mix", "policy", "time s", "over fastest")?;
        writeln!(f, " {:>10} {:>8} {:>10}", "duplicates", "gap s", "links used")?;
        for row in &self.rows {
            write!(f, "{:<14} {:<10}", row.mix.name(), row.contender.name())?;
            write!(f, " {:>8.2} {:>12.3}", row.seconds, row.over_fastest)?;
            write!(f, " {:>10.3} {:>8.2}", row.duplicates, row.gap_seconds)?;
            write!(f, " {:>10.3}", row.utilisation)?;
            match row.given_up {
                0 => writeln!(f)?,
                given_up => writeln!(f, "  {given_up} given up")?,
            }
        }
        writeln!(f)?;
        self.headlines().iter().try_for_each(|(_, headline)| writeln!(f, "{headline}"))
    }
}
