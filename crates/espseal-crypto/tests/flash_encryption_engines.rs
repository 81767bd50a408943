//! Every engine of flash encryption gives the same bytes.
#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

#[path = "../src/test_rng.rs"]
#[allow(dead_code, reason = "the library's tests use more of it")]
mod test_rng;

use espseal_crypto::flash_encryption::{Engine, FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::chip::SchemeId;
use espseal_format::units::FlashOffset;
use rand_core::Rng as _;
use test_rng::TestRng;

/// The engines that this processor has.
fn engines() -> Vec<Engine> {
    let has = |engine: &Engine| {
        let key = FlashKey::Esp32([0; 32]);
        FlashCipher::with_engine(&key, FlashCryptConfig::DEFAULT, *engine).is_some()
    };
    Engine::ALL.into_iter().filter(has).collect()
}

fn random_key(rng: &mut TestRng) -> FlashKey {
    let mut file = [0; 64];
    rng.fill_bytes(&mut file);
    let (scheme, len) = [
        (SchemeId::Esp32Aes, 32),
        (SchemeId::Esp32Aes, 24),
        (SchemeId::XtsAes128, 16),
        (SchemeId::XtsAes128, 32),
        (SchemeId::XtsAes256, 64),
    ][rng.next_u32() as usize % 5];
    FlashKey::from_file(scheme, &file[..len]).unwrap()
}

/// Offsets near the borders of units, rows and groups, and where offsets wrap.
fn random_offset(rng: &mut TestRng) -> u32 {
    let anywhere = rng.next_u32();
    let offset = match anywhere % 5 {
        0 => 0,
        1 => (anywhere >> 3) & !0xFFF,
        2 => 0x00FF_F000 | anywhere >> 20,
        3 => 0xFFFF_F000 | anywhere >> 20,
        _ => anywhere,
    };
    offset & !0xF
}

#[test]
fn every_engine_gives_the_bytes_of_the_portable_one() {
    let engines = engines();
    let mut rng = TestRng::new(0xF1A5);
    let mut cases = 0;
    for case in 0..4000 {
        let key = random_key(&mut rng);
        let config = FlashCryptConfig::new(rng.next_u32() as u8 & 0xF).unwrap();
        let offset = FlashOffset::new(random_offset(&mut rng));
        // Mostly short, sometimes longer than all that is worked on together.
        let blocks = rng.next_u32() as usize % if case % 8 == 0 { 1000 } else { 70 };
        let mut plaintext = vec![0; blocks * 16];
        rng.fill_bytes(&mut plaintext);
        let portable = FlashCipher::with_engine(&key, config, Engine::Portable).unwrap();
        let mut ciphertext = plaintext.clone();
        portable.encrypt(offset, &mut ciphertext).unwrap();
        for &engine in &engines {
            let context = format!("{engine:?} {key:?} {config:?} {offset} {blocks} blocks");
            let cipher = FlashCipher::with_engine(&key, config, engine).unwrap();
            let mut data = plaintext.clone();
            cipher.encrypt(offset, &mut data).unwrap();
            assert!(data == ciphertext, "encrypt: {context}");
            cipher.decrypt(offset, &mut data).unwrap();
            assert!(data == plaintext, "decrypt: {context}");
            cases += 1;
        }
    }
    println!("{cases} cases, {engines:?}");
    assert_eq!(cases, 4000 * engines.len());
}

#[test]
fn every_engine_gives_the_bytes_of_espsecure() {
    let text = include_str!("../../../vectors/flash-encryption/vectors.txt");
    let mut vectors = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(' ').collect();
        let file = hex::decode(fields[1]).unwrap();
        let scheme = match (fields[0], file.len()) {
            ("esp32", _) => SchemeId::Esp32Aes,
            (_, 64) => SchemeId::XtsAes256,
            _ => SchemeId::XtsAes128,
        };
        let key = FlashKey::from_file(scheme, &file).unwrap();
        let config = FlashCryptConfig::new(u8::from_str_radix(fields[2], 16).unwrap()).unwrap();
        let offset = FlashOffset::new(u32::from_str_radix(fields[3], 16).unwrap());
        let plaintext = hex::decode(fields[4]).unwrap();
        let ciphertext = hex::decode(fields[5]).unwrap();
        for engine in engines() {
            let cipher = FlashCipher::with_engine(&key, config, engine).unwrap();
            let mut data = plaintext.clone();
            cipher.encrypt(offset, &mut data).unwrap();
            assert_eq!(data, ciphertext, "{engine:?} encrypts: {line}");
            cipher.decrypt(offset, &mut data).unwrap();
            assert_eq!(data, plaintext, "{engine:?} decrypts: {line}");
        }
        vectors += 1;
    }
    assert_eq!(vectors, 54);
}

/// A processor with AES-NI is not left with software.
#[cfg(target_arch = "x86_64")]
#[test]
fn engines_are_those_that_the_processor_has() {
    let has = engines();
    let expected = [
        (Engine::Portable, true),
        (Engine::AesNi, std::is_x86_feature_detected!("aes")),
        (
            Engine::Vaes256,
            std::is_x86_feature_detected!("vaes") && std::is_x86_feature_detected!("avx2"),
        ),
        (
            Engine::Vaes512,
            std::is_x86_feature_detected!("vaes") && std::is_x86_feature_detected!("avx512bw"),
        ),
    ];
    for (engine, expected) in expected {
        assert_eq!(has.contains(&engine), expected, "{engine:?}");
    }
}
