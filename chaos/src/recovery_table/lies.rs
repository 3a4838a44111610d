//! Peers that send what no honest peer can have, what is of no use, or another chain.

use std::time::Duration;

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
const THROWS_OUT: &str = "the liar is banned for it, and no other, also when the node is started \
                          again; an honest peer serves the chain";

/// What a node does with a peer whose replies are of no use.
const ASKS_OTHERS: &str =
    "others are asked; it is set back, and left alone where it fails; it is not banned";

/// What a node does with a peer that only fails, while others deliver and while nobody does.
const LEAVES_ALONE: &str = "its breaker opens; while nobody delivers it is probed, and stays open; \
                            the sync goes on when somebody delivers again; nobody is banned";

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

/// The identity of the server that delivers, is gone, and is there again.
const DELIVERS: u8 = 3;

/// How long the whole chain would take a node where a breaker is to open meanwhile. Unit: time.
/// Source: five failures with pauses that double take eight seconds, and much longer where a link
/// is taken for cut meanwhile. Too low: the sync is over before. Too high: nothing, it is ended
/// before.
const LASTS: Duration = Duration::from_secs(120);

/// What the other peer delivers while one whose breaker is open is left alone. Unit: blocks.
/// Source: four seconds of a sync that takes [`LASTS`].
const MEANWHILE: u64 = 64;

/// How many requests such a peer may fail until then. Source: with pauses that double, five until
/// its breaker opens, a few that were open together, and none after. Were all pauses as long as the
/// first, a quarter of a second, it would be twenty.
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
    let caused_by = "a peer that refuses every request, and the only other killed in mid-sync";
    table.row(DownloadFailure, caused_by, LEAVES_ALONE, refused_by_the_rest(scene)).await?;
    let caused_by = "all peers on a fork that a majority signed, until an honest one appears";
    table.row(Reorganisation, caused_by, KEEPS_ITS_OWN, forked(scene)).await
}

/// A node with two peers, of which one behaves; it would take [`LASTS`].
async fn among(scene: &Scene, behaviour: Behaviour) -> Result<(Watched, [Server; 2]), SceneError> {
    let serve = |behaviour| scene.serve(ServerOptions { behaviour, ..ServerOptions::default() });
    let servers = [serve(Behaviour::Honest).await?, serve(behaviour).await?];
    let peers = servers.iter().map(|server| server.address.clone()).collect();
    let bytes_per_second = Some(scene.bytes_per_second(LASTS));
    let options = NodeOptions { peers, bytes_per_second, ..NodeOptions::default() };
    Ok((Watched::new(scene, "among", options)?, servers))
}

/// One of two lies, provably.
async fn lies(scene: &Scene, behaviour: Behaviour) -> Result<Outcome, SceneError> {
    let (mut node, [honest, liar]) = among(scene, behaviour).await?;
    let (name, honest) = (liar.name(), honest.name());
    let out = |now: &Standing| now.peer(&name).is_some_and(|peer| peer.state == PeerState::Banned);
    let thrown_out = node.look_until(out).await?;
    let after = node.look_until(|now| now.height > thrown_out.height).await?;
    let mut node = node.at_full_speed(scene).await?;
    node.is_synced().await?;
    let again = node.look().await?;
    let completed = node.completes(scene).await?;
    let peer = after.peer(&name);
    let why = peer.and_then(|peer| peer.ban).map(|ban| ban.reason);
    let trust = peer.map_or(0, |peer| peer.trust);
    let told = format!("banned for {why:?}, its trust is {trust} of 1000");
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it is banned for its lies", why == Some(BanReason::Lies)),
            ("it is banned in mid-sync", out(&thrown_out)),
            ("the sync goes on without it", after.height > thrown_out.height),
            ("it is still banned when the node is started again", out(&again)),
            ("its trust is spent", trust < START),
            (
                "the honest one is not blamed",
                after.does_not_blame(&honest) && again.does_not_blame(&honest),
            ),
        ],
    ))
}

