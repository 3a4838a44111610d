//! What `bench sync` measured, for people and for machines.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{
    faulty_servers::OneBlock,
    links::{Hanging, Links, ROUND_TRIPS_MS},
    memory::Memory,
    sizes::Sizes,
    speed::{OldRow, OursRow, Speeds},
    usage::LostSeconds,
};
use crate::cli::bench::headline::{Bound, Headline};

/// Bytes in a MiB.
const MIB: f64 = (1 << 20) as f64;

/// What was measured; the parts that were not are `None`.
pub(super) struct Report {
    pub(super) quick: bool,
    /// Cores of this machine that the process may use.
    pub(super) cores: usize,
    pub(super) sizes: Sizes,
    pub(super) speeds: Option<Speeds>,
    pub(super) links: Option<Links>,
    pub(super) hanging: Option<Hanging>,
    pub(super) one_block: Option<OneBlock>,
    pub(super) memory: Option<Memory>,
}

impl Report {
    /// The object for machines: a key for each headline, `null` where it was not measured, and the
    /// tables behind them.
    pub(super) fn json(&self) -> Value {
        let old = self.old();
        let links = self.links.as_ref();
        let utilisation: Option<BTreeMap<String, f64>> = links.map(|links| {
            links.rows.iter().map(|row| (row.round_trip_ms.to_string(), row.utilisation)).collect()
        });
        let hedges = |of: fn(&Links) -> u64| links.map(of);
        json!({
            "quick": self.quick,
            "cores": self.cores,
            "rounds": self.sizes.rounds,
            "old_algorithm_blocks_per_second": old.map(|old| old.blocks_per_second),
            "old_algorithm_without_execution_blocks_per_second":
                old.map(|old| old.without_execution_blocks_per_second),
            "old_algorithm_comparable": old.map(OldRow::is_comparable),
            "old_algorithm_note": old.map(OldRow::note),
            "one_peer_ratio": self.ours(1).map(|row| row.over_old),
            "eight_peers_ratio": self.ours(8).map(|row| row.over_old),
            "verification_cpu_share": self.ours(8).and_then(|row| row.verification_cpu_share),
            "link_utilisation": utilisation,
            "duplicate_fraction": links.map(Links::duplicate_fraction),
            "hedges_sent": hedges(|links| links.rows.iter().map(|row| row.hedges_sent).sum()),
            "hedges_won": hedges(|links| links.rows.iter().map(|row| row.hedges_won).sum()),
            "hanging_peer_cost": self.hanging.as_ref().map(|hanging| hanging.cost),
            "one_block_servers_share": self.one_block.as_ref().map(|one_block| one_block.share),
            "peak_memory_bytes_throttled":
                self.memory.as_ref().map(|memory| memory.peak_memory_bytes_throttled),
            "speeds": self.speeds,
            "links": self.links,
            "hanging": self.hanging,
            "one_block": self.one_block,
            "memory": self.memory,
        })
    }

    fn old(&self) -> Option<&OldRow> {
        self.speeds.as_ref().map(|speeds| &speeds.old)
    }

    fn ours(&self, peers: u8) -> Option<&OursRow> {
        self.speeds.as_ref()?.ours.iter().find(|row| row.peers == peers)
    }

    fn headlines(&self) -> Vec<Headline> {
        let headline = |text: String, value, bound| Headline { text, value, bound: Some(bound) };
        let mut all = Vec::new();
        for (peers, text, bound) in
            [(1, "ours with one peer over the old algorithm", 5.0), (8, "with eight peers", 10.0)]
        {
            let value = self.ours(peers).map(|row| row.over_old);
            all.push(headline(text.to_owned(), value, Bound::AtLeast(bound)));
        }
        for round_trip_ms in ROUND_TRIPS_MS {
            let rows = self.links.iter().flat_map(|links| &links.rows);
            let row = rows.into_iter().find(|row| row.round_trip_ms == round_trip_ms);
            let text = format!("use of eight links, round trip {round_trip_ms} ms");
            all.push(headline(text, row.map(|row| row.utilisation), Bound::AtLeast(0.90)));
        }
        let duplicates = self.links.as_ref().map(Links::duplicate_fraction);
        let hanging = self.hanging.as_ref().map(|hanging| hanging.cost);
        let one_block = self.one_block.as_ref().map(|one_block| one_block.share);
        let memory = self.memory.as_ref().and_then(|memory| memory.peak_memory_bytes_throttled);
        let memory = memory.map(|bytes| bytes as f64 / MIB);
        all.extend([
            headline("received more than once".to_owned(), duplicates, Bound::AtMost(0.05)),
            headline("cost of a peer that hangs".to_owned(), hanging, Bound::AtMost(0.10)),
            headline("use of one-block servers".to_owned(), one_block, Bound::AtLeast(0.85)),
            headline("peak memory with a slow store, MiB".to_owned(), memory, Bound::AtMost(256.0)),
        ]);
        all
    }
}

