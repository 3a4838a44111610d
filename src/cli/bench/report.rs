//! What was measured, for people and for machines.

use std::fmt;

use serde_json::{Value, json};

use super::{
    headline::{Bound, Headline},
    pool::PoolRow,
    scan::ScanRow,
    signatures::{HEADLINE_AUTHORITIES, HEADLINE_BATCH, MOST_AUTHORITIES, SignatureRow, WrongRow},
};
use crate::cli::summary::Summary;

/// What `bench verify` found.
pub(super) struct Report {
    /// Cores of this machine that the process may use.
    pub(super) cores: usize,
    pub(super) rounds: u32,
    pub(super) signatures: Vec<SignatureRow>,
    pub(super) wrong: Vec<WrongRow>,
    pub(super) scan: Vec<ScanRow>,
    /// Of the block of 1.8 kB.
    pub(super) over_verify: Option<f64>,
    pub(super) pool: Vec<PoolRow>,
    pub(super) demo: Summary,
}

impl Report {
    /// The object for machines: a key for each headline, and the tables.
    pub(super) fn json(&self) -> Value {
        let mut json = json!({
            "cores": self.cores,
            "rounds": self.rounds,
            "signatures": self.signatures,
            "wrong": self.wrong,
            "scan": self.scan,
            "pool": self.pool,
            "demo": self.demo.json(),
        });
        for (key, headline) in self.headlines() {
            json[key] = json!(headline.value);
        }
        json
    }

    fn headlines(&self) -> Vec<(&'static str, Headline)> {
        let usual = self.batch_of(HEADLINE_AUTHORITIES);
        let most = self.batch_of(MOST_AUTHORITIES);
        let of_n = format!("n = {HEADLINE_BATCH}, {HEADLINE_AUTHORITIES} authorities");
        let headline = |key, text: String, value, bound| (key, Headline { text, value, bound });
        let mut all = vec![
            headline(
                "grouped_over_single",
                format!("grouped over single, {of_n}"),
                usual.map(|row| row.grouped_over_single),
                Some(Bound::AtMost(0.40)),
            ),
            headline(
                "grouped_over_blst_batch",
                format!("grouped over blst's batch, {of_n}"),
                usual.map(|row| row.grouped_over_blst_batch),
                Some(Bound::AtMost(0.70)),
            ),
            headline(
                "fifteen_authorities_over_blst_batch",
                format!("the same with {MOST_AUTHORITIES} authorities"),
                most.map(|row| row.grouped_over_blst_batch),
                Some(Bound::AtMost(0.80)),
            ),
            headline(
                "one_bad_over_clean",
                format!("one wrong over clean, {of_n}"),
                self.wrong.iter().find(|row| row.wrong == 1).map(|row| row.over_clean),
                None,
            ),
            headline(
                "scan_and_root_over_verify",
                "reading 1.8 kB over its signature in a batch".to_owned(),
                self.over_verify,
                Some(Bound::AtMost(0.05)),
            ),
            headline(
                "two_workers_over_one",
                "two workers over one".to_owned(),
                self.pool_of(2),
                self.in_reach(2).then_some(Bound::AtLeast(1.8)),
            ),
        ];
        if let Some(value) = self.pool_of(4) {
            let bound = self.in_reach(4).then_some(Bound::AtLeast(3.0));
            let text = "four workers over one".to_owned();
            all.push(headline("four_workers_over_one", text, Some(value), bound));
        }
        all.push(headline(
            "signature_cpu_share",
            "signatures' share of all CPU time of a syncing process".to_owned(),
            self.demo.signature_cpu_share(),
            Some(Bound::AtLeast(0.70)),
        ));
        all
    }

    fn batch_of(&self, authorities: usize) -> Option<&SignatureRow> {
        let of = |row: &&SignatureRow| {
            (row.authorities, row.signatures) == (authorities, HEADLINE_BATCH)
        };
        self.signatures.iter().find(of)
    }

    fn pool_of(&self, workers: usize) -> Option<f64> {
        self.pool.iter().find(|row| row.workers == workers).map(|row| row.over_one)
    }

    const fn in_reach(&self, workers: usize) -> bool {
        workers <= self.cores
    }
}

/// Microseconds of `seconds`.
fn micros(seconds: f64) -> f64 {
    seconds * 1e6
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rounds, cores) = (self.rounds, self.cores);
        writeln!(f, "medians of {rounds} rounds on {cores} cores, CPU time of one block in us\n")?;
        let title = ["authorities", "batch", "single", "blst batch", "grouped"];
        let [authorities, batch, single, blst, grouped] = title;
        write!(f, "{authorities:>11} {batch:>6} {single:>8} {blst:>11} {grouped:>8}")?;
        writeln!(f, "  grouped over single   over blst batch")?;
        for row in &self.signatures {
            write!(f, "{:>11} {:>6}", row.authorities, row.signatures)?;
            write!(f, " {:>8.0}", micros(row.single_cpu_seconds))?;
            write!(f, " {:>11.0}", micros(row.blst_batch_cpu_seconds))?;
            write!(f, " {:>8.0}", micros(row.grouped_cpu_seconds))?;
            writeln!(
                f,
                " {:>20.2} {:>17.2}",
                row.grouped_over_single, row.grouped_over_blst_batch
            )?;
        }
        writeln!(f, "\n{:>11} {:>11}", "wrong", "over clean")?;
        for row in &self.wrong {
            writeln!(f, "{:>11} {:>11.2}", row.wrong, row.over_clean)?;
        }
        writeln!(f, "\n{:>11} {:>11} {:>21}", "block bytes", "reading", "over its signature")?;
        for row in &self.scan {
            let micros = micros(row.cpu_seconds);
            writeln!(f, "{:>11} {micros:>11.1} {:>21.3}", row.bytes, row.over_verify)?;
        }
        let [workers, speed, over_one] = ["workers", "blocks/s", "over one"];
        writeln!(f, "\n{workers:>11} {speed:>11} {over_one:>9}  CPU of a block, cores used")?;
        for row in &self.pool {
            write!(f, "{:>11} {:>11.0}", row.workers, row.blocks_per_second)?;
            write!(f, " {:>9.2}", row.over_one)?;
            match row.cpu_seconds.zip(row.cores_used) {
                Some((seconds, used)) => write!(f, "  {:>14.0} {used:>11.2}", micros(seconds))?,
                None => write!(f, "  unknown")?,
            }
            let busy = if self.in_reach(row.workers) { "" } else { "  more workers than cores" };
            writeln!(f, "{busy}")?;
        }
        writeln!(f, "\ndemo\n{}", self.demo)?;
        for (_, headline) in self.headlines() {
            writeln!(f, "{headline}")?;
        }
        Ok(())
    }
}
