//! Whether our own link is cut: when everybody falls silent at once, nobody is to blame. Pure.
//!
//! It is told what the requests under way look like a few times a second, and how those that ended
//! did. It says once that the link is cut, and since when, and once that it works again: at the
//! first block that arrives. What led to one cut is forgotten with it, so the next one has to show
//! itself anew.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::types::PeerId;

/// Silence of everybody that is asked, after which the link is taken for cut. Unit: time. Source:
/// the product wants it told within 5 s, and it is looked at four times a second. Too low: a pause
/// of a loaded machine looks like a cut. Too high: it is told late.
const SILENCE: Duration = Duration::from_millis(4_250);

/// The same where at least [`LATE_PEERS`] wait for far longer than they ever have to. Too low: a
/// short jam looks like a cut.
const LATE: Duration = Duration::from_secs(2);

/// Silence of those that are asked, after which others are asked, too: only they can tell whether
/// it is the link. Unit: time. Too low: needless requests. Too high: the answer comes too late.
const SUSPICION: Duration = Duration::from_millis(1_500);

/// So many peers must be silent for their silence to be that of the link; all, where there are
/// fewer. Too low: a few bad peers look like a cut. Too high: needless requests.
const SILENT_PEERS: usize = 4;

/// How many times its usual wait a peer must be late to count. Too low: one loss of a packet does.
const LATE_TIMES: u32 = 8;

/// How many must be late at once. Fewer may be slow by themselves.
const LATE_PEERS: usize = 3;

/// How long nobody may be connected. Unit: time. Too low: a peer that restarts looks like a cut.
const ALONE: Duration = Duration::from_secs(4);

/// Connections lost within [`TOGETHER`], the last one with them, that need no more waiting.
const LOST_TOGETHER: usize = 3;

/// See [`LOST_TOGETHER`]. Unit: time.
const TOGETHER: Duration = Duration::from_secs(1);

/// Silence after which connections are given up: TCP itself would wait for minutes. Unit: time.
/// Source: the longest that a block may take by default, so that nothing is lost that would still
/// have been of use. Too low: slow links lose what is on its way. Too high: progress is late when
/// the link is back.
const DEAD: Duration = Duration::from_millis(8_500);

/// Over which time requests that ended are counted. Unit: time.
const WINDOW: Duration = Duration::from_secs(10);

/// Fewer ends of requests than this say nothing.
const ENDS_MIN: usize = 6;

/// Of the requests that ended, the part that failed as a dead link makes them fail, at least. Unit:
/// percent.
const FAILED_PERCENT: usize = 90;

/// Nothing may have arrived for so long. Unit: time. Too low: a burst of bad luck is enough.
const NOTHING_FOR: Duration = Duration::from_secs(2);

/// Ends of requests kept. Unit: requests. Source: more than eight peers end in ten seconds, on
/// links where the ratio says something.
const ENDS_MAX: usize = 4_096;

/// What shows that the link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutSign {
    /// All connections are gone, and not by us.
    NoPeers,
    /// Nothing arrives from anybody who is asked.
    Silence,
    /// Nearly all requests to several peers fail.
    Failures,
    /// Several peers are far later than ever, and nobody else answers.
    Latency,
}

impl fmt::Display for CutSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPeers => "all connections are gone",
            Self::Silence => "nothing arrives from anybody",
            Self::Failures => "requests to all peers fail",
            Self::Latency => "all peers are far later than usual",
        })
    }
}

/// That our own link is cut, for people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinkCut {
    /// What showed it.
    pub sign: CutSign,
    /// For how long. Unit: seconds.
    pub seconds: f64,
}

impl fmt::Display for LinkCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "our own link is cut for {:.0} s: {}", self.seconds, self.sign)
    }
}

/// The requests under way at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// When anything last arrived from anybody.
    pub last_arrival: Option<Duration>,
    /// Who is waited for, and since when: the longest of its requests.
    pub waiting: BTreeMap<PeerId, Duration>,
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNews {
    /// The link is cut.
    Cut {
        /// What shows it.
        sign: CutSign,
        /// When it last worked: what peers failed since then is not their fault.
        since: Duration,
    },
    /// It has been silent for so long that no connection over it is worth keeping.
    Dead,
    /// It works again.
    Healed {
        /// How long it was cut.
        after: Duration,
    },
}

