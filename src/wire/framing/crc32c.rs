//! The checksum of snappy frames: CRC-32 with Castagnoli's polynomial, masked.

/// The polynomial, lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What masking adds. Source: the snappy framing format.
const MASK: u32 = 0xa282_ead8;

/// How many bytes one step takes in.
const STEP_BYTES: usize = 8;

/// `TABLES[k][b]` is the effect of byte `b` with `k` zero bytes after it.
static TABLES: [[u32; 256]; STEP_BYTES] = tables();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn tables() -> [[u32; 256]; STEP_BYTES] {
    let mut tables = [[0; 256]; STEP_BYTES];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut effect = byte;
        let mut zeros = 0;
        while zeros < STEP_BYTES {
            let mut bit = 0;
            while bit < 8 {
                effect = (effect >> 1) ^ if effect & 1 == 1 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            tables[zeros][byte as usize] = effect;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

/// The masked checksum of `bytes`, as frames carry it.
pub(super) fn masked(bytes: &[u8]) -> u32 {
    checksum(bytes).rotate_right(15).wrapping_add(MASK)
}

fn checksum(bytes: &[u8]) -> u32 {
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    let crc = steps.iter().fold(!0, |crc, step| {
        let mixed = u64::from_le_bytes(*step) ^ u64::from(crc);
        let effects = mixed.to_be_bytes().into_iter().zip(&TABLES);
        effects.fold(0, |crc, (byte, table)| crc ^ effect(table, byte))
    });
    !rest.iter().fold(crc, |crc, byte| {
        let [table, ..] = &TABLES;
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ effect(table, low ^ byte)
    })
}

#[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
fn effect(table: &[u32; 256], byte: u8) -> u32 {
    table[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn checksum_has_its_published_values() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(checksum(b""), 0);
    }
}
