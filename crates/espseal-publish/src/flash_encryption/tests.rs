use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};

use super::*;
use crate::files::Trickle;
use crate::observer::Unwatched;

fn ciphers() -> [FlashCipher; 3] {
    [
        FlashKey::Esp32([1; 32]),
        FlashKey::Xts128([2; 32]),
        FlashKey::Xts256([3; 64]),
    ]
    .map(|key| FlashCipher::new(&key, FlashCryptConfig::DEFAULT))
}

fn data(length: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|word| word.wrapping_mul(0x9E37_79B9).to_le_bytes())
        .take(length)
        .collect()
}

fn input(bytes: Vec<u8>) -> Input {
    Input::from_reader("input", Trickle(bytes, 0))
}

fn job(cipher: &FlashCipher, offset: u32, padding: Padding) -> Job<'_> {
    Job {
        cipher,
        direction: Direction::Encrypt,
        offset: FlashOffset::new(offset),
        padding,
        flash_end: None,
    }
}

fn run(job: &Job<'_>, bytes: Vec<u8>) -> Result<(Done, Vec<u8>), FlashDataError> {
    let mut output = Vec::new();
    let done = job.run(
        &mut input(bytes),
        &mut output,
        Path::new("output"),
        &Unwatched,
    )?;
    Ok((done, output))
}

#[test]
fn all_cores_and_one_give_the_same_bytes() {
    for cipher in &ciphers() {
        for (offset, length) in [(0x1_0010, 0), (0x30, 4096), (0xF0_0050, (3 << 20) + 48)] {
            let offset = FlashOffset::new(offset);
            let plain = data(length);
            let mut expected = plain.clone();
            cipher.encrypt(offset, &mut expected).unwrap();
            let mut found = plain.clone();
            apply(cipher, Direction::Encrypt, offset, &mut found).unwrap();
            assert!(found == expected);
            apply(cipher, Direction::Decrypt, offset, &mut found).unwrap();
            assert!(found == plain);
        }
        let mut odd = data((2 << 20) + 1);
        let refused = apply(cipher, Direction::Encrypt, FlashOffset::new(0), &mut odd);
        assert!(refused.is_err());
        assert!(odd == data((2 << 20) + 1));
    }
}

#[test]
fn streams_longer_than_the_buffer_are_one_stretch() {
    for cipher in &ciphers() {
        for length in [16, BUFFER, BUFFER + 16, 2 * BUFFER + 32_016] {
            let plain = data(length);
            let (done, output) = run(&job(cipher, 0x9010, Padding::Refuse), plain.clone()).unwrap();
            let mut expected = plain;
            cipher
                .encrypt(FlashOffset::new(0x9010), &mut expected)
                .unwrap();
            assert!(output == expected);
            assert_eq!(done.read, length as u64);
            assert_eq!(done.padded, 0);
        }
    }
}

#[test]
fn last_block_is_padded_as_asked() {
    for cipher in &ciphers() {
        for length in [1, 15, 33, BUFFER + 7] {
            let plain = data(length);
            let (done, output) = run(&job(cipher, 0x30, Padding::Erased), plain.clone()).unwrap();
            let mut expected = plain.clone();
            expected.resize(length.next_multiple_of(16), 0xFF);
            assert_eq!(done.padded, expected.len() - length);
            cipher
                .encrypt(FlashOffset::new(0x30), &mut expected)
                .unwrap();
            assert!(output == expected);

            let random = || {
                run(&job(cipher, 0x30, Padding::Random), plain.clone())
                    .unwrap()
                    .1
            };
            let (one, other) = (random(), random());
            let whole = length - length % 16;
            assert!(one[..whole] == expected[..whole]);
            assert_eq!(one.len(), expected.len());
            // One byte may come out the same.
            assert!(done.padded < 8 || one[whole..] != other[whole..]);

            let refused = run(&job(cipher, 0x30, Padding::Refuse), plain.clone());
            let expected =
                matches!(refused, Err(FlashDataError::Length { found }) if found == length as u64);
            assert!(expected, "{refused:?}");
        }
    }
}

#[test]
fn data_beyond_the_flash_is_refused_and_up_to_its_end_is_not() {
    let [cipher, ..] = &ciphers();
    let mut at_the_end = job(cipher, 0xFFFF_FFE0, Padding::Refuse);
    assert!(run(&at_the_end, data(32)).is_ok());
    let beyond = run(&at_the_end, data(48));
    assert!(matches!(beyond, Err(FlashDataError::Beyond { .. })));
    at_the_end.offset = FlashOffset::new(0xFF_FFE0);
    at_the_end.flash_end = Some(FlashOffset::new(0x100_0000));
    assert!(run(&at_the_end, data(32)).is_ok());
    let beyond = run(&at_the_end, data(48));
    assert!(matches!(beyond, Err(FlashDataError::Beyond { .. })));
}

#[test]
fn address_inside_a_block_is_refused() {
    let [cipher, ..] = &ciphers();
    for offset in [1, 8, 0x1001] {
        let refused = run(&job(cipher, offset, Padding::Erased), data(16));
        assert!(matches!(refused, Err(FlashDataError::Address { found }) if found == offset));
    }
}

#[test]
fn interruption_is_noticed_between_two_buffers() {
    struct Impatient;
    impl Observer for Impatient {
        fn begin(&self, _: Stage, _: u64) {}
        fn advance(&self, _: u64) {}
        fn is_interrupted(&self) -> bool {
            true
        }
    }
    let [cipher, ..] = &ciphers();
    let stopped = job(cipher, 0, Padding::Refuse).run(
        &mut input(data(16)),
        &mut Vec::new(),
        Path::new("output"),
        &Impatient,
    );
    assert!(matches!(stopped, Err(FlashDataError::Interrupted)));
}