/// The silence of everybody that is asked.
#[derive(Debug, Clone)]
struct Silence {
    since: Duration,
    /// When each of them was last waited for, or failed.
    peers: BTreeMap<PeerId, Duration>,
    /// Whether others were asked because of it.
    suspected: bool,
}

impl Silence {
    /// How many are asked and silent now.
    fn peers(&self, now: Duration) -> usize {
        let fresh = |last: &&Duration| now.saturating_sub(**last) <= NOTHING_FOR;
        self.peers.values().filter(fresh).count()
    }
}

/// Watches our own link.
#[derive(Debug, Default)]
pub struct LinkWatch {
    cut: Option<(Duration, CutSign)>,
    /// When connections are given up, if the link is cut and they are not yet.
    dead_at: Option<Duration>,
    silence: Option<Silence>,
    last_arrival: Option<Duration>,
    /// How requests ended: when, whose, whether as on a dead link.
    ends: VecDeque<(Duration, PeerId, bool)>,
    connected: BTreeSet<PeerId>,
    /// Connections lost, and not by us, since the last arrival.
    lost: VecDeque<Duration>,
    alone_since: Option<Duration>,
}

impl LinkWatch {
    /// Whether the link is cut.
    pub fn cut(&self, now: Duration) -> Option<LinkCut> {
        let (since, sign) = self.cut?;
        Some(LinkCut { sign, seconds: now.saturating_sub(since).as_secs_f64() })
    }

    /// Exactly these are connected.
    pub fn connected(&mut self, now: Duration, peers: BTreeSet<PeerId>) {
        let lost = self.connected.difference(&peers).count();
        self.lost.extend(std::iter::repeat_n(now, lost.min(LOST_TOGETHER)));
        while self.lost.len() > LOST_TOGETHER {
            self.lost.pop_front();
        }
        if !peers.is_empty() {
            self.alone_since = None;
        } else if !self.connected.is_empty() {
            self.alone_since = Some(now);
        }
        self.connected = peers;
    }

    /// Our network was started again, and exactly these are connected: that others no longer are is
    /// no sign of anything.
    pub fn restarted(&mut self, peers: BTreeSet<PeerId>) {
        self.connected = peers;
        self.alone_since = None;
    }

    /// We closed the connection to `peer`: that is no sign of anything.
    pub fn dropped(&mut self, peer: PeerId) {
        self.connected.remove(&peer);
    }

    /// A request ended, as on a dead link or not.
    pub fn ended(&mut self, now: Duration, peer: PeerId, as_on_a_dead_link: bool) {
        if self.ends.len() >= ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back((now, peer, as_on_a_dead_link));
        if as_on_a_dead_link {
            self.is_silent(now, now, [peer]);
        }
    }

    /// Looks at what is under way. `usual` is how long a peer usually takes, where that is known.
    pub fn look(
        &mut self,
        now: Duration,
        traffic: &Traffic,
        usual: impl Fn(&PeerId) -> Option<Duration>,
    ) -> Option<LinkNews> {
        if traffic.last_arrival > self.last_arrival {
            self.last_arrival = traffic.last_arrival;
            self.silence = None;
            self.lost.clear();
            self.dead_at = None;
            if let Some((cut, _)) = self.cut.take() {
                self.ends.clear();
                return Some(LinkNews::Healed { after: now.saturating_sub(cut) });
            }
        }
        if let Some(since) = traffic.waiting.values().min() {
            let since = self.last_arrival.map_or(*since, |arrival| arrival.max(*since));
            self.is_silent(since, now, traffic.waiting.keys().copied());
        }
        if self.silence.as_ref().is_some_and(|silence| silence.peers(now) == 0) {
            // Nobody has been asked for a while: silence now says nothing.
            self.silence = None;
        }
        if self.cut.is_some() {
            let dead = self.dead_at.is_some_and(|at| now >= at);
            return dead.then(|| {
                self.dead_at = None;
                LinkNews::Dead
            });
        }
        let sign = self.sign(now, traffic, usual)?;
        self.cut = Some((now, sign));
        let silent_since = self.silence.as_ref().map_or(now, |silence| silence.since);
        let since = self.last_arrival.unwrap_or(silent_since).min(silent_since);
        self.dead_at = Some(match sign {
            CutSign::NoPeers => now,
            CutSign::Silence | CutSign::Failures | CutSign::Latency => now.max(since + DEAD),
        });
        self.silence = None;
        self.ends.clear();
        self.lost.clear();
        Some(LinkNews::Cut { sign, since })
    }

