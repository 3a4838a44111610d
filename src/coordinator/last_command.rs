//! What the coordinator was told to do, kept where its death does not reach.
//!
//! It belongs to the process: a restarted coordinator goes on with it, a restarted process is told
//! anew by its owner.

use std::sync::{Arc, Mutex, PoisonError};

use super::Command;
use crate::types::Height;

/// The memory of the last command. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LastCommand {
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    mode: Mode,
    target: Option<Height>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Mode {
    #[default]
    Idle,
    Running,
    Paused,
}

impl LastCommand {
    /// Keeps a command that was done.
    pub(super) fn keep(&self, command: Command) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match command {
            Command::Start { target } => *told = Told { mode: Mode::Running, target },
            Command::Resume => told.mode = Mode::Running,
            Command::Pause => told.mode = Mode::Paused,
            Command::Stop => told.mode = Mode::Idle,
        }
    }

    /// The commands that lead from idle to where the last one led.
    pub(super) fn again(&self) -> Vec<Command> {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Command::Start { target: told.target };
        match told.mode {
            Mode::Idle => Vec::new(),
            Mode::Running => vec![start],
            Mode::Paused => vec![start, Command::Pause],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_to_where_the_last_command_led() {
        let memory = LastCommand::default();
        assert_eq!(memory.again(), []);
        let start = Command::Start { target: Some(Height::new(9)) };
        memory.keep(start);
        memory.keep(Command::Pause);
        assert_eq!(memory.clone().again(), [start, Command::Pause]);
        memory.keep(Command::Resume);
        assert_eq!(memory.again(), [start]);
        memory.keep(Command::Stop);
        assert_eq!(memory.again(), []);
    }
}
