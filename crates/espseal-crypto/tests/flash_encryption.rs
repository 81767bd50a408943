//! Flash encryption against espsecure: committed vectors and a live comparison.
#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

#[path = "../src/test_rng.rs"]
#[allow(dead_code, reason = "the library's tests use more of it")]
mod test_rng;

use std::path::{Path, PathBuf};

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey, Misaligned};
use espseal_format::chip::SchemeId;
use espseal_format::units::FlashOffset;
use rand_core::Rng as _;
use test_rng::TestRng;

/// A folder that no other crate's tests write to.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("espseal-crypto");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn scheme(name: &str, key_len: usize) -> SchemeId {
    match (name, key_len) {
        ("esp32", _) => SchemeId::Esp32Aes,
        (_, 64) => SchemeId::XtsAes256,
        _ => SchemeId::XtsAes128,
    }
}

#[test]
fn vectors_made_by_espsecure_encrypt_and_decrypt() {
    let text = include_str!("../../../vectors/flash-encryption/vectors.txt");
    let (mut esp32, mut xts) = (0, 0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(' ').collect();
        let file = hex::decode(fields[1]).unwrap();
        let scheme = scheme(fields[0], file.len());
        match scheme {
            SchemeId::Esp32Aes => esp32 += 1,
            _ => xts += 1,
        }
        let key = FlashKey::from_file(scheme, &file).unwrap();
        let config = FlashCryptConfig::new(u8::from_str_radix(fields[2], 16).unwrap()).unwrap();
        let offset = FlashOffset::new(u32::from_str_radix(fields[3], 16).unwrap());
        let plaintext = hex::decode(fields[4]).unwrap();
        let ciphertext = hex::decode(fields[5]).unwrap();
        let cipher = FlashCipher::new(&key, config);
        let mut data = plaintext.clone();
        cipher.encrypt(offset, &mut data).unwrap();
        assert_eq!(data, ciphertext, "encrypt: {line}");
        cipher.decrypt(offset, &mut data).unwrap();
        assert_eq!(data, plaintext, "decrypt: {line}");
    }
    assert_eq!((esp32, xts), (27, 27));
}

/// One run of espsecure over a large buffer gives many cases: each random stretch of it,
/// encrypted alone at its own address, is the same stretch of espsecure's output.
#[test]
fn random_stretches_agree_with_a_live_espsecure() {
    let mut rng = TestRng::new(0x5EC);
    let folder = folder();
    let (key_file, plain_file, cipher_file) = (
        folder.join("flash.key"),
        folder.join("flash.plain"),
        folder.join("flash.cipher"),
    );
    let mut cases = 0;
    let runs = (0..6)
        .map(|run| ("esp32", 32, [0xF, 0x0, 0x1, 0x6, 0x8, 0xD][run]))
        .chain([
            ("esp32", 24, 0xF),
            ("xts", 16, 0xF),
            ("xts", 32, 0xF),
            ("xts", 64, 0xF),
        ]);
    for (name, key_len, config) in runs {
        let mut file = vec![0; key_len];
        rng.fill_bytes(&mut file);
        let mut plaintext = vec![0; 64 * 1024];
        rng.fill_bytes(&mut plaintext);
        // An ESP32 maps 16 MB of flash; the buffer ends before that.
        let base = rng.next_u32()
            & match name {
                "esp32" => 0x00EF_FFF0,
                _ => 0x7FFF_FFF0,
            };
        std::fs::write(&key_file, &file).unwrap();
        std::fs::write(&plain_file, &plaintext).unwrap();
        let mut command = oracles::tool("espsecure");
        command
            .arg("encrypt-flash-data")
            .arg("--keyfile")
            .arg(&key_file);
        command.args(["--address", &format!("{base:#x}")]);
        match name {
            "esp32" => command.args(["--flash-crypt-conf", &config.to_string()]),
            _ => command.arg("--aes-xts"),
        };
        oracles::run(command.arg("--output").arg(&cipher_file).arg(&plain_file));
        let ciphertext = std::fs::read(&cipher_file).unwrap();

        let key = FlashKey::from_file(scheme(name, key_len), &file).unwrap();
        let cipher = FlashCipher::new(&key, FlashCryptConfig::new(config).unwrap());
        for case in 0..100 {
            let (start, len) = match case {
                0 => (0, plaintext.len()),
                _ => (
                    rng.next_u32() as usize % 3800 * 16,
                    rng.next_u32() as usize % 200 * 16,
                ),
            };
            let offset = FlashOffset::new(base + u32::try_from(start).unwrap());
            let mut stretch = plaintext[start..start + len].to_vec();
            cipher.encrypt(offset, &mut stretch).unwrap();
            let context = format!("{name} key {key_len} config {config:#x} at {offset} + {len}");
            assert!(stretch == ciphertext[start..start + len], "{context}");
            cipher.decrypt(offset, &mut stretch).unwrap();
            assert!(stretch == plaintext[start..start + len], "{context}");
            cases += 1;
        }
    }
    assert_eq!(cases, 1000);
}

