//! Showing how far the work is: a bar on a terminal, plain lines elsewhere, log lines for a node
//! that runs for ever.

use std::{
    borrow::Cow,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use alys_sync::{coordinator::SyncStatus, types::Height};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Least time between two lines. Too low: floods a log file. Too high: seems to hang.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Least time between two log lines of a node that runs for ever. Too low and too high: as above.
/// That it stands still is said as soon as a line would be.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// What a sync does that stands still. Not the name of a phase, so that a line tells when it begins
/// and when it ends.
const STALLED: &str = "stalled";

/// Shows progress until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    kind: Kind,
    shown: Option<Shown>,
}

#[derive(Debug)]
enum Kind {
    Bar(ProgressBar),
    Lines,
    Logs,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Shown {
    at: Instant,
    phase: &'static str,
    height: u64,
}

impl Progress {
    /// A bar where standard error is a terminal, else lines.
    pub(crate) fn bar_or_lines(bars: &MultiProgress) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { kind: Kind::Lines, shown: None };
        }
        let style = ProgressStyle::with_template("{bar:32} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(ProgressBar::new(0).with_style(style));
        Self { kind: Kind::Bar(bar), shown: None }
    }

    /// A bar where standard error is a terminal, else log lines.
    pub(crate) fn bar_or_logs(bars: &MultiProgress) -> Self {
        match Self::bar_or_lines(bars) {
            Self { kind: Kind::Lines, .. } => Self { kind: Kind::Logs, shown: None },
            bar => bar,
        }
    }

    /// Shows where the sync is.
    pub(crate) fn sync(&mut self, status: &SyncStatus) {
        let phase = status.phase.name();
        let (height, target) = (status.current_height, status.target_height);
        let message = || {
            if let Some(stall) = &status.stalled {
                return format!("{}, {stall}", phase.replace('_', " "));
            }
            format!(
                "{}, {}, {} peers, ETA {}",
                phase.replace('_', " "),
                speed(status),
                status.usable_peers,
                eta(status),
            )
        };
        let doing = if status.stalled.is_some() { STALLED } else { phase };
        self.show(doing, height, Some(target), message);
    }

    /// Shows how much of some work of known length is done.
    pub(crate) fn work(&mut self, what: &'static str, done: u64, all: u64) {
        self.show(what, Height::new(done), Some(Height::new(all)), || what.to_owned());
    }

    /// Shows how much of some work of unknown length is done.
    pub(crate) fn count(&mut self, what: &'static str, done: u64) {
        self.show(what, Height::new(done), None, || what.to_owned());
    }

    fn show(
        &mut self,
        phase: &'static str,
        height: Height,
        target: Option<Height>,
        message: impl FnOnce() -> String,
    ) {
        let (height, target) = (height.get(), target.map(Height::get));
        let now = Shown { at: Instant::now(), phase, height };
        let line = || {
            let of = match target {
                None => String::new(),
                Some(0) => "/?".to_owned(),
                Some(target) => format!("/{target}"),
            };
            format!("{height}{of} {}", message())
        };
        match &self.kind {
            Kind::Bar(bar) => {
                // A bar of length 0 would look full.
                bar.set_length(target.unwrap_or(height).max(1));
                bar.set_position(height);
                bar.set_message(line());
            }
            Kind::Lines if self.entered(phase) || self.due(now, LINE_EVERY) => {
                eprintln!("{}", line());
                self.shown = Some(now);
            }
            Kind::Logs if self.due(now, log_every(phase)) => {
                tracing::info!(height, target, "{}", line());
                self.shown = Some(now);
            }
            Kind::Lines | Kind::Logs => {}
        }
    }

    fn entered(&self, phase: &str) -> bool {
        self.shown.is_some_and(|last| last.phase != phase)
    }

    fn due(&self, now: Shown, every: Duration) -> bool {
        self.shown.is_none_or(|last| {
            let moved = last.height != now.height || last.phase != now.phase;
            moved && now.at.duration_since(last.at) >= every
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        match &self.kind {
            Kind::Bar(bar) => bar.finish_and_clear(),
            Kind::Lines | Kind::Logs => {}
        }
    }
}

fn log_every(doing: &str) -> Duration {
    if doing == STALLED { LINE_EVERY } else { LOG_EVERY }
}

/// The speed of a sync, for people.
pub(super) fn speed(status: &SyncStatus) -> String {
    let mebibytes = status.bytes_per_second / f64::from(1 << 20);
    format!("{:.0} blocks/s, {mebibytes:.2} MiB/s", status.blocks_per_second)
}

/// The time to the target and how sure it is, for people.
pub(super) fn eta(status: &SyncStatus) -> String {
    let Some(likely) = status.eta_seconds else { return "unknown".to_owned() };
    range(
        likely,
        status.eta_low_seconds.unwrap_or(likely),
        status.eta_high_seconds.unwrap_or(likely),
    )
}

fn range(likely: f64, low: f64, high: f64) -> String {
    let [likely, low, high] = [likely, low, high].map(time);
    if low == high { likely.into_owned() } else { format!("{likely} ({low} to {high})") }
}

fn time(seconds: f64) -> Cow<'static, str> {
    let time = Duration::try_from_secs_f64(seconds).map(|duration| duration.as_secs());
    match time {
        Err(_) => "ages".into(),
        Ok(seconds @ 0..60) => format!("{seconds} s").into(),
        Ok(seconds @ 60..3600) => format!("{} min {} s", seconds / 60, seconds % 60).into(),
        Ok(seconds) => format!("{} h {} min", seconds / 3600, seconds / 60 % 60).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_units_that_fit() {
        assert_eq!(time(f64::INFINITY), "ages");
        assert_eq!(time(59.9), "59 s");
        assert_eq!(time(125.0), "2 min 5 s");
        assert_eq!(time(7_260.0), "2 h 1 min");
    }

    #[test]
    fn stall_is_said_at_once_and_once() {
        let at = Instant::now();
        let shown = Shown { at, phase: "downloading_blocks", height: 7 };
        let progress = Progress { kind: Kind::Logs, shown: Some(shown) };
        let later = Shown { at: at + Duration::from_secs(3), ..shown };
        let due = |now: Shown| progress.due(now, log_every(now.phase));
        assert!(!due(Shown { height: 9, ..later }), "a node that runs for ever logs rarely");
        let stalled = Shown { phase: STALLED, ..later };
        assert!(due(stalled) && progress.entered(STALLED));
        let progress = Progress { kind: Kind::Logs, shown: Some(stalled) };
        let much_later = Shown { at: at + Duration::from_secs(60), ..stalled };
        assert!(!progress.due(much_later, log_every(STALLED)), "nothing is new");
    }

    #[test]
    fn eta_is_told_with_its_range_where_there_is_one() {
        assert_eq!(range(125.0, 110.0, 150.0), "2 min 5 s (1 min 50 s to 2 min 30 s)");
        assert_eq!(range(0.0, 0.0, 0.0), "0 s");
    }
}
