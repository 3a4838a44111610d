//! The node that a command is about: one that runs, or the directory of one that does not.

use std::path::PathBuf;

use clap::Args;
use hyper::Uri;

use super::{Ending, status::address_if_running};

/// Which node.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct NodeArgs {
    /// The data directory of the node, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where a running node serves its status (its --http)
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
}

/// Where the node is.
pub(crate) enum Place {
    Running(Uri),
    Stopped(PathBuf),
}

impl NodeArgs {
    /// Whether it runs.
    pub(crate) async fn place(self) -> Result<Place, Ending> {
        match (self.url, self.data_dir) {
            (Some(url), _) => Ok(Place::Running(url)),
            (None, dir) => {
                let dir = dir.expect("the command line requires one of the two");
                Ok(match address_if_running(&dir).await? {
                    Some(url) => Place::Running(url),
                    None => Place::Stopped(dir),
                })
            }
        }
    }
}
