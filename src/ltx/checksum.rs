//! CRC-64/ISO as LTX uses it: reflected, polynomial 0xD800000000000000, all ones before and after.

const POLYNOMIAL: u64 = 0xD800_0000_0000_0000;
/// Set in every checksum that is stored, so that 0 means "none".
const STORED: u64 = 1 << 63;

/// `TABLES[n][byte]` is the effect of `byte` with `n` bytes of zeros behind it.
const TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut value, mut bit) = (byte as u64, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

/// A running checksum.
#[derive(Debug, Clone, Copy)]
pub struct Crc64(u64);

impl Crc64 {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(u64::MAX)
    }

    /// Continues over `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = self.0 ^ u64::from_le_bytes(*word);
            self.0 = (0..8).fold(0, |sum, n| sum ^ TABLES[7 - n][(mixed >> (8 * n)) as usize & 0xFF]);
        }
        for byte in rest {
            self.0 = (self.0 >> 8) ^ TABLES[0][(self.0 as u8 ^ byte) as usize];
        }
    }

    /// As it is stored in an LTX file.
    #[must_use]
    pub fn stored(self) -> u64 {
        !self.0 | STORED
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(pieces: &[&[u8]]) -> u64 {
        let mut crc = Crc64::new();
        pieces.iter().for_each(|piece| crc.update(piece));
        crc.stored()
    }

    #[test]
    fn the_check_value_of_the_catalogue_of_checksums_is_met_however_the_bytes_are_cut() {
        // CRC-64/GO-ISO of "123456789" is b90956c775a41001.
        assert_eq!(stored(&[b"123456789"]), 0xB909_56C7_75A4_1001);
        for cut in 0..9 {
            assert_eq!(stored(&[&b"123456789"[..cut], &b"123456789"[cut..]]), 0xB909_56C7_75A4_1001, "cut at {cut}");
        }
        assert_eq!(stored(&[]), STORED);
    }
}