    /// Whom to ask for anything at all, of the `usable`, because those that are asked have been
    /// silent for a while. Once for each silence.
    pub fn to_ask(
        &mut self,
        now: Duration,
        usable: impl IntoIterator<Item = PeerId>,
    ) -> Vec<PeerId> {
        let enough = self.enough();
        let Some(silence) = self.silence.as_mut().filter(|silence| !silence.suspected) else {
            return Vec::new();
        };
        if self.cut.is_some() || now.saturating_sub(silence.since) < SUSPICION {
            return Vec::new();
        }
        silence.suspected = true;
        let others = usable.into_iter().filter(|peer| !silence.peers.contains_key(peer));
        others.take(enough.saturating_sub(silence.peers(now))).collect()
    }

    /// How many silent peers are the link's silence. With one peer its silence is all there is to
    /// see.
    fn enough(&self) -> usize {
        self.connected.len().clamp(1, SILENT_PEERS)
    }

    fn is_silent(
        &mut self,
        since: Duration,
        now: Duration,
        peers: impl IntoIterator<Item = PeerId>,
    ) {
        let silence = self.silence.get_or_insert_with(|| Silence {
            since,
            peers: BTreeMap::new(),
            suspected: false,
        });
        silence.peers.extend(peers.into_iter().map(|peer| (peer, now)));
    }

    fn sign(
        &mut self,
        now: Duration,
        traffic: &Traffic,
        usual: impl Fn(&PeerId) -> Option<Duration>,
    ) -> Option<CutSign> {
        let together = self.lost.len() >= LOST_TOGETHER
            && self.lost.iter().all(|at| now.saturating_sub(*at) <= TOGETHER);
        let alone = self.alone_since.is_some_and(|since| {
            self.connected.is_empty() && (together || now.saturating_sub(since) >= ALONE)
        });
        if alone {
            self.alone_since = None;
            return Some(CutSign::NoPeers);
        }
        let enough = self.enough();
        let silent = self.silence.as_ref().is_some_and(|silence| {
            now.saturating_sub(silence.since) >= SILENCE && silence.peers(now) >= enough
        });
        if silent {
            return Some(CutSign::Silence);
        }
        if self.last_arrival.is_some_and(|arrival| now.saturating_sub(arrival) < NOTHING_FOR) {
            return None;
        }
        self.failures(now).or_else(|| {
            let late = |(peer, since): (&PeerId, &Duration)| {
                let usual = usual(peer)?.saturating_mul(LATE_TIMES).max(LATE);
                (now.saturating_sub(*since) >= usual).then_some(())
            };
            let late = traffic.waiting.iter().filter_map(late).count();
            let all = late == traffic.waiting.len() && late >= enough;
            (late >= LATE_PEERS && all).then_some(CutSign::Latency)
        })
    }

    fn failures(&mut self, now: Duration) -> Option<CutSign> {
        while self.ends.front().is_some_and(|(at, ..)| now.saturating_sub(*at) > WINDOW) {
            self.ends.pop_front();
        }
        let failed = self.ends.iter().filter(|(.., failed)| *failed);
        let peers: BTreeSet<_> = failed.clone().map(|(_, peer, _)| *peer).collect();
        let all = self.ends.len();
        let nearly_all = failed.count() * 100 >= all * FAILED_PERCENT;
        (all >= ENDS_MIN && nearly_all && peers.len() >= 2).then_some(CutSign::Failures)
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
