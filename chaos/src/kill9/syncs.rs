//! Calls by which data is made durable, as `strace` sees them: how many there are in a sync,
//! whether they come before the promise, and kills exactly at one of them.
//!
//! `strace` can send a signal where a call is entered, so the process is gone before what it wanted
//! to have synced is.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

/// The calls that make data durable.
pub(super) const SYNC_CALLS: [&str; 3] = ["fsync", "fdatasync", "sync_file_range"];

/// Whether there is an `strace` that works here.
pub(crate) fn can_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "true"]);
    let ran = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|ended| ended.success())
}

/// The arguments of an `strace` that notes all syncs, and all that is said, in `file`.
pub(super) fn noting(file: &Path) -> Vec<OsString> {
    let calls = format!("trace=write,{}", SYNC_CALLS.join(","));
    let mut arguments: Vec<OsString> =
        ["-f", "-qq", "-y", "-s", "256", "-e"].map(Into::into).into();
    arguments.extend([calls.into(), "-o".into(), file.into()]);
    arguments
}

/// The arguments of an `strace` that kills where a thread makes its `nth` call of this name.
pub(super) fn killing_at(call: &str, nth: u64) -> Vec<OsString> {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:signal=KILL:when={nth}");
    let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    arguments.map(Into::into).into()
}

/// The arguments of an `strace` that has calls of this name fail, from the `nth` of a thread on, as
/// a disk makes them that is broken.
pub(crate) fn failing_at(call: &str, nth: u64) -> Vec<OsString> {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:error=EIO:when={nth}+");
    let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    arguments.map(Into::into).into()
}

/// What a whole sync does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// By call, the most that one thread makes.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// Promises that blocks are imported.
    pub(super) promises: u64,
    /// Of those, how many came when fewer commits had been synced than were promised.
    pub(super) unkept: u64,
}

/// Reads what `strace` noted.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(file: &Path) -> io::Result<Noted> {
    Ok(understand(&String::from_utf8_lossy(&fs::read(file)?)))
}

fn understand(lines: &str) -> Noted {
    let mut noted = Noted::default();
    let mut by_thread: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    // The file of a call that has not returned yet, by thread.
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    // A commit syncs bodies and then the index. The next may be under way when one is promised, so
    // they are counted.
    let (mut bodies_synced, mut durable) = (false, 0_u64);
    for line in lines.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(call) =
            SYNC_CALLS.into_iter().find(|call| rest.starts_with(&format!("{call}(")))
        {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
        let ended = match rest.strip_suffix("<unfinished ...>") {
            Some(begun) => {
                open.insert(thread, begun);
                None
            }
            None if rest.starts_with("<... ") => open.remove(thread),
            None => Some(rest),
        };
        let Some(call) = ended else { continue };
        let succeeded = rest.ends_with("= 0");
        if succeeded && call.starts_with("fdatasync(") {
            if call.contains("/blocks/") {
                bodies_synced = true;
            } else if call.contains("/index/") {
                durable += u64::from(std::mem::take(&mut bodies_synced));
            }
        }
        if call.starts_with("write(1<") && call.contains("imported") {
            noted.promises += 1;
            noted.unkept += u64::from(durable < noted.promises);
        }
    }
    for ((_, call), count) in by_thread {
        let most = noted.calls.entry(call).or_default();
        *most = count.max(*most);
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = r#"
7 fdatasync(9</s/blocks/00000001.seg>) = 0
8 fdatasync(10</s/index/db>)        = 0
9 write(1<pipe:[5]>, "{\"imported\":{\"height\":9}}\n", 27) = 27
7 fdatasync(9</s/blocks/00000001.seg> <unfinished ...>
9 fsync(11</s/index>)               = 0
7 <... fdatasync resumed>)          = 0
7 fdatasync(10</s/index/db>)        = 0
9 write(1<pipe:[5]>, "{\"imported\":{\"height\":12}}\n", 28 <unfinished ...>
9 <... write resumed>)              = 28
"#;

    #[test]
    fn promise_after_bodies_and_index_were_synced_is_kept() {
        let noted = understand(KEPT);
        assert_eq!((noted.promises, noted.unkept), (2, 0));
        assert_eq!(noted.calls, BTreeMap::from([("fdatasync", 3), ("fsync", 1)]));
    }

    #[test]
    fn promise_before_the_sync_has_returned_or_without_its_success_is_found() {
        let early = KEPT.replace("7 <... fdatasync resumed>)          = 0\n", "");
        assert_eq!(understand(&early).unkept, 1);
        let failed =
            KEPT.replace("index/db>)        = 0", "index/db>) = -1 EIO (Input/output error)");
        assert_eq!(understand(&failed).unkept, 2);
    }
}
