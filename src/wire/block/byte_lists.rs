//! Lists of byte strings that take little more memory than their bytes.

use std::fmt;

use crate::wire::msgpack::{DecodeError, Reader};

/// A list of byte strings, kept back to back in one allocation.
///
/// A peer can put hundreds of thousands of empty strings into one block. As vectors each would
/// take 24 bytes for one or three on the wire; here it takes eight.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ByteLists {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteLists {
    /// How many strings.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The length of all strings together. Unit: bytes.
    pub const fn bytes_total(&self) -> usize {
        self.bytes.len()
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let string = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            string
        })
    }

    /// Adds a string.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// A list of strings, each appended by `read` to the buffer it is given; limits as for
    /// [`Reader::list`]. Empty if the reader only checks.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        field: &'static str,
        max: usize,
        element_bytes_min: usize,
        mut read: impl FnMut(&mut Reader<'_>, &mut Vec<u8>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let mut bytes = Vec::new();
        let ends = reader.elements(field, max, element_bytes_min, |reader| {
            read(reader, &mut bytes).map(|()| bytes.len())
        })?;
        Ok(Self { bytes, ends })
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for ByteLists {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut lists = Self::default();
        for string in strings {
            lists.push(string.as_ref());
        }
        lists
    }
}

impl fmt::Debug for ByteLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(hex::encode)).finish()
    }
}
