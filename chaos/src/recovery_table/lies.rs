//! Peers that send what no honest peer can have, what is of no use, or another chain.

use alys_sync::{
    reputation::{BanReason, PeerState},
    resilience::{BREAKER_FAILURES, ErrorClass},
    types::Height,
};

use super::{Outcome, Table, watched::Watched};
use crate::processes::{
    SceneError,
    bad_server::Behaviour,
    said::{Said, Standing},
    scene::{NodeOptions, Scene, Server, ServerOptions},
};

/// What a node does with a peer that proves that it lies.
const THROWS_OUT: &str = "the liar is banned for it, and no other; an honest peer serves the chain";

/// What a node does with a peer whose replies are of no use.
const ASKS_OTHERS: &str =
    "others are asked; it is set back, and left alone where it fails; it is not banned";

/// What a node does for which everybody has another chain.
const KEEPS_ITS_OWN: &str = "its blocks stay; it says that nobody continues them, and when it \
                             tries again; it goes on by itself when an honest peer appears; \
                             nobody is banned";

/// What a peer is worth of which nothing is known. Unit: thousandths. Source: the scores' start.
const START: u16 = 500;

/// The height of the node whose peers are on a fork.
const OURS: Height = Height::new(600);

/// The last block that the fork shares with the chain.
const PARTS_ABOVE: Height = Height::new(300);

/// Where the fork ends.
const FORK_HEAD: Height = Height::new(1_000);

/// The identity of the server that appears late.
const APPEARS: u8 = 2;

/// How many requests of a sync of seconds such a peer may fail. Source: with pauses that begin at a
/// quarter of a second and double, six in eight seconds, and a few that were open together. Were
/// they all as long as the first, it would be thirty.
const ASKED_MAX: u64 = 12;

/// All rows of what peers send.
pub(super) async fn rows(table: &mut Table<'_>, scene: &Scene) -> Result<(), SceneError> {
    use ErrorClass::{DownloadFailure, InvalidBlock, Reorganisation};
    for (behaviour, caused_by) in [
        (Behaviour::WrongSignatures, "a peer whose blocks carry approvals of others"),
        (Behaviour::NotCanonical, "a peer whose blocks lack their last byte"),
    ] {
        table.row(InvalidBlock, caused_by, THROWS_OUT, lies(scene, behaviour)).await?;
    }
    for (behaviour, caused_by) in [
        (Behaviour::Empty, "a peer whose replies are empty"),
        (Behaviour::Refusing, "a peer that refuses every request"),
    ] {
        table.row(DownloadFailure, caused_by, ASKS_OTHERS, useless(scene, behaviour)).await?;
    }
    let caused_by = "all peers on a fork that a majority signed, until an honest one appears";
    table.row(Reorganisation, caused_by, KEEPS_ITS_OWN, forked(scene)).await
}

/// A node with two peers, of which one behaves, and takes its time.
async fn among(scene: &Scene, behaviour: Behaviour) -> Result<(Watched, [Server; 2]), SceneError> {
    let serve = |behaviour| scene.serve(ServerOptions { behaviour, ..ServerOptions::default() });
    let servers = [serve(Behaviour::Slow).await?, serve(behaviour).await?];
    let peers = servers.iter().map(|server| server.address.clone()).collect();
    let node = Watched::new(scene, "among", NodeOptions { peers, ..NodeOptions::default() })?;
    Ok((node, servers))
}

