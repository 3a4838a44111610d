//! The strategies an operator may choose from, with their parameters.

// Of the core library, for an address is a value: nothing here can open a socket.
use core::net::IpAddr;
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How peers are chosen. Written as its name, with what differs from the defaults behind it:
/// `diversified:max_per_region=2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SelectionStrategy {
    /// By what each turned out to be worth, taking the unknown for the best. Downloads are measured
    /// in full: there it is who is expected to deliver first.
    Adaptive {
        /// How much one experience counts in what is newest, at least; what was known before is
        /// given up when that disagrees with it. Unit: thousandths, 1 to 1000. Too low: a peer
        /// that became slow is asked for long. Too high: a few hiccups decide.
        learning_rate: u16,
    },
    /// The best score first.
    HighestReputation,
    /// The shortest time to an answer first.
    LowestLatency,
    /// Who does most often what it is asked first.
    MostReliable,
    /// One after the other.
    RoundRobin,
    /// By chance, in proportion to what each is worth for the operation.
    Weighted,
    /// Who is worth most first, from many networks.
    Diversified {
        /// Most peers of one region (an IPv4 /16 or an IPv6 /32) in use while others are there.
        /// Unit: peers, at least 1. Too low: good peers are idle. Too high: one operator can be all
        /// that we hear.
        max_per_region: u16,
    },
    /// Who has least to do first.
    LoadBalanced {
        /// Peers with more than this part of their requests in use come after the others. Unit:
        /// thousandths, 1 to 1000. Too low: it no longer tells peers apart. Too high: quick peers
        /// are filled up before slow ones are asked.
        target_utilization: u16,
    },
    /// The longest common IP prefix first, then the shortest time to an answer.
    Proximity {
        /// Our own address as others see it; without it only time counts.
        from: Option<IpAddr>,
    },
}

/// Of [`SelectionStrategy::Adaptive`]. Unit: thousandths. Source: ten experiences or so tell that
/// a peer changed; a half and twice of it lose about as much in `chaos regret`.
const LEARNING_RATE: u16 = 100;
/// Of [`SelectionStrategy::Diversified`]. Unit: peers. Source: with the eight peers that a node is
/// configured for, four regions are asked.
const MAX_PER_REGION: u16 = 2;
/// Of [`SelectionStrategy::LoadBalanced`]. Unit: thousandths. Source: the usual headroom of a
/// queue; beyond it waits grow faster than what is delivered.
const TARGET_UTILIZATION: u16 = 750;

impl Default for SelectionStrategy {
    fn default() -> Self {
        Self::Adaptive { learning_rate: LEARNING_RATE }
    }
}

/// A strategy that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionStrategyError {
    /// There is none of this name.
    #[error("there is no strategy {name}; there are {}", SelectionStrategy::names())]
    NoSuchStrategy {
        /// The name.
        name: String,
    },
    /// The strategy has no such parameter.
    #[error("{strategy} has no parameter {parameter}")]
    NoSuchParameter {
        /// The strategy's name.
        strategy: &'static str,
        /// What was given.
        parameter: String,
    },
    /// The parameter cannot have this value.
    #[error("{parameter} cannot be {value}: use {fix}")]
    BadValue {
        /// Of which parameter.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What can be used.
        fix: &'static str,
    },
}

/// What thousandths may be.
const THOUSANDTHS: &str = "1 to 1000 thousandths";
/// What a number of peers may be.
const PEERS: &str = "1 to 65535 peers";