#[test]
fn misaligned_offset_or_length_is_refused_and_changes_nothing() {
    for key in [
        FlashKey::Esp32([1; 32]),
        FlashKey::Xts128([2; 32]),
        FlashKey::Xts256([3; 64]),
    ] {
        let cipher = FlashCipher::new(&key, FlashCryptConfig::DEFAULT);
        for (offset, len) in [(8, 16), (1, 16), (0, 15), (0, 17), (0x1008, 8)] {
            let refused = Misaligned {
                offset: FlashOffset::new(offset),
                len,
            };
            let mut data = vec![0x55; len];
            assert_eq!(cipher.encrypt(refused.offset, &mut data), Err(refused));
            assert_eq!(cipher.decrypt(refused.offset, &mut data), Err(refused));
            assert_eq!(data, vec![0x55; len]);
        }
    }
}

#[test]
fn config_has_four_bits() {
    assert_eq!(FlashCryptConfig::new(0xF), Some(FlashCryptConfig::DEFAULT));
    assert_eq!(FlashCryptConfig::new(0x10), None);
}

/// espefuse burns each 32 bytes of a key file in reverse: the words that it stores for the virtual
/// chip are the ones we compute.
#[test]
fn efuse_order_is_that_of_espefuse() {
    let folder = folder();
    let file: Vec<u8> = (0..64).collect();
    let key_file = folder.join("efuse.key");
    let runs: [(&str, &str, Option<&str>, SchemeId, usize); 3] = [
        ("esp32", "BLOCK1", None, SchemeId::Esp32Aes, 32),
        (
            "esp32c3",
            "BLOCK_KEY0",
            Some("XTS_AES_128_KEY"),
            SchemeId::XtsAes128,
            32,
        ),
        (
            "esp32s3",
            "BLOCK_KEY0",
            Some("XTS_AES_256_KEY"),
            SchemeId::XtsAes256,
            64,
        ),
    ];
    for (chip, block, purpose, scheme, len) in runs {
        std::fs::write(&key_file, &file[..len]).unwrap();
        let virt = folder.join(format!("{chip}.virt"));
        let _ = std::fs::remove_file(&virt);
        let mut command = oracles::tool("espefuse");
        command
            .args(["--chip", chip, "--virt", "--path-efuse-file"])
            .arg(&virt);
        command.args([
            "--do-not-confirm",
            "burn-key",
            if chip == "esp32" {
                "--no-protect-key"
            } else {
                "--no-read-protect"
            },
        ]);
        command
            .args([if chip == "esp32" {
                "flash_encryption"
            } else {
                block
            }])
            .arg(&key_file);
        command.args(purpose);
        oracles::run(&mut command);
        // The file holds all registers backwards (seen).
        let mut registers = std::fs::read(&virt).unwrap();
        registers.reverse();
        let key = FlashKey::from_file(scheme, &file[..len]).unwrap();
        let burnt = key.efuse_blocks();
        let burnt = burnt.blocks().as_flattened();
        let found = registers.windows(len).any(|window| window == burnt);
        assert!(found, "{chip}: {registers:02x?}");
    }
}