/// A figure that may not be known.
fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rounds, cores) = (self.sizes.rounds, self.cores);
        let quick = if self.quick { "; QUICK: starts and ends count for much" } else { "" };
        writeln!(f, "{cores} cores for nodes, servers and links together{quick}")?;
        if let Some(speeds) = &self.speeds {
            let Speeds { chain_blocks, block_bytes, .. } = speeds;
            writeln!(f, "\n{chain_blocks} blocks of {block_bytes} bytes, medians of {rounds}")?;
            write_speeds(speeds, f)?;
        }
        if let Some(links) = &self.links {
            write_links(links, f)?;
        }
        if let Some(hanging) = &self.hanging {
            let Hanging { seconds_without, seconds_with, hedges_sent, hedges_won, .. } = hanging;
            write!(f, "\nseven peers {seconds_without:.2} s, with an eighth that hangs ")?;
            writeln!(f, "{seconds_with:.2} s; {hedges_sent} hedges, {hedges_won} won")?;
        }
        if let Some(one_block) = &self.one_block {
            let OneBlock { chain_blocks, seconds, blocks_a_round_trip, cores_used, .. } = one_block;
            write!(f, "\none block a request: {chain_blocks} blocks in {seconds:.2} s, ")?;
            write!(f, "{blocks_a_round_trip:.0} a round trip, ")?;
            writeln!(f, "{} cores used by the node", maybe(*cores_used))?;
        }
        if let Some(memory) = &self.memory {
            write_memory(memory, f)?;
        }
        writeln!(f)?;
        for headline in self.headlines() {
            writeln!(f, "{headline}")?;
        }
        Ok(())
    }
}

fn write_speeds(speeds: &Speeds, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let titles = ["blocks/s", "over old", "first import s", "verification CPU", "cores used"];
    let [speed, over, first, share, cores] = titles;
    writeln!(f, "{:>14} {speed:>9} {over:>9} {first:>15} {share:>17} {cores:>11}", "")?;
    let old = &speeds.old;
    let (name, speed) = ("old algorithm", old.without_execution_blocks_per_second);
    write!(f, "{name:>14} {speed:>9.0} {:>9}", "1.00")?;
    writeln!(f, " {:>15} {:>17} {:>11}", "", "", maybe(old.cores_used))?;
    for row in &speeds.ours {
        write!(f, "{:>14} {:>9.0}", format!("{} peers", row.peers), row.blocks_per_second)?;
        write!(f, " {:>9.2} {:>15.2}", row.over_old, row.first_import_seconds)?;
        let share = maybe(row.verification_cpu_share);
        writeln!(f, " {share:>17} {:>11}", maybe(row.cores_used))?;
    }
    let (calls, note) = (old.blocks_per_second, old.note());
    writeln!(f, "old algorithm with calls to an execution client that agrees at once: {calls:.0}")?;
    writeln!(f, "{note}")
}

fn write_links(links: &Links, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Links { chain_blocks, travelling_block_bytes, rows } = links;
    write!(f, "\n8 links of 20 Mbit/s, {chain_blocks} blocks of {travelling_block_bytes} bytes ")?;
    writeln!(f, "as they travel; from before the node dials to its last import")?;
    let titles = ["seconds", "first import s", "use", "more than once", "hedges", "won"];
    let [seconds, first, used, twice, hedges, won] = titles;
    write!(f, "{:>14} {seconds:>9} {first:>15} {used:>7} {twice:>15}", "round trip ms")?;
    writeln!(f, " {hedges:>7} {won:>4}  s lost at start, middle, end; link late, ms; cores used")?;
    for row in rows {
        write!(f, "{:>14} {:>9.2}", row.round_trip_ms, row.seconds)?;
        write!(f, " {:>15.2} {:>7.3}", row.first_import_seconds, row.utilisation)?;
        write!(
            f,
            " {:>15.4} {:>7} {:>4}",
            row.duplicate_fraction, row.hedges_sent, row.hedges_won
        )?;
        let LostSeconds { start, middle, end } = row.lost_seconds;
        write!(f, "  {start:.2}, {middle:.2}, {end:.2}; ")?;
        let late = 1_000.0 * row.link_late_max_seconds;
        writeln!(f, "{late:.0}; {}", maybe(row.cores_used))?;
    }
    Ok(())
}

fn write_memory(memory: &Memory, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mib = |bytes: Option<u64>| maybe(bytes.map(|bytes| bytes as f64 / MIB));
    let (free, throttled) = (memory.peak_memory_bytes, memory.peak_memory_bytes_throttled);
    let rates =
        (memory.bytes_per_second / 1e6, memory.throttled_bytes_per_second.get() as f64 / 1e6);
    write!(f, "\n{} blocks, {} bytes: ", memory.chain_blocks, memory.chain_bytes)?;
    write!(f, "{:.1} MB/s, peak memory {} MiB; ", rates.0, mib(free))?;
    writeln!(f, "with a store of {:.1} MB/s {} MiB", rates.1, mib(throttled))
}
