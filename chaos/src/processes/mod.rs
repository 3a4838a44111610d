//! Real processes on this machine: this program again, in a role, over files that all of them
//! share.

pub(crate) mod conversation;
pub(crate) mod loopback;
pub(crate) mod prepared;
pub(crate) mod process;
pub(crate) mod scene;
pub(crate) mod server;
pub(crate) mod sync_node;

pub use prepared::PrepareError;
pub use process::ProcessError;
pub use scene::SceneError;
pub use sync_node::{SyncRoleArgs, play};
