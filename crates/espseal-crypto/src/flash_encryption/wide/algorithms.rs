//! The algorithms, written once for registers of any width.
//!
//! A *lane* is 16 bytes of a register, one AES block.
//!
//! **XTS.** The hardware's reversal of a whole unit is a reversal within each lane plus masks in the
//! reverse order: the block in memory at place *i* of a unit is block 7 - *i* of IEEE Std 1619 and
//! takes the mask `tweak * alpha^(7 - i)`. Multiplying by `alpha^k` shifts a lane left by *k*; the bits
//! that leave at the top come back multiplied by `0x87`.
//!
//! **ESP32.** A lane is a row of 32 bytes with a key of its own. The key schedule of AES-256
//! (FIPS 197, section 5.2) runs in all lanes at once. `SubWord` is the last AES round over a block
//! whose four columns are equal: `ShiftRows` changes nothing then, and the round key brings in `Rcon`.
//! What the hardware calls encryption is AES decryption, whose round keys go through `InvMixColumns`
//! first; that is the last encryption round and a decryption round, both under zero keys.

/// Expands to the algorithms for one engine, which defines `load`, `store`, `all`, `spread`,
/// `split_rows` and `join_rows` beside it.
macro_rules! algorithms {
    (
        features: $features:literal, vector: $vector:ty, lanes: $lanes:literal,
        tweaks: $tweaks:literal, zero: $zero:ident, xor: $xor:ident, shuffle: $shuffle:ident,
        up_by: $up_by:ident, enc: $enc:ident, enc_last: $enc_last:ident, dec: $dec:ident,
        dec_last: $dec_last:ident,
    ) => {
        use zeroize::Zeroize as _;

        use super::Stretch;
        use crate::flash_encryption::Direction;
        use crate::flash_encryption::esp32;

        /// Bytes in a register.
        const BYTES: usize = $lanes * 16;
        /// Registers of data worked on at once.
        const AT_ONCE: usize = 8;
        /// Registers of XTS tweaks worked on at once.
        const TWEAKS: usize = $tweaks;
        /// Registers of ESP32 keys worked on at once.
        const SETS: usize = 4;
        /// Flash addresses that the ESP32 keys of one register cover.
        const ROWS: u32 = $lanes * 32;

        /// Bytes of which an XTS stretch is a multiple.
        pub(super) const XTS_GROUP: usize = TWEAKS * AT_ONCE * BYTES;
        /// Bytes of which an ESP32 stretch is a multiple.
        pub(super) const ESP32_GROUP: usize = AT_ONCE * BYTES;

        /// Runs XTS-AES-128 over whole groups; data key, then tweak key.
        #[target_feature(enable = $features)]
        pub(super) fn xts_128(key: &[u8; 32], stretch: Stretch<'_>) {
            if let ([data, tweak], []) = key.as_chunks::<16>() {
                xts(expand_128(all(data)), expand_128(all(tweak)), stretch);
            }
        }

        /// Runs XTS-AES-256 over whole groups; data key, then tweak key.
        #[target_feature(enable = $features)]
        pub(super) fn xts_256(key: &[u8; 64], stretch: Stretch<'_>) {
            if let ([first, second, third, fourth], []) = key.as_chunks::<16>() {
                let mut schedules = [[[$zero()]; 15]; 2];
                let [data, tweak] = &mut schedules;
                let mut keys = [[[all(first)], [all(second)]], [[all(third)], [all(fourth)]]];
                let [data_key, tweak_key] = &mut keys;
                expand_256(data_key, data);
                expand_256(tweak_key, tweak);
                xts(*data, *tweak, stretch);
                schedules.zeroize();
                keys.zeroize();
            }
        }

        /// Runs XTS with expanded keys and wipes them.
        #[target_feature(enable = $features)]
        #[inline]
        fn xts<const KEYS: usize>(
            mut data: [[$vector; 1]; KEYS],
            mut tweak: [[$vector; 1]; KEYS],
            stretch: Stretch<'_>,
        ) {
            let Stretch {
                direction,
                mut address,
                bytes,
            } = stretch;
            if direction == Direction::Decrypt {
                invert(&mut data);
            }
            let reverse = all(&REVERSE);
            let (groups, _) = bytes.as_chunks_mut::<XTS_GROUP>();
            for group in groups {
                let mut tweaks = [[0; BYTES]; TWEAKS];
                for lane in tweaks.as_flattened_mut().as_chunks_mut().0 {
                    *lane = u128::from(address).to_le_bytes();
                    address = address.wrapping_add(128);
                }
                let mut masks = [tweaks.map(|tweaks| load(&tweaks))];
                encrypt(&tweak, &mut masks);
                let [masks] = masks;
                for (tweaks, masks) in tweaks.iter_mut().zip(masks) {
                    store(tweaks, masks);
                }
                let (parts, _) = group.as_chunks_mut::<{ AT_ONCE * BYTES }>();
                for (part, tweaks) in parts.iter_mut().zip(&tweaks) {
                    let masks = spread(tweaks);
                    let (registers, _) = part.as_chunks_mut::<BYTES>();
                    let mut state = [[$zero(); AT_ONCE]];
                    let places = state.as_flattened_mut().iter_mut();
                    for ((to, from), mask) in places.zip(registers.iter()).zip(masks) {
                        *to = $xor($shuffle(load(from), reverse), mask);
                    }
                    match direction {
                        Direction::Encrypt => encrypt(&data, &mut state),
                        Direction::Decrypt => decrypt(&data, &mut state),
                    }
                    let [state] = state;
                    for ((to, from), mask) in registers.iter_mut().zip(state).zip(masks) {
                        store(to, $shuffle($xor(from, mask), reverse));
                    }
                }
            }
            data.zeroize();
            tweak.zeroize();
        }

        /// Runs the ESP32's scheme over whole groups.
        #[target_feature(enable = $features)]
        pub(super) fn esp32(key: &esp32::Cipher, stretch: Stretch<'_>) {
            let Stretch {
                direction,
                mut address,
                bytes,
            } = stretch;
            let reverse = all(&REVERSE);
            // The rows of a register differ in the lowest offset bits only, and the tweak is linear.
            let mut low = [[0; BYTES]; 2];
            let [left, right] = &mut low;
            let (left, right) = (left.as_chunks_mut().0, right.as_chunks_mut().0);
            for ((left, right), address) in left.iter_mut().zip(right).zip((0..).step_by(32)) {
                [*left, *right] = key.tweak(address).map(u128::to_be_bytes);
            }
            let low = low.map(|half| load(&half));
            let mut schedule = [[$zero(); SETS]; 15];
            let mut halves = [[$zero(); SETS]; 2];
            let (groups, _) = bytes.as_chunks_mut::<ESP32_GROUP>();
            for group in groups {
                let [firsts, seconds] = &mut halves;
                for (first, second) in firsts.iter_mut().zip(seconds) {
                    if address < esp32::LINEAR_END {
                        let [one, two] = key.halves(address);
                        *first = $xor(all(&one.to_be_bytes()), low[0]);
                        *second = $xor(all(&two.to_be_bytes()), low[1]);
                    } else {
                        [*first, *second] = each_row(key, address);
                    }
                    address = address.wrapping_add(ROWS);
                }
                expand_256(&mut halves, &mut schedule);
                let (pairs, _) = group.as_chunks_mut::<{ 2 * BYTES }>();
                let mut state = [[$zero(); 2]; SETS];
                for (to, from) in state.iter_mut().zip(pairs.iter()) {
                    if let ([first, second], _) = from.as_chunks::<BYTES>() {
                        *to = split_rows([load(first), load(second)])
                            .map(|blocks| $shuffle(blocks, reverse));
                    }
                }
                match direction {
                    // Named from the flash's side: its encryption is AES decryption.
                    Direction::Encrypt => {
                        invert(&mut schedule);
                        decrypt(&schedule, &mut state);
                    }
                    Direction::Decrypt => encrypt(&schedule, &mut state),
                }
                for (to, from) in pairs.iter_mut().zip(state) {
                    let rows = join_rows(from.map(|blocks| $shuffle(blocks, reverse)));
                    let (registers, _) = to.as_chunks_mut::<BYTES>();
                    registers
                        .iter_mut()
                        .zip(rows)
                        .for_each(|(to, row)| store(to, row));
                }
            }
            schedule.zeroize();
            halves.zeroize();
        }

        /// Derives the halves of the key of every row, where nothing is known of their difference.
        #[target_feature(enable = $features)]
        fn each_row(key: &esp32::Cipher, address: u32) -> [$vector; 2] {
            let mut halves = [[0; BYTES]; 2];
            let [left, right] = &mut halves;
            let (left, right) = (left.as_chunks_mut().0, right.as_chunks_mut().0);
            let mut address = address;
            for (left, right) in left.iter_mut().zip(right) {
                [*left, *right] = key.halves(address).map(u128::to_be_bytes);
                address = address.wrapping_add(32);
            }
            let loaded = halves.each_ref().map(|half| load(half));
            halves.zeroize();
            loaded
        }

        /// Expands AES-128 keys.
        #[target_feature(enable = $features)]
        #[inline]
        fn expand_128(key: $vector) -> [[$vector; 1]; 11] {
            let rotated = all(&ROTATED);
            let mut schedule = [[key]; 11];
            let mut key = key;
            for ([place], rcon) in schedule.iter_mut().skip(1).zip(RCON) {
                let word = $enc_last($shuffle(key, rotated), all(&words(rcon)));
                key = $xor(summed(key), word);
                *place = key;
            }
            schedule
        }

        /// Expands AES-256 keys, given in halves; leaves the last round keys in their place.
        #[target_feature(enable = $features)]
        #[inline]
        fn expand_256<const N: usize>(
            [even, odd]: &mut [[$vector; N]; 2],
            schedule: &mut [[$vector; N]; 15],
        ) {
            let (rotated, repeated) = (all(&ROTATED), all(&REPEATED));
            let (pairs, last) = schedule.as_chunks_mut::<2>();
            for ([first, second], rcon) in pairs.iter_mut().zip(RCON) {
                let rcon = all(&words(rcon));
                *first = *even;
                *second = *odd;
                for (even, odd) in even.iter_mut().zip(odd.iter_mut()) {
                    let word = $enc_last($shuffle(*odd, rotated), rcon);
                    *even = $xor(summed(*even), word);
                    let word = $enc_last($shuffle(*even, repeated), $zero());
                    *odd = $xor(summed(*odd), word);
                }
            }
            last.iter_mut().for_each(|last| *last = *even);
        }

        /// Adds to each word of a lane the words before it.
        #[target_feature(enable = $features)]
        #[inline]
        fn summed(key: $vector) -> $vector {
            let pairs = $xor(key, $up_by::<4>(key));
            $xor(pairs, $up_by::<8>(pairs))
        }

        /// Turns round keys for encryption into those for decryption, which stay in their order.
        #[target_feature(enable = $features)]
        #[inline]
        fn invert<const N: usize, const KEYS: usize>(schedule: &mut [[$vector; N]; KEYS]) {
            if let [_, middle @ .., _] = schedule.as_mut_slice() {
                for key in middle.as_flattened_mut() {
                    *key = $dec($enc_last(*key, $zero()), $zero());
                }
            }
        }

        /// Encrypts; each register of a round key is for one array of the state.
        #[target_feature(enable = $features)]
        #[inline]
        fn encrypt<const N: usize, const M: usize, const KEYS: usize>(
            schedule: &[[$vector; N]; KEYS],
            state: &mut [[$vector; M]; N],
        ) {
            let [first, middle @ .., last] = schedule.as_slice() else {
                return;
            };
            each(state, first, |block, key| $xor(block, key));
            for key in middle {
                each(state, key, |block, key| $enc(block, key));
            }
            each(state, last, |block, key| $enc_last(block, key));
        }

        /// Decrypts with what [`invert`] left.
        #[target_feature(enable = $features)]
        #[inline]
        fn decrypt<const N: usize, const M: usize, const KEYS: usize>(
            schedule: &[[$vector; N]; KEYS],
            state: &mut [[$vector; M]; N],
        ) {
            let [last, middle @ .., first] = schedule.as_slice() else {
                return;
            };
            each(state, first, |block, key| $xor(block, key));
            for key in middle.iter().rev() {
                each(state, key, |block, key| $dec(block, key));
            }
            each(state, last, |block, key| $dec_last(block, key));
        }

        /// Takes one step with every block of the state.
        #[target_feature(enable = $features)]
        #[inline]
        fn each<const N: usize, const M: usize>(
            state: &mut [[$vector; M]; N],
            keys: &[$vector; N],
            step: impl Fn($vector, $vector) -> $vector,
        ) {
            for (blocks, key) in state.iter_mut().zip(keys) {
                for block in blocks {
                    *block = step(*block, *key);
                }
            }
        }
    };
}

/// Order that reverses the bytes of a lane.
pub(super) const REVERSE: [u8; 16] = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
/// Order that puts the last word of a lane in all four places, rotated by a byte (`RotWord`).
pub(super) const ROTATED: [u8; 16] = [
    13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12,
];
/// Order that puts the last word of a lane in all four places.
pub(super) const REPEATED: [u8; 16] = [
    12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15,
];
/// Round constants of FIPS 197, section 5.2.
pub(super) const RCON: [u8; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 27, 54];

/// A round constant as each word of a lane has it.
pub(super) const fn words(rcon: u8) -> [u8; 16] {
    [rcon, 0, 0, 0, rcon, 0, 0, 0, rcon, 0, 0, 0, rcon, 0, 0, 0]
}
