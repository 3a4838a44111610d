//! The golden vectors, for tests. `tests/vectors/README.md` says what they are.

use std::{fs, io::Read, path::PathBuf};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// The bytes of a vector file.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The unpacked bytes of a packed vector file.
pub(crate) fn unpacked(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file(name).as_slice()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The rows of a vector file.
pub(crate) fn rows<T: DeserializeOwned>(name: &str) -> Vec<T> {
    serde_json::from_slice(&file(name)).unwrap()
}

/// Bytes that stand as hexadecimal digits in a vector file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        hex::decode(digits).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A row of `chain.json` or `negative.json`: a block and what the network's code says of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BlockRow {
    #[serde(rename = "name", alias = "what", default)]
    pub(crate) label: String,
    #[serde(rename = "rmp_hex")]
    pub(crate) encoded: Hex,
    #[serde(rename = "rmp_len")]
    pub(crate) encoded_bytes: usize,
    #[serde(rename = "message_rmp_len")]
    pub(crate) message_bytes: usize,
    pub(crate) canonical_root: Hex,
    pub(crate) block_ref: BlockRefRow,
    pub(crate) aggregation_bits_ssz: Hex,
    pub(crate) aggregate_signature: Hex,
    pub(crate) num_approvals: usize,
}

/// The height and root in a [`BlockRow`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BlockRefRow {
    pub(crate) height: u64,
}

/// The value of a line of `scalars.txt`, `key` being all that stands before it.
pub(crate) fn scalar(key: &str) -> Vec<u8> {
    let text = String::from_utf8(file("scalars.txt")).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix([':', ' ']).map(str::trim))
        .unwrap_or_else(|| panic!("no scalar {key}"));
    hex::decode(value.trim_start_matches("0x")).unwrap()
}
