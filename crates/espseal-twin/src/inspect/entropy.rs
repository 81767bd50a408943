//! Whether bytes are erased flash, look encrypted, or hold something readable.

/// Bytes that one look takes: a sector.
const SAMPLE: usize = 4096;
/// Most sectors that a look at a large stretch takes, spread over it.
const SAMPLES: usize = 16;
/// Bits of entropy in a byte from which a sector looks encrypted. Random sectors have 7.95; code
/// has 5 to 6.5. Compressed data looks encrypted too, which is why this is never said as a fact.
const NOISE: f64 = 7.8;

/// How bytes look without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All 0xFF.
    Erased,
    /// Something readable.
    Readable,
    /// Like noise: encrypted, or compressed.
    Noise,
}

/// Looks at bytes: all of them for erased flash, a sample for noise.
#[must_use]
pub fn look(bytes: &[u8]) -> Look {
    let sectors = || bytes.chunks(SAMPLE).filter(|sector| !is_erased(sector));
    let written = sectors().count();
    if written == 0 {
        return Look::Erased;
    }
    let step = written.div_ceil(SAMPLES);
    let (mut noisy, mut seen) = (0_usize, 0_usize);
    for sector in sectors().step_by(step) {
        seen += 1;
        noisy += usize::from(is_noise(sector));
    }
    match noisy * 2 > seen {
        true => Look::Noise,
        false => Look::Readable,
    }
}

/// Whether all bytes are 0xFF.
#[must_use]
pub fn is_erased(bytes: &[u8]) -> bool {
    bytes.iter().fold(0xFF, |all, byte| all & byte) == 0xFF
}

/// Whether a sector looks like noise; a shorter piece needs less entropy, as chance leaves it less.
#[must_use]
pub fn is_noise(sector: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in sector {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(sector.len()).unwrap_or(u32::MAX));
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum();
    // The expected entropy of n random bytes is about 8 - 255 / (2 n ln 2), and below log2(n).
    let expected = (8.0 - 255.0 / (2.0 * total * std::f64::consts::LN_2)).min(total.log2());
    total >= 64.0 && entropy > expected - (8.0 - NOISE) + 0.05
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x1234_5678_u32;
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            u8::try_from(state >> 24).unwrap()
        };
        (0..length).map(|_| step()).collect()
    }

    #[test]
    fn noise_text_and_erased_flash_are_told_apart() {
        assert_eq!(look(&[0xFF; 0x3000]), Look::Erased);
        assert_eq!(look(&noise(0x3000)), Look::Noise);
        let text = b"partition table, otadata and code have little entropy. ".repeat(200);
        assert_eq!(look(&text), Look::Readable);
        // An encrypted image in an otherwise erased slot.
        let mut slot = noise(0x4000);
        slot.resize(0x10_0000, 0xFF);
        assert_eq!(look(&slot), Look::Noise);
    }
}
