//! Unmodified ESP-IDF with the ECIES scheme: the key comes out of an eFuse.

use espseal_crypto::ecies::{self, HmacKey};
use espseal_format::chip::ChipId;
use espseal_twin::boot::AppSlot;
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{Efuses, KeyProtection, KeyToBurn, KeyUse, Mac};
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::idf::{
    DecryptError, Decryptor, Finish, HttpsOta, HttpsOtaError, OtaError, mark_app_valid,
};
use espseal_twin::nor::NorFlash;

use crate::idf::{Server, download};
use crate::maker::HostRng;
use crate::support::*;

const C3: ChipId = ChipId::Esp32C3;
const KEY: &[u8; 32] = include_bytes!("../../../../vectors/enc-img-ecies/device_hmac_key.bin");
const SEALED: &[u8] = include_bytes!("../../../../vectors/enc-img-ecies/sealed.bin");
const PLAIN: &[u8] = include_bytes!("../../../../vectors/app-image/app.bin");
/// Every chip that espseal knows.
const ALL: [ChipId; 10] = [
    ChipId::Esp32,
    ChipId::Esp32S2,
    ChipId::Esp32S3,
    ChipId::Esp32C2,
    ChipId::Esp32C3,
    ChipId::Esp32C5,
    ChipId::Esp32C6,
    ChipId::Esp32C61,
    ChipId::Esp32H2,
    ChipId::Esp32P4,
];

type Outcome = Result<(), HttpsOtaError<std::io::Error>>;

fn burnt(chip: ChipId, id: usize, usage: KeyUse, key: &[u8]) -> Option<Efuses> {
    let mut efuses = Efuses::as_shipped(chip, None, Mac([2, 0, 0, 0, 0, 1])).unwrap();
    let block = usize::from(efuses.map().keys.get(id)?.key.block);
    let key = KeyToBurn { block, usage, key };
    efuses.burn_keys(&[key], KeyProtection::Usual).ok()?;
    Some(efuses)
}

/// A device on an ESP32-C3 that the factory gave this HMAC key.
fn device(hmac_key: &[u8; 32]) -> VirtualDevice {
    let (signer, key) = (signer(), flash_key(C3));
    let made = FactoryPlan {
        chip: C3,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: FLASH_SIZE,
        bootloader: &signer.sign(&bootloader(C3)),
        table_offset: TABLE_OFFSET,
        table: &table(TWO_SLOTS),
        contents: &[("ota_0", &signer.sign(&app(C3, 1, 0)))],
        security: Security::Release {
            flash_key: &key,
            digests: &[signer.digest()],
            hmac_key: Some(hmac_key),
        },
    }
    .build()
    .unwrap();
    let flash = NorFlash::from_bytes(made.flash).unwrap();
    let mut device = VirtualDevice::new(flash, made.efuses, settings());
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
    device
}

/// Seals an image with the maker's code.
fn sealed(hmac_key: &[u8; 32], image: &[u8]) -> Vec<u8> {
    let key = HmacKey::from_bytes(*hmac_key).device_key().unwrap();
    let mut body = image.to_vec();
    let (header, _) = ecies::seal(&mut HostRng, &key.public_key(), &mut body).unwrap();
    [&header.encode()[..], &body].concat()
}

fn key_id(efuses: &Efuses) -> usize {
    let ids = 0..efuses.map().keys.len();
    let mut with_key = ids.filter(|id| efuses.hmac_peripheral(*id).is_some());
    with_key.next().unwrap()
}

fn update(device: &mut VirtualDevice, file: Vec<u8>, max: Option<u32>, how: Finish) -> Outcome {
    let efuses = device.efuses();
    let decryptor = Decryptor::ecies(efuses, key_id(efuses)).unwrap();
    HttpsOta::run(
        device,
        &mut Server::new(file),
        download(max),
        decryptor,
        how,
    )
}

#[test]
fn file_of_espressifs_generator_opens_on_every_chip_with_hmac_from_every_key_block() {
    let mut opened = 0;
    for chip in ALL {
        for id in 0..6 {
            let Some(efuses) = burnt(chip, id, KeyUse::HmacUpstream, KEY) else {
                continue;
            };
            let block = usize::from(efuses.map().keys[id].key.block);
            assert!(
                efuses.is_read_protected(block),
                "{chip}: software sees no key"
            );
            for piece in [1, 16, 100, 1024] {
                let mut decryptor = Decryptor::ecies(&efuses, id).unwrap();
                let mut plain = Vec::new();
                for piece in SEALED.chunks(piece) {
                    plain.extend(decryptor.update(piece).unwrap());
                }
                assert_eq!(plain, PLAIN, "{chip}, key {id}");
                decryptor.end().unwrap();
            }
            opened += 1;
        }
    }
    println!("{opened} key blocks of 10 chips");
    // Six blocks of S2, S3, C3, C5, C6, H2 and P4.
    assert_eq!(opened, 42);
}