/// One of two lies, provably.
async fn lies(scene: &Scene, behaviour: Behaviour) -> Result<Outcome, SceneError> {
    let (mut node, [honest, liar]) = among(scene, behaviour).await?;
    let (honest, liar) = (honest.name(), liar.name());
    let out = |now: &Standing| now.peer(&liar).is_some_and(|peer| peer.state == PeerState::Banned);
    let thrown_out = node.look_until(out).await?;
    node.is_synced().await?;
    let after = node.look().await?;
    let completed = node.completes(scene).await?;
    let peer = after.peer(&liar);
    let why = peer.and_then(|peer| peer.ban).map(|ban| ban.reason);
    let trust = peer.map_or(0, |peer| peer.trust);
    let told = format!("banned for {why:?}, its trust is {trust} of 1000");
    let honest = after.peer(&honest);
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it is banned for its lies", why == Some(BanReason::Lies)),
            ("it is banned in mid-sync", out(&thrown_out) && thrown_out.height < after.height),
            ("its trust is spent", trust < START),
            (
                "the honest one is not blamed",
                honest.is_some_and(|peer| {
                    peer.ban.is_none() && peer.failed_blocks == 0 && peer.failures == 0
                }),
            ),
        ],
    ))
}

/// One of two answers, and nothing of use.
async fn useless(scene: &Scene, behaviour: Behaviour) -> Result<Outcome, SceneError> {
    let (mut node, [honest, useless]) = among(scene, behaviour).await?;
    let (honest, useless) = (honest.name(), useless.name());
    node.is_synced().await?;
    let after = node.look().await?;
    let completed = node.completes(scene).await?;
    let peer = after.peer(&useless);
    let (reliability, failures) = peer.map_or((START, 0), |peer| (peer.reliability, peer.failures));
    let open = after.breakers_open.contains(&useless);
    // How often it is asked before the sync is over is a matter of how fast that is.
    let in_row = after.failures_in_row.get(&useless).copied().unwrap_or_default();
    // Empty replies are no failures: the peer may be behind.
    let fails = behaviour == Behaviour::Refusing;
    let told = format!(
        "its reliability is {reliability} of 1000, it failed {failures} requests, {in_row} in a \
         row, its breaker is open: {open}"
    );
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it is set back", reliability < START),
            ("its failures are counted", (failures > 0) == fails),
            ("it is asked ever less", failures <= ASKED_MAX),
            (
                "its breaker opens at the fifth failure in a row",
                open == (in_row >= BREAKER_FAILURES),
            ),
            ("nobody is banned", !after.is_anybody_banned()),
            ("the honest one is not blamed", after.peer(&honest).is_some_and(|p| p.failures == 0)),
        ],
    ))
}

/// Everybody is on a fork that a majority signed; then somebody appears who is not.
async fn forked(scene: &Scene) -> Result<Outcome, SceneError> {
    let store = scene.new_store("forked")?;
    let target = Some(OURS);
    let mut first =
        Watched::start(scene, &store, NodeOptions { target, ..NodeOptions::default() })?;
    first.is_synced().await?;
    first.stop().await?;
    scene.prepared().make_fork(PARTS_ABOVE, FORK_HEAD)?;
    let serve = |behaviour| scene.serve(ServerOptions { behaviour, ..ServerOptions::default() });
    let forks = [serve(Behaviour::Forked).await?, serve(Behaviour::Forked).await?];
    let honest = ServerOptions { identity: Some(APPEARS), ..ServerOptions::default() };
    let later = scene.serve(honest.clone()).await?;
    let (address, place) = (later.address.clone(), later.place());
    later.process.stop().await?;
    let mut peers: Vec<_> = forks.iter().map(|fork| fork.address.clone()).collect();
    peers.push(address);
    let mut node = Watched::start(scene, &store, NodeOptions { peers, ..NodeOptions::default() })?;
    let told = match node.until(|said| matches!(said, Said::Failed { .. })).await? {
        Some(Said::Failed { why }) => why,
        other => format!("{other:?}"),
    };
    let failed = node.look().await?;
    let _later = scene.serve(ServerOptions { listen: Some(place), ..honest }).await?;
    node.is_synced().await?;
    let after = node.look().await?;
    let completed = node.completes(scene).await?;
    let says = told.contains("continues our chain") && told.contains("; tries again in ");
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it says what is wrong, and when it tries again", says),
            ("its blocks stay", failed.height == OURS),
            ("nobody is banned", !after.is_anybody_banned()),
        ],
    ))
}
