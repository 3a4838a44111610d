//! Memory of this process and free space of a directory, as Linux tells them. Elsewhere nothing is
//! known of memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::ports::{ResourceSample, Resources};

/// Looks at this process, and at the file system that a directory is on.
#[derive(Debug)]
pub struct SystemResources {
    dir: PathBuf,
}

impl SystemResources {
    /// For a chain in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }
}

impl Resources for SystemResources {
    fn sample(&self) -> io::Result<ResourceSample> {
        let space = rustix::fs::statvfs(&self.dir)?;
        Ok(ResourceSample {
            memory_bytes: memory_bytes(),
            // What is kept for the superuser is not for us, even if we are.
            disk_free_bytes: Some(space.f_bavail.saturating_mul(space.f_frsize)),
        })
    }
}

/// Source: proc(5), the second field of `statm`: resident pages. Those of files that are mapped
/// are with them; this process maps nothing but its program.
fn memory_bytes() -> Option<u64> {
    let pages = resident_pages(&fs::read_to_string("/proc/self/statm").ok()?)?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_space_where_there_is_a_directory_and_says_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let found = SystemResources::new(dir.path()).sample().unwrap();
        assert!(found.disk_free_bytes.unwrap() > 0);
        #[cfg(target_os = "linux")]
        assert!(found.memory_bytes.unwrap() > 1 << 20, "{found:?}");
        assert!(SystemResources::new(&dir.path().join("gone")).sample().is_err());
    }

    #[test]
    fn reads_the_resident_pages_and_nothing_else() {
        assert_eq!(resident_pages("100 42 7 1 0 30 0\n"), Some(42));
        assert_eq!(resident_pages("100\n"), None);
        assert_eq!(resident_pages("100 many\n"), None);
    }
}
