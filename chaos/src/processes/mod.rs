//! Real processes on this machine: this program again, in a role, over files that all of them
//! share.

pub(crate) mod bad_server;
pub(crate) mod conversation;
pub(crate) mod loopback;
pub(crate) mod prepared;
pub(crate) mod process;
mod role;
pub(crate) mod said;
pub(crate) mod scene;
pub(crate) mod server;
mod sync_node;

pub use prepared::PrepareError;
pub use process::ProcessError;
pub use role::{SyncRoleArgs, play};
pub use scene::SceneError;
