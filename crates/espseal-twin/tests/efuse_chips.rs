//! What each chip's eFuses hold and refuse.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::{CHIPS, ChipId, SchemeId, SecureBootScheme};
use espseal_format::efuse::KeyPurpose;
use espseal_format::units::Digest;
use espseal_twin::efuse::{
    CodingScheme, EfuseError, Efuses, KeyProtection, KeyToBurn, KeyUse, Mac, emulator, virt,
};

const MAC: Mac = Mac([0x24, 0x0A, 0xC4, 1, 2, 3]);
const DIGEST: [u8; 32] = [0xD1; 32];

fn counting<const N: usize>() -> [u8; N] {
    core::array::from_fn(|index| u8::try_from(index + 1).unwrap())
}

#[test]
fn every_chip_ships_with_its_mac_and_revision_in_both_files() {
    for chip in CHIPS {
        let revision = Some(chip.usual_revision);
        let efuses = Efuses::as_shipped(chip.id, revision, MAC).unwrap();
        assert!(core::ptr::eq(efuses.model(), *chip));
        assert_eq!(
            (efuses.mac(), efuses.revision()),
            (MAC, chip.usual_revision)
        );
        for read in [
            virt::parse(chip.id, &virt::encode(&efuses)).unwrap(),
            emulator::parse(chip.id, &emulator::encode(&efuses)).unwrap(),
        ] {
            assert_eq!((read.mac(), read.revision()), (MAC, chip.usual_revision));
            assert!(core::ptr::eq(read.model(), *chip));
        }
    }
}

#[test]
fn every_flash_key_of_every_chip_comes_back_to_the_hardware_and_not_to_software() {
    for chip in CHIPS {
        for kind in chip.flash_encryption {
            let mut efuses = Efuses::as_shipped(chip.id, Some(chip.usual_revision), MAC).unwrap();
            if kind.scheme == SchemeId::Esp32Aes && kind.length == 24 {
                efuses.burn("CODING_SCHEME", 1).unwrap();
            }
            let file = &counting::<64>()[..kind.length];
            let block = efuses.free_block_for(KeyUse::FlashEncryption).unwrap();
            efuses
                .burn_key(block, KeyUse::FlashEncryption, file)
                .unwrap();
            let expected = FlashKey::from_file(kind.scheme, file).unwrap();
            let found = efuses.flash_key().unwrap();
            assert_eq!(found.file(), expected.file(), "{} {kind:?}", chip.name());
            assert_eq!(found.scheme(), kind.scheme);
            assert!(efuses.is_read_protected(block) && efuses.is_write_protected(block));
            let software = efuses.read_block(block);
            assert_eq!(software[..16], [0; 16], "hidden");
        }
    }
}

#[test]
fn esp32_revisions_are_what_bits_and_wires_say() {
    for revision in [0, 100, 101, 200, 300, 301] {
        let efuses = Efuses::as_shipped(ChipId::Esp32, Some(revision), MAC).unwrap();
        assert_eq!(efuses.revision(), revision);
        let mut efuses = efuses;
        let v2 = efuses.enable_secure_boot(SecureBootScheme::V2Rsa);
        assert_eq!(v2.is_ok(), revision >= 300);
        efuses.burn("ABS_DONE_1", 1).unwrap();
        assert_eq!(efuses.secure_boot_enabled(), revision >= 300);
        efuses.enable_secure_boot(SecureBootScheme::V1).unwrap();
        assert!(
            efuses
                .secure_boot_schemes()
                .any(|scheme| scheme == SecureBootScheme::V1)
        );
    }
    // The P4's major number has three bits, its minor four.
    for (chip, revision) in [
        (ChipId::Esp32, 400),
        (ChipId::Esp32P4, 800),
        (ChipId::Esp32P4, 316),
    ] {
        let refused = Efuses::as_shipped(chip, Some(revision), MAC).map(|_| ());
        assert_eq!(refused, Err(EfuseError::NoSuchRevision { chip, revision }));
    }
}

#[test]
fn xts_and_ecdsa_keys_are_refused_where_the_hardware_gets_them_wrong() {
    let cases = [
        (ChipId::Esp32S3, KeyPurpose::XtsAes128Key),
        (ChipId::Esp32S3, KeyPurpose::XtsAes256Key1),
        (ChipId::Esp32S3, KeyPurpose::XtsAes256Key2),
        (ChipId::Esp32C3, KeyPurpose::XtsAes128Key),
        (ChipId::Esp32C6, KeyPurpose::XtsAes128Key),
        (ChipId::Esp32H2, KeyPurpose::XtsAes128Key),
        (ChipId::Esp32H2, KeyPurpose::EcdsaKey),
    ];
    for (chip, purpose) in cases {
        let mut efuses = Efuses::blank(chip).unwrap();
        let usage = KeyUse::Purpose(purpose);
        let refused = efuses.burn_key(9, usage, &counting::<32>());
        assert_eq!(
            refused,
            Err(EfuseError::PurposeRefused { block: 9, purpose })
        );
        efuses.burn_key(8, usage, &counting::<32>()).unwrap();
    }
    let mut s3 = Efuses::blank(ChipId::Esp32S3).unwrap();
    let refused = s3.burn_key(8, KeyUse::FlashEncryption, &counting::<64>());
    assert!(matches!(
        refused,
        Err(EfuseError::PurposeRefused { block: 9, .. })
    ));
    assert_eq!(s3.read_block(8), [0; 32], "nothing was burnt");
    for chip in [
        ChipId::Esp32S2,
        ChipId::Esp32C5,
        ChipId::Esp32C61,
        ChipId::Esp32P4,
    ] {
        let mut efuses = Efuses::blank(chip).unwrap();
        efuses
            .burn_key(9, KeyUse::FlashEncryption, &counting::<32>())
            .unwrap();
    }
}