/// One of two answers, and nothing of use.
async fn useless(scene: &Scene, behaviour: Behaviour) -> Result<Outcome, SceneError> {
    let (mut node, [honest, useless]) = among(scene, behaviour).await?;
    let (honest, useless) = (honest.name(), useless.name());
    // Empty replies are no failures: the peer may be behind.
    let fails = behaviour == Behaviour::Refusing;
    let is_set_back = |now: &Standing| {
        let peer = now.peer(&useless);
        peer.is_some_and(|peer| peer.reliability < START && (peer.failures > 0) == fails)
            && now.breakers_open.contains(&useless) == fails
            && now.has_delivered(&honest)
    };
    let after = node.look_until(is_set_back).await?;
    let delivered = |now: &Standing| now.peer(&honest).map_or(0, |peer| peer.blocks);
    let enough = delivered(&after) + MEANWHILE;
    let later = node.look_until(|now| delivered(now) >= enough).await?;
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    let asked = later.peer(&useless).map_or(0, |peer| peer.failures);
    let peer = after.peer(&useless);
    let (reliability, failures) = peer.map_or((START, 0), |peer| (peer.reliability, peer.failures));
    let honest_reliability = after.peer(&honest).map_or(0, |peer| peer.reliability);
    let open = after.breakers_open.contains(&useless);
    let in_row = after.failures_in_row.get(&useless).copied().unwrap_or_default();
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
            ("it is left alone while the other delivers", asked <= ASKED_MAX),
            ("the other delivers", delivered(&later) >= enough),
            // A reply to something else may come in between, and the row begins anew.
            ("its breaker is open, if it fails", open == fails),
            ("so it is after five failures in a row", open || in_row < BREAKER_FAILURES),
            ("nobody is banned", !after.is_anybody_banned()),
            ("the honest one is not blamed", after.does_not_blame(&honest)),
            ("the honest one is worth more", reliability < honest_reliability),
        ],
    ))
}

/// One of two refuses until its breaker opens. Then the other is killed, so that the breaker lets a
/// probe pass, and started again.
async fn refused_by_the_rest(scene: &Scene) -> Result<Outcome, SceneError> {
    let refuses = ServerOptions { behaviour: Behaviour::Refusing, ..ServerOptions::default() };
    let delivers = ServerOptions { identity: Some(DELIVERS), ..ServerOptions::default() };
    let (refusing, delivering) =
        (scene.serve(refuses).await?, scene.serve(delivers.clone()).await?);
    let (name, other, place) = (refusing.name(), delivering.name(), delivering.place());
    let peers = vec![refusing.address.clone(), delivering.address.clone()];
    let bytes_per_second = Some(scene.bytes_per_second(LASTS));
    let options = NodeOptions { peers, bytes_per_second, ..NodeOptions::default() };
    let mut node = Watched::new(scene, "refused", options)?;
    let is_open = |now: &Standing| now.breakers_open.contains(&name);
    let opened = node.look_until(is_open).await?;
    delivering.process.kill_now()?;
    delivering.process.ended().await?;
    let probed_in_vain = |now: &Standing| {
        let (before, now) = (opened.breaker_totals, now.breaker_totals);
        now.half_opened > before.half_opened && now.opened > before.opened
    };
    let gone = |now: &Standing| now.peer(&other).is_some_and(|peer| peer.state == PeerState::Gone);
    let alone = node.look_until(|now| gone(now) && probed_in_vain(now)).await?;
    let listen = Some(place);
    let _delivering = scene.serve(ServerOptions { listen, ..delivers }).await?;
    let again = node.look_until(|now| now.height > alone.height).await?;
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    let in_row = opened.failures_in_row.get(&name).copied().unwrap_or_default();
    let probes = alone.breaker_totals.half_opened - opened.breaker_totals.half_opened;
    let told = format!("its breaker opened at {in_row} failures in a row, {probes} probes failed");
    Ok(Outcome::new(
        told,
        completed,
        [
            ("its breaker opens", is_open(&opened)),
            ("it does so at the fifth failure in a row", in_row <= BREAKER_FAILURES),
            ("it is probed when nobody delivers", gone(&alone) && probed_in_vain(&alone)),
            ("its breaker stays open when it refuses again", is_open(&alone)),
            ("the sync goes on when somebody delivers", again.height > alone.height),
            ("nobody is banned", !again.is_anybody_banned()),
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
