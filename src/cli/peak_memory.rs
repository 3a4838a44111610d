//! The most memory that this process has used, where the system tells.

use std::fs;

/// Starts counting anew, as far as the system lets us.
pub(crate) fn reset() {
    // Source: proc(5), `clear_refs`: 5 sets the peak to the present size. Where it is refused, the
    // peak is that of the whole process: more, never less.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The peak. Unit: bytes. `None` where the system does not tell.
pub(crate) fn bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_and_nothing_else() {
        let status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   12 kB\nVmRSS:\t   3 kB\n";
        assert_eq!(parse(status), Some(12 * 1024));
        assert_eq!(parse("Name:\tx\n"), None);
        assert_eq!(parse("VmHWM:\t 1 MB\n"), None);
    }
}