#[test]
fn the_c2_holds_half_a_digest_beside_half_a_key_when_both_come_at_once() {
    let keys = [
        KeyToBurn {
            block: 3,
            usage: KeyUse::FlashEncryption,
            key: &counting::<16>(),
        },
        KeyToBurn {
            block: 3,
            usage: KeyUse::SecureBootDigest(0),
            key: &DIGEST,
        },
    ];
    let mut efuses = Efuses::blank(ChipId::Esp32C2).unwrap();
    efuses.burn_keys(&keys, KeyProtection::Usual).unwrap();
    assert_eq!(efuses.flash_key().unwrap().file(), counting::<16>());
    assert_eq!(efuses.read_block(3)[..16], [0; 16]);
    assert_eq!(efuses.trusted_slot(&Digest(DIGEST)), Some(0));
    let mut other = DIGEST;
    other[16..].fill(0);
    assert_eq!(
        efuses.trusted_slot(&Digest(other)),
        Some(0),
        "the chip cannot tell"
    );
    other[15] ^= 1;
    assert_eq!(efuses.trusted_slot(&Digest(other)), None);
    let mut late = Efuses::blank(ChipId::Esp32C2).unwrap();
    late.burn_keys(&keys[..1], KeyProtection::Usual).unwrap();
    assert!(
        late.burn_keys(&keys[1..], KeyProtection::Usual).is_err(),
        "burnt once"
    );
    let whole = KeyToBurn {
        block: 3,
        usage: KeyUse::FlashEncryption,
        key: &counting::<32>(),
    };
    let mut both = Efuses::blank(ChipId::Esp32C2).unwrap();
    let refused = both.burn_keys(&[whole, keys[1]], KeyProtection::Usual);
    assert_eq!(refused, Err(EfuseError::BlockUsed { block: 3 }));
}

#[test]
fn a_coded_esp32_block_takes_24_bytes_and_no_digest() {
    let mut efuses = Efuses::blank(ChipId::Esp32).unwrap();
    efuses.burn("CODING_SCHEME", 1).unwrap();
    assert_eq!(efuses.coding_scheme(), CodingScheme::ThreeQuarters);
    let refused = efuses.burn_key(1, KeyUse::FlashEncryption, &counting::<32>());
    assert!(matches!(
        refused,
        Err(EfuseError::KeyLength { expected: 24, .. })
    ));
    let refused = efuses.burn_key(2, KeyUse::SecureBootDigest(0), &DIGEST);
    assert!(matches!(refused, Err(EfuseError::KeyLength { .. })));
    efuses.burn("SECURE_VERSION", 1).unwrap();
    assert_eq!(
        efuses.burn("SECURE_VERSION", 3),
        Err(EfuseError::BlockUsed { block: 3 }),
        "a coded group is burnt once"
    );
    efuses
        .burn_key(2, KeyUse::SecureBootV1, &counting::<24>())
        .unwrap();
    assert_eq!(efuses.secure_boot_v1_key().unwrap()[..], counting::<24>());
}

#[test]
fn ecdsa_keys_of_384_bits_take_two_blocks_and_the_first_h2_draws_nonces_itself() {
    for chip in [ChipId::Esp32C5, ChipId::Esp32P4] {
        let mut efuses = Efuses::as_shipped(chip, None, MAC).unwrap();
        let keys = [KeyToBurn {
            block: 9,
            usage: KeyUse::EcdsaP384,
            key: &counting::<48>(),
        }];
        efuses.burn_keys(&keys, KeyProtection::Readable).unwrap();
        assert_eq!(efuses.key_purpose(9), Some(KeyPurpose::EcdsaKeyP384H));
        assert_eq!(efuses.key_purpose(4), Some(KeyPurpose::EcdsaKeyP384L));
        assert_eq!(
            (efuses.read_block(9)[0], efuses.read_block(4)[0]),
            (16, 48),
            "seen with espefuse"
        );
    }
    let mut early = Efuses::as_shipped(ChipId::Esp32P4, Some(103), MAC).unwrap();
    let refused = early.burn_key(9, KeyUse::EcdsaP384, &counting::<48>());
    assert!(matches!(refused, Err(EfuseError::NoSuchPurpose { .. })));
    let usage = KeyUse::Purpose(KeyPurpose::EcdsaKey);
    for (revision, forced) in [(1, 1), (102, 0)] {
        let mut h2 = Efuses::as_shipped(ChipId::Esp32H2, Some(revision), MAC).unwrap();
        h2.burn_key(4, usage, &counting::<32>()).unwrap();
        assert_eq!(h2.read("ECDSA_FORCE_USE_HARDWARE_K"), Ok(forced));
    }
}

#[test]
fn no_key_can_be_hidden_once_rd_dis_is_write_protected() {
    for chip in CHIPS {
        let mut efuses = Efuses::as_shipped(chip.id, Some(chip.usual_revision), MAC).unwrap();
        efuses.write_protect("RD_DIS").unwrap();
        let block = efuses.free_block_for(KeyUse::FlashEncryption).unwrap();
        let key = &counting::<64>()[..chip.flash_encryption.first().unwrap().length];
        let refused = efuses.burn_key(block, KeyUse::FlashEncryption, key);
        assert_eq!(refused, Err(EfuseError::WriteProtected { field: "RD_DIS" }));
        assert_eq!(efuses.read_block(block), [0; 32], "nothing was burnt");
    }
}
