//! Check values of eFuse blocks: the Reed-Solomon code RS(44, 32) over GF(2^8).
//!
//! Field polynomial 0x11D, generator 2, first root 2^0. The controller computes nothing itself: the
//! check values are burnt with the block and stay in its registers.
//!
//! Source: the eFuse chapter of the ESP32-C3 technical reference manual; observed in the file of
//! `espefuse --virt`.

use super::BLOCK_SIZE;

/// Bytes of check values.
pub(super) const PARITY: usize = 12;

/// Computes the check values of a block.
pub(super) fn parity(block: &[u8; BLOCK_SIZE]) -> [u8; PARITY] {
    let generator = generator();
    let mut remainder = [0; PARITY];
    for byte in block {
        let [first, rest @ ..] = remainder;
        let factor = byte ^ first;
        for ((slot, carried), coefficient) in remainder
            .iter_mut()
            .zip(rest.into_iter().chain([0]))
            .zip(generator)
        {
            *slot = carried ^ multiply(coefficient, factor);
        }
    }
    remainder
}

/// Coefficients of the generator polynomial below its leading 1, highest first.
fn generator() -> [u8; PARITY] {
    let mut low = [0; PARITY];
    let mut root = 1;
    for degree in 0..PARITY {
        // Multiplies `x^degree + low` by `x + root`; `low` is highest first and right-aligned.
        let mut next = [0; PARITY];
        for (index, slot) in next.iter_mut().enumerate() {
            let shifted = if index + 1 < PARITY {
                low.get(index + 1).copied().unwrap_or(0)
            } else {
                0
            };
            let leading = if index + degree + 1 == PARITY {
                root
            } else {
                0
            };
            let scaled = multiply(low.get(index).copied().unwrap_or(0), root);
            *slot = shifted ^ scaled ^ leading;
        }
        low = next;
        root = multiply(root, 2);
    }
    low
}

/// Multiplies in GF(2^8) modulo 0x11D.
fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut a) = (0, a);
    for index in 0..8 {
        if b >> index & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1D };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `reedsolo.RSCodec(12).encode(bytes(range(32, 0, -1)))[-12:]`, reedsolo 1.7.0.
    #[test]
    fn check_values_match_an_independent_reed_solomon_coder() {
        let mut block = [0; BLOCK_SIZE];
        for (index, byte) in block.iter_mut().enumerate() {
            *byte = 32 - u8::try_from(index).unwrap();
        }
        let expected = [
            0x58, 0xCD, 0x0E, 0xD4, 0x6D, 0x51, 0xB9, 0x1F, 0x00, 0xED, 0xFC, 0xE4,
        ];
        assert_eq!(parity(&block), expected);
    }
}
