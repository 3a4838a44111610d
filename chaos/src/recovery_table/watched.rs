//! A node of a row, and all that it has said.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use alys_sync::types::Height;
use tokio::time::{Instant, sleep, timeout};

use crate::processes::{
    SceneError,
    process::Process,
    said::{Order, Said, Standing},
    scene::{NodeOptions, Scene},
};

/// How long a node may take to say what is promised. Unit: time. Too low: a busy machine looks like
/// a broken promise. Too high: one that never says it is waited for.
const SAYS_WITHIN: Duration = Duration::from_secs(60);

/// How long it may take until everything stands as it should. Unit: time. Source: five tries with
/// the pauses between them, three times over. Too low and too high: as above.
const LOOKS_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at how everything stands. Unit: time.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A node with what it said, over a store.
pub(super) struct Watched {
    process: Process,
    options: NodeOptions,
    store: PathBuf,
    heard: Vec<Said>,
}

impl Watched {
    /// Starts a node over `store`.
    pub(super) fn start(
        scene: &Scene,
        store: &Path,
        options: NodeOptions,
    ) -> Result<Self, SceneError> {
        let process = scene.start(store, options.clone())?;
        Ok(Self { process, options, store: store.to_owned(), heard: Vec::new() })
    }

    /// Starts a node over a new store.
    pub(super) fn new(scene: &Scene, name: &str, options: NodeOptions) -> Result<Self, SceneError> {
        Self::start(scene, &scene.new_store(name)?, options)
    }

    /// What it says next that is `wanted`; `None` if it ends, or says nothing of the kind in time.
    /// Cancel-safe.
    pub(super) async fn until(
        &mut self,
        wanted: impl Fn(&Said) -> bool,
    ) -> Result<Option<Said>, SceneError> {
        let hearing = async {
            while let Some(said) = self.process.hear_until_end::<Said>().await? {
                self.heard.push(said.clone());
                if wanted(&said) {
                    return Ok(Some(said));
                }
            }
            Ok(None)
        };
        timeout(SAYS_WITHIN, hearing).await.unwrap_or(Ok(None))
    }

    /// Waits until it is in the middle of its sync: it has imported, and has not come to the end.
    pub(super) async fn until_it_imports(&mut self) -> Result<(), SceneError> {
        self.until(|said| matches!(said, Said::Imported { .. })).await.map(drop)
    }

    /// The highest block that it has acknowledged.
    pub(super) fn promised(&self) -> Height {
        let mut highest = Height::GENESIS;
        for said in &self.heard {
            if let Said::Opened { height } | Said::Imported { height } = said {
                highest = highest.max(*height);
            }
        }
        highest
    }

    /// Why its sync has ended; none if it has not, up to now.
    pub(super) fn ended_because(&self) -> Option<&str> {
        self.heard
            .iter()
            .find_map(|said| if let Said::Ended { why } = said { Some(why.as_str()) } else { None })
    }

    /// Whether it has said so, up to now.
    pub(super) fn has_said(&self, wanted: impl Fn(&Said) -> bool) -> bool {
        self.heard.iter().any(wanted)
    }

    /// Waits until its sync is at its end; whether that came.
    pub(super) async fn is_synced(&mut self) -> Result<bool, SceneError> {
        let synced = |said: &Said| matches!(said, Said::Synced { .. });
        Ok(self.has_said(synced) || self.until(synced).await?.is_some())
    }

    /// Tells it to do something.
    pub(super) async fn order(&mut self, order: &Order) -> Result<(), SceneError> {
        Ok(self.process.order(order).await?)
    }

    /// How everything stands.
    pub(super) async fn look(&mut self) -> Result<Standing, SceneError> {
        self.order(&Order::Look).await?;
        match self.until(|said| matches!(said, Said::Standing(_))).await? {
            Some(Said::Standing(standing)) => Ok(standing),
            other => Err(SceneError::Unexpected { said: other.map(|said| format!("{said:?}")) }),
        }
    }

    /// How everything stands once it stands as `wanted`, or when that did not come in time.
    pub(super) async fn look_until(
        &mut self,
        wanted: impl Fn(&Standing) -> bool,
    ) -> Result<Standing, SceneError> {
        let begun = Instant::now();
        loop {
            let standing = self.look().await?;
            if wanted(&standing) || begun.elapsed() > LOOKS_WITHIN {
                return Ok(standing);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends it in order.
    pub(super) async fn stop(self) -> Result<(), SceneError> {
        Ok(self.process.stop().await?)
    }

    /// Waits until its sync is at its end, and ends it; whether its store then holds the chain of
    /// the network, block by block.
    pub(super) async fn completes(mut self, scene: &Scene) -> Result<bool, SceneError> {
        let (synced, store) = (self.is_synced().await?, self.store.clone());
        self.stop().await?;
        let whole = synced && scene.is_whole_chain(&store).await?;
        fs::remove_dir_all(&store)?;
        Ok(whole)
    }

    /// Ends it in the middle of its sync, and starts it again without a limit of its downloads.
    pub(super) async fn at_full_speed(self, scene: &Scene) -> Result<Self, SceneError> {
        let options = NodeOptions { bytes_per_second: None, ..self.options.clone() };
        let store = self.store.clone();
        self.stop().await?;
        Self::start(scene, &store, options)
    }
}
