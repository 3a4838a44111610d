//! A time in which nothing gets through between the node and a peer.

use std::time::Duration;

use tokio::time::Instant;

/// How an outage shows at the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageKind {
    /// Nothing arrives, and nobody says why: connections stay open, as those of TCP do, and dials
    /// hang.
    Silent,
    /// The network is gone: connections are closed, dials fail at once.
    Gone,
}

/// The first pause after which TCP sends again what was not acknowledged; each is twice as long as
/// the one before. Unit: time. Source: the shortest of Linux. Nothing else tells a connection that
/// its way is back, so after an outage of 30 s it stays silent for 21 s more.
const RESEND_FIRST: Duration = Duration::from_millis(200);

/// The longest such pause. Unit: time. Source: Linux.
const RESEND_MAX: Duration = Duration::from_secs(120);

/// The pause before a dial knocks again; doubles. Unit: time. Source: Linux, for SYN.
const KNOCK_FIRST: Duration = Duration::from_secs(1);

/// How long a dial takes until it is given up. Unit: time. Source: libp2p's transports.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// What a dial comes to, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dial {
    /// It gets through at this time.
    Reaches(Instant),
    /// It fails at this time.
    Fails(Instant),
}

/// One outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// How it shows.
    pub kind: OutageKind,
    /// When it began.
    pub from: Instant,
    /// When it ends.
    pub to: Instant,
}

impl Outage {
    /// Whether nothing gets through at `at`.
    pub(super) fn covers(&self, at: Instant) -> bool {
        self.from <= at && at < self.to
    }

    /// When that arrives which would arrive at `at` over a connection opened at `opened`.
    pub(super) fn arrival(&self, at: Instant, opened: Instant) -> Instant {
        if opened >= self.from || at < self.from {
            return at;
        }
        let (mut resent, mut pause) = (self.from, RESEND_FIRST);
        while resent < self.to {
            resent += pause;
            pause = (pause * 2).min(RESEND_MAX);
        }
        at.max(resent)
    }

    /// What a dial comes to that began at `begun` and has not got through by `now`.
    pub(super) fn dial(&self, begun: Instant, now: Instant) -> Dial {
        match self.kind {
            OutageKind::Gone => Dial::Fails(now),
            OutageKind::Silent => {
                let given_up = begun + DIAL_MAX;
                let (mut knock, mut pause) = (begun, KNOCK_FIRST);
                while knock < given_up {
                    if knock >= now && !self.covers(knock) {
                        return Dial::Reaches(knock);
                    }
                    knock += pause;
                    pause *= 2;
                }
                Dial::Fails(given_up)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn outage(kind: OutageKind) -> Outage {
        let from = Instant::now() + 100 * SECOND;
        Outage { kind, from, to: from + 30 * SECOND }
    }

    #[tokio::test(start_paused = true)]
    async fn old_connection_stays_silent_until_tcp_sends_again() {
        let outage = outage(OutageKind::Silent);
        let (from, to) = (outage.from, outage.to);
        let old = from - SECOND;
        let before = from - Duration::from_millis(1);
        assert_eq!(outage.arrival(before, old), before);
        // 0.2 + 0.4 + ... + 25.6 s.
        let resent = from + Duration::from_millis(51_000);
        for at in [from, to - SECOND, to, to + 20 * SECOND] {
            assert_eq!(outage.arrival(at, old), resent);
        }
        assert_eq!(outage.arrival(resent + SECOND, old), resent + SECOND);
        assert_eq!(outage.arrival(to + SECOND, to), to + SECOND, "a new connection");
    }

    #[tokio::test(start_paused = true)]
    async fn dial_hangs_and_gets_through_when_it_knocks_after_the_outage() {
        let silent = outage(OutageKind::Silent);
        let begun = silent.to - 2 * SECOND;
        assert_eq!(silent.dial(begun, begun), Dial::Reaches(begun + 3 * SECOND));
        let early = silent.to - 8 * SECOND;
        assert_eq!(silent.dial(early, early), Dial::Fails(early + 10 * SECOND));
        let gone = outage(OutageKind::Gone);
        assert_eq!(gone.dial(begun, begun), Dial::Fails(begun));
    }
}
