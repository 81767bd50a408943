//! The two schemes, written once for every vector width.
//!
//! `kernels!` expands next to a width's primitives (`xmm.rs`, `ymm.rs`, `zmm.rs`): a type `V` of
//! `LANES` AES blocks, and operations on all of them at once.
//!
//! **XTS.** Eight vectors are always worked on together, to hide the latency of an AES round:
//! `LANES` units of 128 bytes, `8 / LANES` vectors each. Their tweaks are encrypted eight vectors
//! at a time as well. The whole unit is reversed: the bytes by a shuffle inside each block, the
//! blocks by counting the masks down from the end of the unit.
//!
//! **ESP32.** A lane is a row of 32 bytes with a key of its own; the key schedules of a batch of
//! rows advance together. S-boxes go through `aesenclast`: of four equal columns, `ShiftRows` moves
//! nothing. Rows share no more than that: the keys of neighbours differ in their last word too,
//! which the first step already sends through the S-box.

/// Vectors that are worked on together in XTS.
pub(super) const VECTORS: usize = 8;
/// AES blocks in a unit of XTS.
pub(super) const UNIT_BLOCKS: usize = 8;

/// Writes the kernels for one vector width; `$batch` is the number of vectors of rows whose key
/// schedules advance together.
macro_rules! kernels {
    ($features:literal, $batch:literal) => {
        /// Vectors in a unit of XTS.
        const UNIT_VECTORS: usize = UNIT_BLOCKS / LANES;
        /// Units whose tweaks are encrypted together.
        const TWEAKS: usize = VECTORS * LANES;
        /// Bytes in a vector.
        const BYTES: usize = 16 * LANES;
        /// Vectors of rows whose key schedules advance together.
        const BATCH: usize = $batch;
        /// Bytes of the rows of a batch.
        const BATCH_BYTES: usize = BATCH * BYTES * 2;
        /// Bytes of a key half for each row of a batch.
        const BATCH_KEYS: usize = BATCH * BYTES;

        /// Encrypts whole units, the first of which stands at `offset`.
        #[target_feature(enable = $features)]
        pub(super) fn xts_encrypt<const N: usize>(
            keys: &XtsKeys<N>,
            offset: u32,
            units: &mut [Unit],
        ) {
            xts(&keys.tweak, offset, units, |data| {
                encrypt(&keys.encrypt, data);
            });
        }

        /// Decrypts whole units, the first of which stands at `offset`.
        #[target_feature(enable = $features)]
        pub(super) fn xts_decrypt<const N: usize>(
            keys: &XtsKeys<N>,
            offset: u32,
            units: &mut [Unit],
        ) {
            xts(&keys.tweak, offset, units, |data| {
                decrypt(&keys.decrypt, data);
            });
        }

        /// Masks units, calls `work` on them and masks again.
        #[target_feature(enable = $features)]
        fn xts<const N: usize>(
            tweak_key: &[Block; N],
            offset: u32,
            units: &mut [Unit],
            work: impl Fn(&mut [V; VECTORS]),
        ) {
            let mut offset = offset;
            for units in units.chunks_mut(TWEAKS) {
                let mut tweaks = [[0; 16]; TWEAKS];
                for tweak in &mut tweaks {
                    *tweak = u128::from(offset).to_le_bytes();
                    offset = offset.wrapping_add(UNIT);
                }
                let mut vectors = load_all(&tweaks);
                encrypt(tweak_key, &mut vectors);
                store_all(&vectors, &mut tweaks);
                let (tweaks, _) = tweaks.as_chunks();
                let (whole, rest) = units.as_chunks_mut();
                for (units, tweaks) in whole.iter_mut().zip(tweaks) {
                    xts_pass(tweaks, units, &work);
                }
                if let (false, Some(tweaks)) = (rest.is_empty(), tweaks.get(whole.len())) {
                    let mut padded = [[0; 128]; LANES];
                    for (to, from) in padded.iter_mut().zip(rest.iter()) {
                        *to = *from;
                    }
                    xts_pass(tweaks, &mut padded, &work);
                    for (to, from) in rest.iter_mut().zip(padded) {
                        *to = from;
                    }
                }
            }
        }

        /// Handles as many units as fill eight vectors.
        #[target_feature(enable = $features)]
        fn xts_pass(
            tweaks: &[Block; LANES],
            units: &mut [Unit; LANES],
            work: impl Fn(&mut [V; VECTORS]),
        ) {
            let mut masks = [zero(); VECTORS];
            let (mask_units, _) = masks.as_chunks_mut::<UNIT_VECTORS>();
            for (slots, tweak) in mask_units.iter_mut().zip(tweaks) {
                let mut mask = spread(broadcast(tweak));
                for slot in slots.iter_mut().rev() {
                    *slot = mask;
                    mask = next_masks(mask);
                }
            }
            let mut data = [zero(); VECTORS];
            let (bytes, _) = units.as_flattened_mut().as_chunks_mut::<BYTES>();
            for ((data, bytes), mask) in data.iter_mut().zip(&*bytes).zip(&masks) {
                *data = xor(reverse(load(bytes)), *mask);
            }
            work(&mut data);
            for ((data, bytes), mask) in data.iter().zip(bytes).zip(&masks) {
                store(reverse(xor(*data, *mask)), bytes);
            }
        }

        #[target_feature(enable = $features)]
        fn load_all(blocks: &[Block; TWEAKS]) -> [V; VECTORS] {
            let mut vectors = [zero(); VECTORS];
            let (bytes, _) = blocks.as_flattened().as_chunks();
            for (vector, bytes) in vectors.iter_mut().zip(bytes) {
                *vector = load(bytes);
            }
            vectors
        }

        #[target_feature(enable = $features)]
        fn store_all(vectors: &[V; VECTORS], blocks: &mut [Block; TWEAKS]) {
            let (bytes, _) = blocks.as_flattened_mut().as_chunks_mut();
            for (vector, bytes) in vectors.iter().zip(bytes) {
                store(*vector, bytes);
            }
        }

        /// AES encryption with one key for all lanes.
        #[target_feature(enable = $features)]
        fn encrypt<const N: usize>(keys: &[Block; N], data: &mut [V; VECTORS]) {
            if let [first, middle @ .., last] = keys.as_slice() {
                let key = broadcast(first);
                for data in data.iter_mut() {
                    *data = xor(*data, key);
                }
                for key in middle {
                    let key = broadcast(key);
                    for data in data.iter_mut() {
                        *data = aesenc(*data, key);
                    }
                }
                let key = broadcast(last);
                for data in data.iter_mut() {
                    *data = aesenclast(*data, key);
                }
            }
        }

        /// AES decryption with one key for all lanes; `keys` in the order of use.
        #[target_feature(enable = $features)]
        fn decrypt<const N: usize>(keys: &[Block; N], data: &mut [V; VECTORS]) {
            if let [first, middle @ .., last] = keys.as_slice() {
                let key = broadcast(first);
                for data in data.iter_mut() {
                    *data = xor(*data, key);
                }
                for key in middle {
                    let key = broadcast(key);
                    for data in data.iter_mut() {
                        *data = aesdec(*data, key);
                    }
                }
                let key = broadcast(last);
                for data in data.iter_mut() {
                    *data = aesdeclast(*data, key);
                }
            }
        }

        /// A vector of rows of the ESP32 scheme: both blocks of each row, and two round keys.
        #[derive(Clone, Copy)]
        struct Rows {
            first: V,
            second: V,
            even: V,
            odd: V,
        }

        /// AES-256 encryption of rows, each under its own key: the ESP32's *decryption*.
        #[target_feature(enable = $features)]
        pub(super) fn esp32_decrypt(keys: &RowKeys, offset: u32, spans: &mut [Span]) {
            esp32(keys, offset, spans, |rows| {
                for row in rows.iter_mut() {
                    row.first = aesenc(xor(row.first, row.even), row.odd);
                    row.second = aesenc(xor(row.second, row.even), row.odd);
                }
                let [middle @ .., last] = ROUND_CONSTANTS;
                for constant in middle {
                    for row in rows.iter_mut() {
                        row.even = next_even(row.even, row.odd, constant);
                        row.first = aesenc(row.first, row.even);
                        row.second = aesenc(row.second, row.even);
                    }
                    for row in rows.iter_mut() {
                        row.odd = next_odd(row.even, row.odd);
                        row.first = aesenc(row.first, row.odd);
                        row.second = aesenc(row.second, row.odd);
                    }
                }
                for row in rows.iter_mut() {
                    row.even = next_even(row.even, row.odd, last);
                    row.first = aesenclast(row.first, row.even);
                    row.second = aesenclast(row.second, row.even);
                }
            });
        }

        /// AES-256 decryption of rows, each under its own key: the ESP32's *encryption*.
        #[target_feature(enable = $features)]
        pub(super) fn esp32_encrypt(keys: &RowKeys, offset: u32, spans: &mut [Span]) {
            // Round keys 1 to 12 in pairs, as `aesdec` takes them.
            let mut schedule = [[[zero(); 2]; BATCH]; ROUND_CONSTANTS.len() - 1];
            let schedule_of = &mut schedule;
            esp32(keys, offset, spans, |rows| {
                let mut whitening = [zero(); BATCH];
                for (key, row) in whitening.iter_mut().zip(rows.iter()) {
                    *key = row.even;
                }
                let [middle @ .., last] = ROUND_CONSTANTS;
                for (slots, constant) in schedule_of.iter_mut().zip(middle) {
                    for (slot, row) in slots.iter_mut().zip(rows.iter_mut()) {
                        row.even = next_even(row.even, row.odd, constant);
                        *slot = [inv_mix_columns(row.odd), inv_mix_columns(row.even)];
                        row.odd = next_odd(row.even, row.odd);
                    }
                }
                for row in rows.iter_mut() {
                    row.even = next_even(row.even, row.odd, last);
                    let odd = inv_mix_columns(row.odd);
                    row.first = aesdec(xor(row.first, row.even), odd);
                    row.second = aesdec(xor(row.second, row.even), odd);
                }
                for slots in schedule_of.iter().rev() {
                    for ([odd, even], row) in slots.iter().zip(rows.iter_mut()) {
                        row.first = aesdec(aesdec(row.first, *even), *odd);
                        row.second = aesdec(aesdec(row.second, *even), *odd);
                    }
                }
                for (key, row) in whitening.iter().zip(rows.iter_mut()) {
                    row.first = aesdeclast(row.first, *key);
                    row.second = aesdeclast(row.second, *key);
                }
            });
            schedule.zeroize();
        }

        /// Loads batches of rows with their keys, calls `work` on each and stores it.
        #[target_feature(enable = $features)]
        fn esp32(
            keys: &RowKeys,
            offset: u32,
            spans: &mut [Span],
            mut work: impl FnMut(&mut [Rows; BATCH]),
        ) {
            let mut offset = offset;
            for span in spans {
                let [even, odd] = keys.cipher.halves_at(offset).map(u128::to_be_bytes);
                let (even, odd) = (broadcast(&even), broadcast(&odd));
                let (batches, _) = span.as_chunks_mut::<BATCH_BYTES>();
                let [evens, odds] = &keys.tweaks;
                let (evens, _) = evens.as_flattened().as_chunks::<BATCH_KEYS>();
                let (odds, _) = odds.as_flattened().as_chunks::<BATCH_KEYS>();
                for ((batch, evens), odds) in batches.iter_mut().zip(evens).zip(odds) {
                    let mut rows = [Rows {
                        first: zero(),
                        second: zero(),
                        even,
                        odd,
                    }; BATCH];
                    let (bytes, _) = batch.as_chunks_mut::<{ BYTES * 2 }>();
                    let (evens, _) = evens.as_chunks();
                    let (odds, _) = odds.as_chunks();
                    for (row, ((bytes, even), odd)) in
                        rows.iter_mut().zip(bytes.iter().zip(evens).zip(odds))
                    {
                        let (first, second) = load_rows(bytes);
                        row.first = reverse(first);
                        row.second = reverse(second);
                        row.even = xor(row.even, load(even));
                        row.odd = xor(row.odd, load(odd));
                    }
                    work(&mut rows);
                    for (row, bytes) in rows.iter().zip(bytes) {
                        store_rows(reverse(row.first), reverse(row.second), bytes);
                    }
                }
                offset = offset.wrapping_add(SPAN);
            }
        }

        /// The next round key with an even number, from the two before it.
        #[target_feature(enable = $features)]
        #[inline]
        fn next_even(even: V, odd: V, constant: u8) -> V {
            add_up(even, aesenclast(rotated_last_word(odd), word(constant)))
        }

        /// The next round key with an odd number, from the two before it.
        #[target_feature(enable = $features)]
        #[inline]
        fn next_odd(even: V, odd: V) -> V {
            add_up(odd, aesenclast(last_word(even), zero()))
        }

        /// XORs each word with all words before it, and with `extra`.
        #[target_feature(enable = $features)]
        #[inline]
        fn add_up(key: V, extra: V) -> V {
            let pairs = xor(key, shift_left::<4>(key));
            xor(xor(pairs, shift_left::<8>(pairs)), extra)
        }

        #[target_feature(enable = $features)]
        #[inline]
        fn inv_mix_columns(key: V) -> V {
            aesdec(aesenclast(key, zero()), zero())
        }
    };
}
pub(super) use kernels;
