//! Serves the whole chain, for the node to sync from.

use std::{error::Error, sync::Arc};

use alys_sync::adapters::chain_file::ChainFile;

use super::{
    loopback::Loopback,
    prepared::Prepared,
    roles::{Conversation, RoleArgs},
};

pub(super) async fn play(args: &RoleArgs) -> Result<(), Box<dyn Error>> {
    let chain = ChainFile::open(&Prepared::open(&args.dir).chain_file())?;
    let mut network = Loopback::start(Arc::new(chain)).await?;
    let mut conversation = Conversation::begin(&network.listening().await?)?;
    while conversation.asked().await?.is_some() {}
    Ok(())
}
