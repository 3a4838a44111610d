//! What can happen to the files of a store while no node runs: chosen by a seed, done for real.

use std::{
    fmt, fs,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use rand::{Rng as _, rngs::StdRng};
use serde::Serialize;

/// The most damages of one run. Source: a disk that dies does not do one thing only.
const DAMAGES_MAX: usize = 3;

/// The longest range that is overwritten, and the longest that is appended. Unit: bytes. Source: a
/// few sectors and more.
const RANGE_BYTES_MAX: u64 = 16_384;

/// One thing that happened to a file, named by its path in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Single bits changed.
    Bits {
        /// In which file.
        file: PathBuf,
        /// How many.
        count: usize,
    },
    /// A range was written over.
    Range {
        /// In which file.
        file: PathBuf,
        /// From which byte on.
        at: u64,
        /// How long.
        length: u64,
        /// With zeros, with ones, or with chance.
        with: Filling,
    },
    /// The end is missing.
    Cut {
        /// Of which file.
        file: PathBuf,
        /// What is left. Unit: bytes.
        length: u64,
    },
    /// Something follows the end.
    Appended {
        /// To which file.
        file: PathBuf,
        /// How much. Unit: bytes.
        length: u64,
        /// What.
        with: Filling,
    },
    /// The file is gone.
    Removed {
        /// Which.
        file: PathBuf,
    },
    /// Each of two files is where the other was.
    Swapped {
        /// The one.
        file: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The file is as it was when the chain was half as long.
    Older {
        /// Which.
        file: PathBuf,
    },
}

/// What is written over a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filling {
    /// Zeros.
    Zeros,
    /// Bytes with all bits set.
    Ones,
    /// Anything.
    Chance,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Damages the store in `dir`; `older` is one of the same chain from before.
///
/// # Errors
/// The disk does not do it.
pub(super) fn damage(dir: &Path, older: &Path, chance: &mut StdRng) -> io::Result<Vec<Damage>> {
    let mut done = Vec::new();
    for _ in 0..chance.random_range(1..=DAMAGES_MAX) {
        let files = files_below(dir)?;
        let Some(file) = pick(&files, chance) else { break };
        let damage = choose(dir, older, &files, file, chance)?;
        apply(dir, older, &damage, chance)?;
        done.push(damage);
    }
    Ok(done)
}

fn pick<'a>(files: &'a [PathBuf], chance: &mut StdRng) -> Option<&'a PathBuf> {
    (!files.is_empty()).then(|| chance.random_range(0..files.len())).and_then(|at| files.get(at))
}

fn choose(
    dir: &Path,
    older: &Path,
    files: &[PathBuf],
    file: &Path,
    chance: &mut StdRng,
) -> io::Result<Damage> {
    let file = file.to_owned();
    let length = fs::metadata(dir.join(&file))?.len();
    let with = match chance.random_range(0..3) {
        0 => Filling::Zeros,
        1 => Filling::Ones,
        _ => Filling::Chance,
    };
    Ok(match chance.random_range(0..16) {
        0..5 => Damage::Bits { file, count: chance.random_range(1..=8) },
        5..8 => {
            let at = chance.random_range(0..=length);
            let length = chance.random_range(1..=RANGE_BYTES_MAX).min(length - at);
            Damage::Range { file, at, length, with }
        }
        8..11 => Damage::Cut { file, length: chance.random_range(0..=length) },
        11 => Damage::Appended { file, length: chance.random_range(1..=RANGE_BYTES_MAX), with },
        12 => Damage::Removed { file },
        13 => {
            let other = pick(files, chance).cloned().unwrap_or_else(|| file.clone());
            Damage::Swapped { file, other }
        }
        _ if older.join(&file).is_file() => Damage::Older { file },
        _ => Damage::Removed { file },
    })
}

fn apply(dir: &Path, older: &Path, damage: &Damage, chance: &mut StdRng) -> io::Result<()> {
    match damage {
        Damage::Bits { file, count } => {
            let path = dir.join(file);
            let mut bytes = fs::read(&path)?;
            for _ in 0..*count {
                if !bytes.is_empty() {
                    let at = chance.random_range(0..bytes.len());
                    let bit = 1_u8 << chance.random_range(0..8);
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
                }
            }
            fs::write(path, bytes)
        }
        Damage::Range { file, at, length, with } => {
            let mut file = fs::OpenOptions::new().write(true).open(dir.join(file))?;
            file.seek(SeekFrom::Start(*at))?;
            file.write_all(&filling(*with, *length, chance))
        }
        Damage::Cut { file, length } => {
            fs::OpenOptions::new().write(true).open(dir.join(file))?.set_len(*length)
        }
        Damage::Appended { file, length, with } => {
            let mut file = fs::OpenOptions::new().append(true).open(dir.join(file))?;
            file.write_all(&filling(*with, *length, chance))
        }
        Damage::Removed { file } => fs::remove_file(dir.join(file)),
        Damage::Swapped { file, other } => {
            let (one, two) = (fs::read(dir.join(file))?, fs::read(dir.join(other))?);
            fs::write(dir.join(file), two)?;
            fs::write(dir.join(other), one)
        }
        Damage::Older { file } => fs::copy(older.join(file), dir.join(file)).map(drop),
    }
}

fn filling(with: Filling, length: u64, chance: &mut StdRng) -> Vec<u8> {
    let byte = |chance: &mut StdRng| match with {
        Filling::Zeros => 0,
        Filling::Ones => u8::MAX,
        Filling::Chance => chance.random(),
    };
    (0..length).map(|_| byte(chance)).collect()
}

/// All files below `dir`, as paths in it, in order.
fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