impl SelectionStrategy {
    /// Each of them once, with its defaults.
    pub const ALL: [Self; 9] = [
        Self::Adaptive { learning_rate: LEARNING_RATE },
        Self::HighestReputation,
        Self::LowestLatency,
        Self::MostReliable,
        Self::RoundRobin,
        Self::Weighted,
        Self::Diversified { max_per_region: MAX_PER_REGION },
        Self::LoadBalanced { target_utilization: TARGET_UTILIZATION },
        Self::Proximity { from: None },
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adaptive { .. } => "adaptive",
            Self::HighestReputation => "highest-reputation",
            Self::LowestLatency => "lowest-latency",
            Self::MostReliable => "most-reliable",
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::Diversified { .. } => "diversified",
            Self::LoadBalanced { .. } => "load-balanced",
            Self::Proximity { .. } => "proximity",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Checks its parameters.
    ///
    /// # Errors
    /// [`SelectionStrategyError::BadValue`].
    pub fn validate(self) -> Result<(), SelectionStrategyError> {
        let bad = |parameter, value: u16, fix| {
            Err(SelectionStrategyError::BadValue { parameter, value: value.to_string(), fix })
        };
        match self {
            Self::Adaptive { learning_rate } if !(1..=1_000).contains(&learning_rate) => {
                bad("learning_rate", learning_rate, THOUSANDTHS)
            }
            Self::LoadBalanced { target_utilization }
                if !(1..=1_000).contains(&target_utilization) =>
            {
                bad("target_utilization", target_utilization, THOUSANDTHS)
            }
            Self::Diversified { max_per_region: 0 } => bad("max_per_region", 0, PEERS),
            Self::Adaptive { .. }
            | Self::HighestReputation
            | Self::LowestLatency
            | Self::MostReliable
            | Self::RoundRobin
            | Self::Weighted
            | Self::Diversified { .. }
            | Self::LoadBalanced { .. }
            | Self::Proximity { .. } => Ok(()),
        }
    }

    fn set(&mut self, parameter: &str, value: &str) -> Result<(), SelectionStrategyError> {
        let strategy = self.name();
        let bad = |parameter, fix| SelectionStrategyError::BadValue {
            parameter,
            value: value.to_owned(),
            fix,
        };
        match (self, parameter) {
            (Self::Adaptive { learning_rate }, "learning_rate") => {
                *learning_rate = value.parse().map_err(|_| bad("learning_rate", THOUSANDTHS))?;
            }
            (Self::Diversified { max_per_region }, "max_per_region") => {
                *max_per_region = value.parse().map_err(|_| bad("max_per_region", PEERS))?;
            }
            (Self::LoadBalanced { target_utilization }, "target_utilization") => {
                let read = value.parse().map_err(|_| bad("target_utilization", THOUSANDTHS));
                *target_utilization = read?;
            }
            (Self::Proximity { from }, "from") => {
                *from = Some(value.parse().map_err(|_| bad("from", "an IP address"))?);
            }
            _ => {
                let parameter = parameter.to_owned();
                return Err(SelectionStrategyError::NoSuchParameter { strategy, parameter });
            }
        }
        Ok(())
    }
}

impl fmt::Display for SelectionStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Adaptive { learning_rate } => write!(f, ":learning_rate={learning_rate}"),
            Self::Diversified { max_per_region } => write!(f, ":max_per_region={max_per_region}"),
            Self::LoadBalanced { target_utilization } => {
                write!(f, ":target_utilization={target_utilization}")
            }
            Self::Proximity { from: Some(from) } => write!(f, ":from={from}"),
            Self::HighestReputation
            | Self::LowestLatency
            | Self::MostReliable
            | Self::RoundRobin
            | Self::Weighted
            | Self::Proximity { from: None } => Ok(()),
        }
    }
}

impl FromStr for SelectionStrategy {
    type Err = SelectionStrategyError;

    fn from_str(text: &str) -> Result<Self, SelectionStrategyError> {
        // An IPv6 address has colons of its own: only the first one ends the name.
        let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
        let found = Self::ALL.into_iter().find(|strategy| strategy.name() == name);
        let mut strategy = found
            .ok_or_else(|| SelectionStrategyError::NoSuchStrategy { name: name.to_owned() })?;
        for parameter in parameters.split(',').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            strategy.set(key, value)?;
        }
        strategy.validate()?;
        Ok(strategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_is_read_as_it_is_written() {
        let others = [
            SelectionStrategy::Adaptive { learning_rate: 7 },
            SelectionStrategy::Diversified { max_per_region: 9 },
            SelectionStrategy::LoadBalanced { target_utilization: 1 },
            SelectionStrategy::Proximity { from: Some("2001:db8::1".parse().unwrap()) },
            SelectionStrategy::Proximity { from: Some("203.0.113.5".parse().unwrap()) },
        ];
        for strategy in SelectionStrategy::ALL.into_iter().chain(others) {
            assert_eq!(strategy.to_string().parse(), Ok(strategy), "{strategy}");
            let json = serde_json::to_string(&strategy).unwrap();
            assert_eq!(serde_json::from_str::<SelectionStrategy>(&json).unwrap(), strategy);
        }
        assert_eq!("diversified".parse(), Ok(SelectionStrategy::Diversified { max_per_region: 2 }));
    }

    #[test]
    fn what_cannot_be_is_named_with_what_can() {
        for (text, part) in [
            ("fastest", "there are adaptive, highest-reputation"),
            ("", "there is no strategy"),
            ("round-robin:learning_rate=1", "round-robin has no parameter learning_rate"),
            ("adaptive:learning_rate=0", "use 1 to 1000"),
            ("adaptive:learning_rate=1001", "use 1 to 1000"),
            ("adaptive:learning_rate", "use 1 to 1000"),
            ("diversified:max_per_region=0", "use 1 to 65535"),
            ("load-balanced:target_utilization=-1", "use 1 to 1000"),
            ("proximity:from=here", "use an IP address"),
        ] {
            let error = text.parse::<SelectionStrategy>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
