//! How the ESP32 stores its blocks 1 to 3, by `CODING_SCHEME`.
//!
//! | scheme | data | stored |
//! |---|---|---|
//! | none | 32 bytes | as they are |
//! | 3/4 | 24 bytes | 4 groups of 8: 6 of data, their XOR, the sum of `(index + 1) * ones` |
//! | repeat | 16 bytes | twice |
//!
//! The read registers show the data, so [`Efuses`] holds the data. A coded group can be burnt only
//! once, since its check bytes would not fit any more.
//!
//! Source: ESP32 technical reference manual, eFuse controller; ESP-IDF `components/efuse/esp32/esp_efuse_utility.c`.

use super::{BLOCK_SIZE, Efuses};

/// How blocks 1 to 3 of an ESP32 are coded. Other chips have no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodingScheme {
    /// 256 bits as they are.
    None,
    /// 192 bits with an error-correcting code.
    ThreeQuarters,
    /// 128 bits twice.
    Repeat,
}

/// Bytes of data in a group of 3/4 coding.
const GROUP: usize = 6;

impl CodingScheme {
    /// Bytes of data in a block.
    #[must_use]
    pub const fn data_size(self) -> usize {
        match self {
            Self::None => BLOCK_SIZE,
            Self::ThreeQuarters => 24,
            Self::Repeat => 16,
        }
    }

    /// Returns the bits that stand for `data` in the silicon; data past [`CodingScheme::data_size`]
    /// does not count.
    #[must_use]
    pub fn encode(self, data: &[u8; BLOCK_SIZE]) -> [u8; BLOCK_SIZE] {
        let mut stored = [0; BLOCK_SIZE];
        match self {
            Self::None => stored = *data,
            Self::ThreeQuarters => {
                for (group, to) in data.chunks(GROUP).zip(stored.chunks_mut(GROUP + 2)) {
                    to.iter_mut().zip(group).for_each(|(to, from)| *to = *from);
                    let weights = (1..).zip(group);
                    if let [.., xor, sum] = to {
                        *xor = group.iter().fold(0, |xor, byte| xor ^ byte);
                        *sum = weights.fold(0_u8, |sum, (weight, byte)| {
                            let ones = u8::try_from(byte.count_ones()).unwrap_or(0);
                            sum.wrapping_add(ones.wrapping_mul(weight))
                        });
                    }
                }
            }
            Self::Repeat => {
                let size = self.data_size();
                for half in stored.chunks_mut(size) {
                    half.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
                }
            }
        }
        stored
    }

    /// Whether these bits cannot be added to what is burnt.
    pub(super) fn forbids(self, old: &[u8; BLOCK_SIZE], bits: &[u8; BLOCK_SIZE]) -> bool {
        let used = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0);
        let beyond = bits.get(self.data_size()..).is_some_and(used);
        let coded = self == Self::ThreeQuarters
            && old
                .chunks(GROUP)
                .zip(bits.chunks(GROUP))
                .any(|(old, new)| used(old) && used(new));
        beyond || coded
    }
}

impl Efuses {
    /// How blocks 1 to 3 are coded: what `CODING_SCHEME` says on an ESP32.
    #[must_use]
    pub fn coding_scheme(&self) -> CodingScheme {
        let field = self.map().field("CODING_SCHEME");
        let stored = field.and_then(|field| field.get(&self.silicon(0)));
        match stored {
            Some(1) => CodingScheme::ThreeQuarters,
            Some(2) => CodingScheme::Repeat,
            _ => CodingScheme::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand from the manual's formula.
    #[test]
    fn three_quarters_adds_an_xor_and_a_weighted_sum_to_each_group() {
        let mut data = [0; BLOCK_SIZE];
        data[..6].copy_from_slice(&[1, 2, 4, 8, 16, 32]);
        data[6..12].fill(0xFF);
        let stored = CodingScheme::ThreeQuarters.encode(&data);
        assert_eq!(stored[..8], [1, 2, 4, 8, 16, 32, 0x3F, 21]);
        assert_eq!(stored[8..16], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 168]);
        assert_eq!(stored[16..], [0; 16]);
    }

    #[test]
    fn repeat_stores_sixteen_bytes_twice() {
        let data = core::array::from_fn(|index| u8::try_from(index).unwrap());
        let stored = CodingScheme::Repeat.encode(&data);
        assert_eq!(stored[..16], stored[16..]);
        assert_eq!(CodingScheme::None.encode(&data), data);
    }
}
