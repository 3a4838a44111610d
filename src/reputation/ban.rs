//! For how long a peer is kept out, and why. Pure.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::ReputationSettings;

/// By how much each further ban is longer than the one before. Too low: a liar that comes back
/// costs three bad replies each time. Too high: one bad day keeps an honest operator out for good.
const GROWTH: u32 = 4;

/// Why a peer is kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BanReason {
    /// It sent what no honest peer can have.
    Lies,
    /// It flooded us with requests.
    Misuse,
    /// An operator said so.
    Operator,
}

impl fmt::Display for BanReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lies => "lies",
            Self::Misuse => "misuse",
            Self::Operator => "operator",
        })
    }
}

/// A ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Until when. Unit: time since the Unix epoch.
    pub until: Duration,
    /// Why.
    pub reason: BanReason,
}

/// The offences of a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offences {
    /// How many bans it has had that are not forgotten.
    count: u32,
    /// When one is forgotten. Unit: time since the Unix epoch.
    forgotten_at: Duration,
}

impl Offences {
    /// How many bans it has had that are not forgotten.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// A ban from `now` on for a further offence.
    pub(super) fn ban(
        &mut self,
        now: Duration,
        reason: BanReason,
        settings: &ReputationSettings,
    ) -> Ban {
        self.forget(now, settings);
        let first = match reason {
            BanReason::Lies | BanReason::Operator => settings.ban,
            BanReason::Misuse => settings.misuse_ban,
        };
        let growth = GROWTH.saturating_pow(self.count);
        let length = first.saturating_mul(growth).min(settings.ban_max.max(first));
        self.count = self.count.saturating_add(1);
        let until = now.saturating_add(length);
        self.forgotten_at = until.saturating_add(settings.ban_max);
        Ban { until, reason }
    }

    /// Forgets what was long enough ago.
    fn forget(&mut self, now: Duration, settings: &ReputationSettings) {
        while self.count > 0 && now >= self.forgotten_at {
            self.count -= 1;
            self.forgotten_at = self.forgotten_at.saturating_add(settings.ban_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn settings() -> ReputationSettings {
        ReputationSettings { ban: HOUR, ban_max: 20 * HOUR, ..ReputationSettings::default() }
    }

    #[test]
    fn each_ban_is_longer_up_to_the_longest() {
        let (mut offences, mut now) = (Offences::default(), HOUR);
        for hours in [1, 4, 16, 20, 20] {
            let ban = offences.ban(now, BanReason::Lies, &settings());
            assert_eq!(ban.until - now, HOUR * hours);
            now = ban.until;
        }
    }

    #[test]
    fn misuse_is_shorter_and_counts_with_the_rest() {
        let mut offences = Offences::default();
        let first = offences.ban(HOUR, BanReason::Misuse, &settings());
        assert_eq!(first.until - HOUR, settings().misuse_ban);
        let second = offences.ban(first.until, BanReason::Lies, &settings());
        assert_eq!(second.until - first.until, 4 * HOUR);
    }

    #[test]
    fn offences_are_forgotten_one_by_one_after_clean_times() {
        let mut offences = Offences::default();
        let mut ban = Ban { until: HOUR, reason: BanReason::Lies };
        for _ in 0..2 {
            ban = offences.ban(ban.until, BanReason::Lies, &settings());
        }
        let mut later = offences;
        let nearly = ban.until + 20 * HOUR - Duration::from_nanos(1);
        assert_eq!(offences.ban(nearly, BanReason::Lies, &settings()).until - nearly, 16 * HOUR);
        let one_forgotten = ban.until + 20 * HOUR;
        let ban = later.ban(one_forgotten, BanReason::Lies, &settings());
        assert_eq!(ban.until - one_forgotten, 4 * HOUR);
    }

    #[test]
    fn no_length_overflows() {
        let longest =
            ReputationSettings { ban: Duration::MAX, ban_max: Duration::MAX, ..settings() };
        let mut offences = Offences::default();
        for _ in 0..100 {
            offences.ban(HOUR, BanReason::Lies, &longest);
        }
        assert_eq!(offences.ban(HOUR, BanReason::Lies, &longest).until, Duration::MAX);
    }
}
