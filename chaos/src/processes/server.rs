//! Serves a chain, for nodes to sync from.

use std::{error::Error, path::Path, sync::Arc};

use alys_sync::{
    adapters::{chain_file::ChainFile, libp2p::Keypair},
    types::Multiaddr,
};

use super::{
    bad_server::{Behaviour, Misbehaving},
    conversation::Conversation,
    loopback::{Loopback, any_port, port_of_its_own},
    prepared::Prepared,
};

/// How a server is started.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ServerArgs {
    /// What the server does with what it is asked for
    #[arg(long, value_enum, default_value_t)]
    pub(crate) behaviour: Behaviour,
    /// Where the server listens; without it, at a free port, which nobody else takes while the
    /// server is gone if it has an identity that is always the same
    #[arg(long)]
    pub(crate) listen: Option<Multiaddr>,
    /// Which of the identities that are always the same the server has; without it, a new one
    #[arg(long)]
    pub(crate) identity: Option<u8>,
}

/// Plays a server of what was prepared in `dir`.
pub(crate) async fn play(dir: &Path, args: ServerArgs) -> Result<(), Box<dyn Error>> {
    let prepared = Prepared::open(dir);
    let file = match args.behaviour {
        Behaviour::Forked => prepared.fork_file(),
        Behaviour::Honest
        | Behaviour::Late
        | Behaviour::WrongSignatures
        | Behaviour::NotCanonical
        | Behaviour::Empty
        | Behaviour::Refusing => prepared.chain_file(),
    };
    let source = Misbehaving::new(ChainFile::open(&file)?, args.behaviour);
    let key = match args.identity {
        Some(number) => Keypair::ed25519_from_bytes([number; 32])?,
        None => Keypair::generate_ed25519(),
    };
    let listen = match (args.listen, args.identity) {
        (Some(listen), _) => vec![listen],
        (None, Some(_)) => port_of_its_own(),
        (None, None) => any_port(),
    };
    let mut network = Loopback::start_at(Arc::new(source), key, listen).await?;
    let mut conversation = Conversation::begin(&network.listening().await?)?;
    while conversation.asked().await?.is_some() {}
    Ok(())
}