#[test]
fn key_that_is_no_hmac_key_is_not_found() {
    let not_found = |efuses: &Efuses, id| {
        let refused = Decryptor::ecies(efuses, id).map(|_| ());
        assert_eq!(refused, Err(DecryptError::HmacKeyNotFound));
    };
    for usage in [KeyUse::FlashEncryption, KeyUse::SecureBootDigest(0)] {
        not_found(&burnt(C3, 2, usage, KEY).unwrap(), 2);
    }
    let efuses = burnt(C3, 2, KeyUse::HmacUpstream, KEY).unwrap();
    assert!(Decryptor::ecies(&efuses, 2).is_ok());
    for id in [0, 1, 3, 6, usize::MAX] {
        not_found(&efuses, id);
    }
    for chip in [ChipId::Esp32, ChipId::Esp32C2, ChipId::Esp32C61] {
        let efuses = Efuses::as_shipped(chip, None, Mac([2, 0, 0, 0, 0, 1])).unwrap();
        (0..6).for_each(|id| not_found(&efuses, id));
    }
}

#[test]
fn both_ways_of_downloading_install_the_file() {
    let image = signer().sign(&app(C3, 2, 0));
    for max in [None, Some(1024), Some(4096), Some(0x1_0000)] {
        let mut device = device(KEY);
        update(&mut device, sealed(KEY, &image), max, Finish::CheckTag).unwrap();
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(1), "{max:?}");
        mark_app_valid(&mut device).unwrap();
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
    }
}

#[test]
fn wrong_key_changed_and_truncated_files_leave_the_old_image() {
    let image = signer().sign(&app(C3, 2, 0));
    let right = sealed(KEY, &image);
    let refuse =
        |what: &str, file: Vec<u8>, expected: fn(&HttpsOtaError<std::io::Error>) -> bool| {
            let mut device = device(KEY);
            let refused = update(&mut device, file, None, Finish::CheckTag).unwrap_err();
            assert!(expected(&refused), "{what}: {refused}");
            assert_eq!(slot(&device.power_on()), AppSlot::Ota(0), "{what}");
        };
    let noise = |error: &HttpsOtaError<std::io::Error>| {
        matches!(
            error,
            HttpsOtaError::Ota(OtaError::InvalidVersion { .. } | OtaError::InvalidMagic { .. })
        )
    };
    let changed = |at: usize| {
        let mut file = right.clone();
        file[at] ^= 1;
        file
    };
    let mut other = *KEY;
    other[0] ^= 1;
    refuse("another device's file", sealed(&other, &image), noise);
    refuse("salt", changed(70), noise);
    refuse("IV", changed(390), noise);
    refuse("ephemeral key off the curve", changed(67), |error| {
        matches!(error, HttpsOtaError::Decrypt(DecryptError::Derive))
    });
    refuse("tag", changed(410), |error| {
        matches!(error, HttpsOtaError::Decrypt(DecryptError::Tag))
    });
    refuse("body", changed(right.len() - 5), |error| {
        matches!(error, HttpsOtaError::Decrypt(DecryptError::Tag))
    });
    for cut in [1, 16, 5000] {
        let file = right[..right.len() - cut].to_vec();
        refuse("truncated", file, |error| {
            matches!(error, HttpsOtaError::Decrypt(DecryptError::Incomplete))
        });
    }
    let longer = [&right[..], &[0; 16]].concat();
    refuse("longer", longer, |error| {
        matches!(error, HttpsOtaError::Decrypt(DecryptError::Incomplete))
    });
}

#[test]
fn without_the_tag_secure_boot_is_what_stops_a_stranger_who_knows_the_public_key() {
    let strangers = Signer::generate().sign(&app(C3, 2, 0));
    let mut device = device(KEY);
    let refused = update(&mut device, sealed(KEY, &strangers), None, Finish::OneShot);
    assert!(matches!(
        refused,
        Err(HttpsOtaError::Ota(OtaError::ValidateFailed { .. }))
    ));
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
}
