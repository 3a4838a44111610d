//! `peers`: who is known and how good, who is kept out; of a running node or of its directory.

use std::path::PathBuf;

use alys_sync::{
    http::{BanAnswer, ask_status, ban_peer, lift_ban},
    ports::{Clock as _, Journal as _, SystemClock},
    reputation::{BanStatus, PeerState, PeerStatus, ReputationSettings, StoppedPeers},
    types::PeerId,
};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Answer, Ending, blocking,
    input::open_existing_store,
    place::{NodeArgs, Place},
    status::not_told,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync peers list --data-dir node
  alys-sync peers ban 12D3KooWRym... --data-dir node --for-seconds 86400
  alys-sync peers lift 12D3KooWRym... --url http://127.0.0.1:9092";

/// Show peers with their scores, and keep them out or let them in
///
/// With --data-dir it asks the node that runs there; if none does, it reads and changes what is
/// stored.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PeersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show all peers
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Keep a peer out
    Ban {
        /// Who
        peer: PeerId,
        /// For how long; without it, as long as one that lied
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        for_seconds: Option<u64>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Let a peer in again, and forget its offences
    Lift {
        /// Who
        peer: PeerId,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// What is done to the peers of a node that does not run.
type Change = Box<dyn FnOnce(&mut StoppedPeers) -> BanAnswer + Send>;

pub(crate) async fn peers(args: PeersArgs) -> Result<Answer, Ending> {
    match args.what {
        What::List { node } => match node.place().await? {
            Place::Running(url) => {
                let report = ask_status(&url).await.map_err(not_told)?;
                list(&report.sync.peers)
            }
            Place::Stopped(dir) => {
                let peers = blocking(move || {
                    let (stopped, _) = stopped_peers(&dir)?;
                    Ok(stopped.peers())
                });
                list(&peers.await?)
            }
        },
        What::Ban { peer, for_seconds, node } => {
            let answer = match node.place().await? {
                Place::Running(url) => ban_peer(&url, peer, for_seconds).await.map_err(not_told)?,
                Place::Stopped(dir) => {
                    let length = for_seconds.map(std::time::Duration::from_secs);
                    let ban = Box::new(move |peers: &mut StoppedPeers| {
                        peers.ban(peer, length).map_or(BanAnswer::NotBanned, BanAnswer::Banned)
                    });
                    change(dir, ban).await?
                }
            };
            done(peer, &answer)
        }
        What::Lift { peer, node } => {
            let answer = match node.place().await? {
                Place::Running(url) => lift_ban(&url, peer).await.map_err(not_told)?,
                Place::Stopped(dir) => {
                    let lift = Box::new(move |peers: &mut StoppedPeers| {
                        if peers.lift(peer) { BanAnswer::Lifted } else { BanAnswer::NotBanned }
                    });
                    change(dir, lift).await?
                }
            };
            done(peer, &answer)
        }
    }
}

async fn change(dir: PathBuf, change: Change) -> Result<BanAnswer, Ending> {
    blocking(move || {
        let (mut peers, journal) = stopped_peers(&dir)?;
        let answer = change(&mut peers);
        let (changed, forgotten) = peers.into_changes();
        journal.store_peers(&changed, &forgotten).map_err(Ending::failed)?;
        Ok(answer)
    })
    .await
}

fn stopped_peers(
    dir: &std::path::Path,
) -> Result<(StoppedPeers, impl alys_sync::ports::Journal), Ending> {
    let (store, _) = open_existing_store(dir, None)?;
    let journal = store.records().map_err(Ending::failed)?;
    let (stored, damaged) = journal.peers().map_err(Ending::failed)?;
    for error in damaged {
        eprintln!("WARNING: {error}: it is not used");
    }
    let now = SystemClock::start().unix();
    Ok((StoppedPeers::new(now, ReputationSettings::default(), stored), journal))
}

fn done(peer: PeerId, answer: &BanAnswer) -> Result<Answer, Ending> {
    let text = match answer {
        BanAnswer::Banned(ban) => format!("{peer} is kept out {}", until(ban)),
        BanAnswer::Lifted => format!("{peer} is let in again"),
        BanAnswer::NotBanned => format!("{peer} was not kept out"),
        BanAnswer::Refused(why) => why.clone(),
    };
    Ok(Answer::new(text, json!({ "peer": peer.to_string(), "answer": answer })))
}

fn until(ban: &BanStatus) -> String {
    let now = SystemClock::start().unix().as_secs();
    let left = ban.until_unix_seconds.saturating_sub(now);
    format!("for another {} h {:02} min ({})", left / 3_600, left / 60 % 60, ban.reason)
}

fn list(peers: &[PeerStatus]) -> Result<Answer, Ending> {
    let mut sorted: Vec<_> = peers.iter().collect();
    sorted.sort_by_key(|peer| (peer.ban.is_some(), std::cmp::Reverse(peer.score)));
    let mut lines = vec![format!(
        "{:<52}  {:>5}  {:>5} {:>5} {:>5} {:>5}  {:>9}  {:>8}  state",
        "peer", "score", "trust", "relia", "perfo", "behav", "blocks", "latency"
    )];
    lines.extend(sorted.iter().map(|peer| {
        let latency = peer.latency_seconds.map(|seconds| format!("{:.0} ms", seconds * 1e3));
        format!(
            "{:<52}  {:>5}  {:>5} {:>5} {:>5} {:>5}  {:>9}  {:>8}  {}",
            peer.peer,
            peer.score,
            peer.trust,
            peer.reliability,
            peer.performance,
            peer.behaviour,
            peer.blocks,
            latency.unwrap_or_else(|| "-".to_owned()),
            state(peer)
        )
    }));
    Ok(Answer::new(lines.join("\n"), json!({ "peers": sorted })))
}

fn state(peer: &PeerStatus) -> String {
    if let Some(ban) = &peer.ban {
        return format!("kept out {}", until(ban));
    }
    let state = match &peer.state {
        PeerState::Checking => "being checked",
        PeerState::Usable => "usable",
        PeerState::OtherChain { .. } => "of another chain",
        PeerState::Unsupported => "speaks no protocol of ours",
        PeerState::Banned => "kept out",
        PeerState::Gone => "not connected",
    };
    let probation = if peer.probation { ", under probation" } else { "" };
    format!("{state}{probation}")
}
