//! `checkpoint`: the checkpoints of a running node or of its directory.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use alys_sync::{
    adapters::sled::{ChainStore, RecordStore},
    checkpoint::{
        CheckedCheckpoint, CheckedJournal, Checkpoint, CheckpointKind, EXPORT_BYTES_MAX,
        ExportError, SetBack, SetBackRefused, Survey, check_all, export, import, make, set_back,
        take_in,
    },
    http::{
        AskError, CheckpointAnswer, check_checkpoints, create_checkpoint, import_checkpoints,
        recover_from_checkpoint, remove_checkpoint,
    },
    ports::{BlockSource as _, Chain as _, Clock as _, Journal as _, SystemClock},
    types::Height,
};
use clap::{Args, Subcommand};
use hyper::StatusCode;
use serde_json::json;

use super::{
    Answer, Ending, blocking,
    files::write_file,
    input::open_existing_store,
    place::{NodeArgs, Place},
    status::not_told,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync checkpoint list --data-dir node
  alys-sync checkpoint verify --data-dir node     ends with 1 if one is wrong
  alys-sync checkpoint export --data-dir node --out checkpoints.json
  alys-sync checkpoint import --data-dir other --file checkpoints.json
  alys-sync checkpoint recover --data-dir node --height 12000";

/// Show, make, verify, carry and remove checkpoints
///
/// With --data-dir it asks the node that runs there; if none does, it reads and changes what is
/// stored.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckpointArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show all checkpoints
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make one of the head; a hundred made by hand are kept, and none of them goes by itself
    Create {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Compare each with its block in the chain; ends with 1 if one is wrong
    Verify {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Write all of them to a file
    Export {
        /// The file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Take in those of a file, as claims: each counts once its block is in the chain
    Import {
        /// The file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Go back to one: its block becomes the head
    ///
    /// It is compared with the chain first. What is above it is forgotten and downloaded again: at
    /// once by a node that runs and syncs, by the next `run` otherwise. A sync that has failed
    /// tries anew.
    Recover {
        /// Its height
        #[arg(long, value_name = "HEIGHT")]
        height: u64,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Remove one that was made by hand
    Remove {
        /// Its height
        #[arg(long, value_name = "HEIGHT")]
        height: u64,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Why a command on checkpoints did not succeed.
#[derive(Debug, thiserror::Error)]
enum CheckpointFailure {
    #[error("{wrong} of {all} checkpoints are wrong")]
    Wrong { wrong: usize, all: usize },
    #[error("{refused} of {all} claims are false for this chain and were not taken in")]
    FalseClaims { refused: usize, all: usize },
    #[error("cannot read {}", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the chain is at genesis: there is nothing to make a checkpoint of")]
    AtGenesis,
    #[error("no checkpoint was made by hand at height {height}")]
    NotThere { height: u64 },
    #[error("the node answers something else: use the same release")]
    OtherAnswer,
}

pub(crate) async fn checkpoint(args: CheckpointArgs) -> Result<Answer, Ending> {
    match args.what {
        What::List { node } => Ok(listed(&checked(node).await?)),
        What::Verify { node } => verified(&checked(node).await?),
        What::Create { node } => create(node).await,
        What::Export { out, node } => exported(checked(node).await?, &out),
        What::Import { file, node } => taken_in(node, file).await,
        What::Recover { height, node } => recover(node, Height::new(height)).await,
        What::Remove { height, node } => remove(node, height).await,
    }
}

fn other_answer() -> Ending {
    Ending::failed(CheckpointFailure::OtherAnswer)
}

/// Runs `work` on the directory of a node that does not run.
async fn stopped<T: Send + 'static>(
    dir: PathBuf,
    work: impl FnOnce(&ChainStore, &RecordStore) -> Result<T, Ending> + Send + 'static,
) -> Result<T, Ending> {
    blocking(move || {
        let (store, _) = open_existing_store(&dir, None)?;
        let journal = store.records().map_err(Ending::failed)?;
        work(&store, &journal)
    })
    .await
}

async fn checked(node: NodeArgs) -> Result<CheckedJournal, Ending> {
    match node.place().await? {
        Place::Running(url) => {
            let answer = check_checkpoints(&url).await.map_err(not_told)?;
            let CheckpointAnswer::Checked(checked) = answer else { return Err(other_answer()) };
            Ok(checked)
        }
        Place::Stopped(dir) => {
            stopped(dir, |chain, journal| check_all(chain, journal).map_err(Ending::failed)).await
        }
    }
}

async fn create(node: NodeArgs) -> Result<Answer, Ending> {
    let made = match node.place().await? {
        Place::Running(url) => {
            let answer = create_checkpoint(&url).await.map_err(not_told)?;
            let CheckpointAnswer::Made(made) = answer else { return Err(other_answer()) };
            made
        }
        Place::Stopped(dir) => stopped(dir, create_stopped).await?,
    };
    let text = format!("checkpoint at {} {}", made.height, made.root);
    Ok(Answer::new(text, json!({ "checkpoint": made })))
}

fn create_stopped(chain: &ChainStore, journal: &RecordStore) -> Result<Checkpoint, Ending> {
    let head = chain.head().height;
    if head == Height::GENESIS {
        return Err(Ending::bad_input(CheckpointFailure::AtGenesis));
    }
    let survey = Survey::take(chain, journal).map_err(Ending::failed)?;
    let (now, what) = (SystemClock::start().unix(), (head, CheckpointKind::Manual));
    make(chain, journal, what, now, survey.progress(head)).map_err(Ending::failed)
}

async fn recover(node: NodeArgs, height: Height) -> Result<Answer, Ending> {
    let SetBack { from, to } = match node.place().await? {
        Place::Running(url) => {
            let answer = recover_from_checkpoint(&url, height).await.map_err(not_recovered)?;
            let CheckpointAnswer::Recovered(done) = answer else { return Err(other_answer()) };
            done
        }
        Place::Stopped(dir) => {
            stopped(dir, move |chain, journal| {
                let done = set_back(chain, journal, height).map_err(Ending::failed)?;
                done.map_err(|refused| match refused {
                    SetBackRefused::NoCheckpoint { .. } => Ending::bad_input(refused),
                    SetBackRefused::DoesNotHold { .. }
                    | SetBackRefused::Produces
                    | SetBackRefused::NotGivenUp => Ending::failed(refused),
                })
            })
            .await?
        }
    };
    let text = format!("head  {} {}", to.height, to.root);
    let json = json!({ "height": to.height, "head": to.root, "from": from.height });
    Ok(Answer::new(text, json))
}

/// As for the directory of a node: that there is no such checkpoint is a matter of what was given.
fn not_recovered(error: AskError) -> Ending {
    let none =
        matches!(error, AskError::Refused { code: StatusCode::NOT_FOUND, text: Some(_), .. });
    if none { Ending::bad_input(error) } else { not_told(error) }
}

async fn remove(node: NodeArgs, height: u64) -> Result<Answer, Ending> {
    let removed = match node.place().await? {
        Place::Running(url) => {
            let answer = remove_checkpoint(&url, Height::new(height)).await.map_err(not_told)?;
            let CheckpointAnswer::Removed(removed) = answer else { return Err(other_answer()) };
            removed
        }
        Place::Stopped(dir) => {
            stopped(dir, move |_, journal| {
                let removed =
                    journal.remove_checkpoint(Height::new(height), CheckpointKind::Manual);
                removed.map_err(Ending::failed)
            })
            .await?
        }
    };
    if !removed {
        return Err(Ending::bad_input(CheckpointFailure::NotThere { height }));
    }
    Ok(Answer::new(format!("removed the one at {height}"), json!({ "removed": height })))
}

fn exported(checked: CheckedJournal, out: &Path) -> Result<Answer, Ending> {
    let CheckedJournal { chain, checkpoints, .. } = checked;
    let all: Vec<_> = checkpoints.into_iter().map(|checked| checked.checkpoint).collect();
    let count = all.len();
    let text = export(chain, all).map_err(Ending::failed)?;
    write_file(out, &text).map_err(Ending::failed)?;
    let said = format!("{count} checkpoints in {}", out.display());
    Ok(Answer::new(said, json!({ "exported": count, "file": out })))
}

async fn taken_in(node: NodeArgs, file: PathBuf) -> Result<Answer, Ending> {
    let text = blocking(move || read_export(&file)).await?;
    let taken = match node.place().await? {
        Place::Running(url) => {
            let answer = import_checkpoints(&url, text).await.map_err(not_told)?;
            let CheckpointAnswer::TakenIn(taken) = answer else { return Err(other_answer()) };
            taken
        }
        Place::Stopped(dir) => {
            stopped(dir, move |chain, journal| {
                let claims = import(chain.genesis(), &text).map_err(Ending::bad_input)?;
                take_in(chain, journal, claims).map_err(Ending::failed)
            })
            .await?
        }
    };
    let (all, refused) =
        (taken.len(), taken.iter().filter(|claim| claim.result.is_false()).count());
    let answer = Answer::new(table(&taken), json!({ "checkpoints": taken, "refused": refused }));
    if refused > 0 {
        let failure = CheckpointFailure::FalseClaims { refused, all };
        return Err(Ending::failed(failure).with(answer));
    }
    Ok(answer)
}

/// Reads a file that is no longer than an export may be.
fn read_export(file: &Path) -> Result<Vec<u8>, Ending> {
    let failed =
        |source| Ending::bad_input(CheckpointFailure::Read { file: file.to_owned(), source });
    let mut text = Vec::new();
    let limit = EXPORT_BYTES_MAX as u64 + 1;
    File::open(file).map_err(failed)?.take(limit).read_to_end(&mut text).map_err(failed)?;
    if text.len() > EXPORT_BYTES_MAX {
        return Err(Ending::bad_input(ExportError::TooLong));
    }
    Ok(text)
}

fn verified(checked: &CheckedJournal) -> Result<Answer, Ending> {
    let (wrong, all) = (checked.wrong(), checked.checkpoints.len() + checked.damaged.len());
    let answer = listed(checked);
    if wrong > 0 {
        return Err(Ending::failed(CheckpointFailure::Wrong { wrong, all }).with(answer));
    }
    Ok(answer)
}

fn listed(checked: &CheckedJournal) -> Answer {
    let CheckedJournal { chain, checkpoints, damaged } = checked;
    let mut text = table(checkpoints);
    for error in damaged {
        text.push_str("\ndamaged record: ");
        text.push_str(error);
    }
    let json = json!({
        "chain": chain,
        "checkpoints": checkpoints,
        "damaged": damaged,
        "wrong": checked.wrong(),
    });
    Answer::new(text, json)
}

fn table(checkpoints: &[CheckedCheckpoint]) -> String {
    let mut lines = vec![format!(
        "{:>10}  {:<8}  {:<10}  {:>10}  {:<66}  check",
        "height", "kind", "made", "processed", "root"
    )];
    lines.extend(checkpoints.iter().map(|CheckedCheckpoint { checkpoint, result }| {
        let processed = checkpoint.progress.map(|progress| progress.blocks_processed.to_string());
        format!(
            "{:>10}  {:<8}  {:<10}  {:>10}  {:<66}  {result}",
            checkpoint.height,
            checkpoint.kind,
            checkpoint.made_unix_seconds,
            processed.unwrap_or_else(|| "-".to_owned()),
            checkpoint.root,
        )
    }));
    lines.join("\n")
}
