//! Which looks at the machine are under way, and whether it can be seen at all. Pure.

use std::time::Duration;

/// How long a look may take. Unit: time. Source: the answer comes from the system's memory within
/// microseconds, unless a file system hangs. Too low: a busy machine is told to be blind. Too high:
/// that nobody looks is told late.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(5);

/// The looks of one monitor, one at a time: a disk that hangs is not asked again meanwhile.
#[derive(Debug, Default)]
pub(super) struct Looks {
    since: Option<Duration>,
    /// Whether the last one failed, or takes too long.
    blind: bool,
    /// Whether one succeeded.
    pub(super) seen: bool,
}

/// What to do when it is time to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Look,
    Wait,
    /// Wait, and say that the machine does not answer.
    Complain,
}

impl Looks {
    /// It is time to look.
    pub(super) fn due(&mut self, now: Duration) -> Next {
        let Some(since) = self.since else {
            self.since = Some(now);
            return Next::Look;
        };
        if now.saturating_sub(since) < LOOK_MAX || self.blind {
            return Next::Wait;
        }
        self.blind = true;
        Next::Complain
    }

    /// The look is over. Whether to say that it failed: once, until one succeeds.
    pub(super) fn over(&mut self, succeeded: bool) -> bool {
        let was_blind = self.blind;
        *self = Self { since: None, blind: !succeeded, seen: self.seen || succeeded };
        !succeeded && !was_blind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn look_that_hangs_is_waited_for_and_told_once() {
        let mut looks = Looks::default();
        assert_eq!(looks.due(s(10)), Next::Look);
        assert_eq!((looks.due(s(11)), looks.due(s(14))), (Next::Wait, Next::Wait));
        assert_eq!((looks.due(s(15)), looks.due(s(16))), (Next::Complain, Next::Wait));
        assert!(!looks.over(false), "it has been told");
        assert_eq!(looks.due(s(17)), Next::Look);
        assert!(!looks.seen);
        assert!(!looks.over(true));
        assert!(looks.seen);
        assert_eq!(looks.due(s(18)), Next::Look);
    }

    #[test]
    fn looks_that_fail_are_told_once_until_one_succeeds() {
        let mut looks = Looks::default();
        let told: Vec<_> = [false, false, true, false].map(|ok| looks.over(ok)).into();
        assert_eq!(told, [true, false, false, true]);
    }
}
