//! Serves the whole chain, for a node to sync from.

use std::{error::Error, path::Path, sync::Arc};

use alys_sync::adapters::chain_file::ChainFile;

use super::{conversation::Conversation, loopback::Loopback, prepared::Prepared};

/// Plays the server of what was prepared in `dir`.
pub(crate) async fn play(dir: &Path) -> Result<(), Box<dyn Error>> {
    let chain = ChainFile::open(&Prepared::open(dir).chain_file())?;
    let mut network = Loopback::start(Arc::new(chain)).await?;
    let mut conversation = Conversation::begin(&network.listening().await?)?;
    while conversation.asked().await?.is_some() {}
    Ok(())
}
