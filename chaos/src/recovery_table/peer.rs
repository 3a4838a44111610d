//! Peers that fall silent, are gone, or are late.

use std::time::Duration;

use alys_sync::{reputation::PeerState, resilience::ErrorClass};
use tokio::time::{Instant, sleep};

use super::{Outcome, Table, slow, watched::Watched};
use crate::processes::{
    SceneError,
    bad_server::Behaviour,
    said::{Said, Standing},
    scene::{NodeOptions, Scene, ServerOptions},
};

/// What a node does that hears nothing from anybody.
const WAITS: &str = "it says that its link is cut, goes on with the first answer, blames nobody";

/// What a node does when one of its peers falls silent.
const ASKS_THE_OTHER: &str =
    "its blocks come from the other; its failures are counted; it is not banned; no link is cut";

/// What a node does that loses a peer.
const DIALS_AGAIN: &str = "it dials again, and goes on when the peer is back; nobody is banned";

/// What a node does when one of its peers is late.
const ASKS_TWICE: &str = "what everything waits for is had from the other; nobody is blamed";

/// How long the only peer is stopped. Unit: time. Source: longer than it takes to tell, and than
/// connections are kept.
const STOPPED_FOR: Duration = Duration::from_secs(10);

/// How long a killed peer is gone. Unit: time. Source: some pauses between dials.
const GONE_FOR: Duration = Duration::from_secs(2);

/// The identity of the server that comes back.
const COMES_BACK: u8 = 1;

/// All rows of peers that do not answer in time.
pub(super) async fn rows(table: &mut Table<'_>, scene: &Scene) -> Result<(), SceneError> {
    let stopped = stopped_for_a_while(scene);
    table.row(ErrorClass::Partition, "the only peer stopped for 10 s", WAITS, stopped).await?;
    let one = one_of_two_stopped(scene);
    let caused_by = "one of two peers stopped in mid-sync";
    table.row(ErrorClass::PeerTimeout, caused_by, ASKS_THE_OTHER, one).await?;
    let killed = killed_and_started_again(scene);
    let caused_by = "the only peer killed in mid-sync, its port closed for 2 s";
    table.row(ErrorClass::ConnectionLost, caused_by, DIALS_AGAIN, killed).await?;
    let late = late(scene);
    let caused_by = "one of two peers late by 2.5 s each time";
    table.row(ErrorClass::HighLatency, caused_by, ASKS_TWICE, late).await
}

/// The process of the only peer is stopped, which leaves its connections open, and goes on.
async fn stopped_for_a_while(scene: &Scene) -> Result<Outcome, SceneError> {
    let mut node = Watched::new(scene, "silent", slow(scene))?;
    let name = scene.server.name();
    let before = node.look_until(|now| now.has_delivered(&name)).await?;
    let stopped = Instant::now();
    scene.server.process.stop_now()?;
    let told = node.until(|said| matches!(said, Said::LinkCut { .. }));
    let told = tokio::select! {
        told = told => told?,
        () = sleep(STOPPED_FOR) => None,
    };
    sleep(STOPPED_FOR.saturating_sub(stopped.elapsed())).await;
    let silent = node.look().await?;
    scene.server.process.go_on()?;
    let score = |of: &Standing| of.peer(&name).map(|peer| peer.reliability);
    let unblamed = |now: &Standing| {
        now.height > silent.height && now.breakers_open.is_empty() && score(now) >= score(&before)
    };
    let after = node.look_until(unblamed).await?;
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    let (told, says) = match told {
        Some(Said::LinkCut { told }) => (told, true),
        other => (format!("{other:?}"), false),
    };
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it says that its link is cut", says),
            ("it goes on with the first answer", after.height > silent.height),
            ("nobody is banned", !after.is_anybody_banned()),
            ("no breaker is open", after.breakers_open.is_empty()),
            ("no penalty is left", score(&after) >= score(&before)),
        ],
    ))
}

/// One of two is stopped, for longer than a request may take.
async fn one_of_two_stopped(scene: &Scene) -> Result<Outcome, SceneError> {
    let other = scene.serve(ServerOptions::default()).await?;
    let peers = vec![scene.server.address.clone(), other.address.clone()];
    let mut node = Watched::new(scene, "one-silent", NodeOptions { peers, ..slow(scene) })?;
    let name = other.name();
    node.look_until(|now| now.has_delivered(&name)).await?;
    other.process.stop_now()?;
    let at = node.look().await?.height;
    // A request fails after its deadline, or a look at how high its chain is by now.
    let counted = node.look_until(|now| now.counts_failures_of(&name)).await?;
    let after = node.look_until(|now| now.height > at).await?;
    let cut = node.has_said(|said| matches!(said, Said::LinkCut { .. }));
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    let failures = counted.peer(&name).map_or(0, |peer| peer.failures);
    let in_row = counted.failures_in_row.get(&name).copied().unwrap_or_default();
    let told = format!("the peer failed {failures} requests for blocks, {in_row} calls in a row");
    let promises = [
        ("it goes on with the other", after.height > at),
        ("its failures are counted", counted.counts_failures_of(&name)),
        ("it is not banned", !after.is_anybody_banned()),
        ("no link is cut", !cut),
    ];
    Ok(Outcome::new(told, completed, promises))
}

/// The only peer is killed, and a new process takes its place.
async fn killed_and_started_again(scene: &Scene) -> Result<Outcome, SceneError> {
    let options = ServerOptions { identity: Some(COMES_BACK), ..ServerOptions::default() };
    let server = scene.serve(options.clone()).await?;
    let (name, place) = (server.name(), server.place());
    let peers = vec![server.address.clone()];
    let mut node = Watched::new(scene, "alone", NodeOptions { peers, ..slow(scene) })?;
    node.until_it_imports().await?;
    server.process.kill_now()?;
    server.process.ended().await?;
    let gone = |now: &Standing| now.peer(&name).is_some_and(|peer| peer.state == PeerState::Gone);
    let alone = node.look_until(gone).await?;
    sleep(GONE_FOR).await;
    let back = Instant::now();
    let listen = Some(place);
    let _server = scene.serve(ServerOptions { listen, ..options }).await?;
    let again = node.look_until(|now| now.height > alone.height).await?;
    let told = format!("it went on {:.1} s after the peer was back", back.elapsed().as_secs_f64());
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it knows that the peer is gone", gone(&alone)),
            ("it goes on when the peer is back", again.height > alone.height),
            ("nobody is banned", !again.is_anybody_banned()),
        ],
    ))
}

/// One of two answers late, and not so late that it would have failed.
async fn late(scene: &Scene) -> Result<Outcome, SceneError> {
    let options = ServerOptions { behaviour: Behaviour::Late, ..ServerOptions::default() };
    let other = scene.serve(options).await?;
    let peers = vec![scene.server.address.clone(), other.address.clone()];
    let mut node = Watched::new(scene, "late", NodeOptions { peers, ..slow(scene) })?;
    let after = node.look_until(|now| now.hedges_won > 0).await?;
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    let (prompt, late) = (scene.server.name(), other.name());
    let failures = after.peer(&late).map_or(0, |peer| peer.failures);
    let told = format!(
        "{} times the other was first; the late one failed {failures} requests",
        after.hedges_won
    );
    Ok(Outcome::new(
        told,
        completed,
        [
            ("the other is asked, and first", after.hedges_won > 0),
            ("the late one is not blamed", after.does_not_blame(&late)),
            ("the other is not blamed", after.does_not_blame(&prompt)),
            ("nobody is banned", !after.is_anybody_banned()),
            ("no breaker is open", after.breakers_open.is_empty()),
        ],
    ))
}
