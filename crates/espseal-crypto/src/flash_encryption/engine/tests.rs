extern crate std;
use std::vec;
use std::vec::Vec;

use espseal_format::chip::SchemeId;
use espseal_format::units::FlashOffset;
use rand_core::Rng as _;

use super::*;
use crate::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use crate::test_rng::TestRng;

const KEYS: [(SchemeId, usize); 5] = [
    (SchemeId::Esp32Aes, 24),
    (SchemeId::Esp32Aes, 32),
    (SchemeId::XtsAes128, 16),
    (SchemeId::XtsAes128, 32),
    (SchemeId::XtsAes256, 64),
];

/// A number below `end`.
fn below(rng: &mut TestRng, end: u32) -> u32 {
    rng.next_u32().checked_rem(end).unwrap()
}

/// Every engine that this processor has, over stretches at random addresses, with random lengths,
/// keys and configurations, in both directions.
#[test]
fn engines_agree_with_the_portable_code_wherever_a_stretch_stands() {
    let mut rng = TestRng::new(0xE461);
    let wide: Vec<_> = Engine::ALL
        .iter()
        .filter(|engine| **engine != Engine::Portable && engine.is_available())
        .collect();
    std::println!("engines of this processor: {wide:?}");
    for round in 0..400 {
        for (scheme, length) in KEYS {
            let mut file = vec![0; length];
            rng.fill_bytes(&mut file);
            let key = FlashKey::from_file(scheme, &file).unwrap();
            let config = FlashCryptConfig::new((rng.next_u32() % 16) as u8).unwrap();
            // Near the end of the ESP32's 16 MB and of 32 bits, too.
            let base = match round % 4 {
                0 => 0,
                1 => 0xFF_F000,
                2 => 0xFFFF_E000,
                _ => below(&mut rng, 1 << 24) & !0xF,
            };
            let offset = FlashOffset::new(base + 16 * below(&mut rng, 16));
            let mut data = vec![0; 16 * below(&mut rng, 1200) as usize];
            rng.fill_bytes(&mut data);
            let run = |engine, plain: &[u8]| {
                let cipher = FlashCipher::with_engine(engine, &key, config).unwrap();
                let mut there = plain.to_vec();
                cipher.encrypt(offset, &mut there).unwrap();
                let mut back = plain.to_vec();
                cipher.decrypt(offset, &mut back).unwrap();
                (there, back)
            };
            let expected = run(Engine::Portable, &data);
            for engine in &wide {
                let found = run(**engine, &data);
                assert!(
                    found == expected,
                    "{engine:?}, {scheme:?} at {offset}, {} bytes",
                    data.len()
                );
            }
        }
    }
}

#[test]
fn head_groups_and_tail_are_the_data() {
    let key = FlashKey::Xts128([1; 32]);
    let cipher = FlashCipher::new(&key, FlashCryptConfig::DEFAULT);
    for engine in Engine::ALL {
        for address in [0, 16, 112, 128, 4096 - 16] {
            let mut data = vec![0; 20_000];
            let parts: Vec<_> = engine.split(&cipher.scheme, address, &mut data).collect();
            let lengths: Vec<_> = parts.iter().map(|(_, part)| part.len()).collect();
            assert_eq!(lengths.iter().sum::<usize>(), 20_000);
            if *engine != Engine::Portable {
                assert!((address as usize + lengths[0]).is_multiple_of(128));
                assert!(lengths[1] > 15_000, "{lengths:?}");
            }
        }
    }
}

#[test]
fn an_engine_that_the_processor_does_not_have_makes_no_cipher() {
    for engine in Engine::ALL {
        let cipher = FlashCipher::with_engine(
            *engine,
            &FlashKey::Esp32([0; 32]),
            FlashCryptConfig::DEFAULT,
        );
        assert_eq!(cipher.is_some(), engine.is_available());
    }
    assert!(Engine::best().is_available());
    // `cargo xtask test` runs everything once more this way.
    if cfg!(aes_backend = "soft") {
        assert_eq!(Engine::best(), Engine::Portable);
    }
}
