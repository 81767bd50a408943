//! eFuse files, byte for byte against Espressif's espefuse.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::path::Path;

use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::ChipId;
use espseal_twin::efuse::{
    DownloadMode, EfuseError, Efuses, FlashEncryption, Jtag, KeyUse, Mac, emulator, virt,
};

const KEY: [u8; 32] = counting(1);
const DIGEST: [u8; 32] = counting(0x81);

const fn counting(start: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < 32 {
        bytes[index] = start + index as u8;
        index += 1;
    }
    bytes
}

/// Runs espefuse on `file`, which it makes when it is missing.
fn espefuse(chip: &str, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let file = folder.join("efuse.bin");
    std::fs::write(folder.join("key"), KEY).unwrap();
    std::fs::write(folder.join("digest"), DIGEST).unwrap();
    let mut command = oracles::tool("espefuse");
    command
        .current_dir(folder)
        .args(["--chip", chip, "--virt", "--path-efuse-file"]);
    oracles::run(command.arg(&file).arg("--do-not-confirm").args(arguments));
    std::fs::read(file).unwrap()
}

fn summary(efuses: &Efuses) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("efuse.bin");
    std::fs::write(&file, virt::encode(efuses)).unwrap();
    let chip = efuses.chip().target().unwrap();
    let mut command = oracles::tool("espefuse");
    command.args(["--chip", chip, "--virt", "--path-efuse-file"]);
    oracles::run(command.arg(&file).arg("summary"))
}

/// One burn, as espefuse's arguments and on the twin.
struct Case {
    chip: ChipId,
    arguments: &'static [&'static str],
    burn: fn(&mut Efuses) -> Result<(), EfuseError>,
}

const CASES: &[Case] = &[
    Case {
        chip: ChipId::Esp32C3,
        arguments: &["summary"],
        burn: |_| Ok(()),
    },
    Case {
        chip: ChipId::Esp32,
        arguments: &["summary"],
        burn: |_| Ok(()),
    },
    Case {
        chip: ChipId::Esp32C3,
        arguments: &["burn-key", "BLOCK_KEY0", "key", "XTS_AES_128_KEY"],
        burn: |efuses| efuses.burn_key(4, KeyUse::FlashEncryption, &KEY),
    },
    Case {
        chip: ChipId::Esp32C3,
        arguments: &["burn-key", "BLOCK_KEY5", "digest", "SECURE_BOOT_DIGEST2"],
        burn: |efuses| efuses.burn_key(9, KeyUse::SecureBootDigest(2), &DIGEST),
    },
    Case {
        chip: ChipId::Esp32C3,
        arguments: &["burn-key", "BLOCK_KEY2", "key", "HMAC_UP"],
        burn: |efuses| efuses.burn_key(6, KeyUse::HmacUpstream, &KEY),
    },
    Case {
        // espefuse burns the higher block first.
        chip: ChipId::Esp32C3,
        arguments: &[
            "burn-key",
            "BLOCK_KEY0",
            "key",
            "XTS_AES_128_KEY",
            "BLOCK_KEY1",
            "digest",
            "SECURE_BOOT_DIGEST0",
        ],
        burn: |efuses| {
            efuses.burn_key(5, KeyUse::SecureBootDigest(0), &DIGEST)?;
            efuses.burn_key(4, KeyUse::FlashEncryption, &KEY)
        },
    },
    Case {
        chip: ChipId::Esp32C3,
        arguments: &[
            "burn-efuse",
            "SPI_BOOT_CRYPT_CNT",
            "7",
            "SECURE_BOOT_EN",
            "1",
            "SECURE_VERSION",
            "0x1f",
            "SECURE_BOOT_KEY_REVOKE1",
            "1",
        ],
        burn: |efuses| {
            efuses.burn("SPI_BOOT_CRYPT_CNT", 7)?;
            efuses.burn("SECURE_BOOT_EN", 1)?;
            efuses.burn("SECURE_VERSION", 0x1F)?;
            efuses.burn("SECURE_BOOT_KEY_REVOKE1", 1)
        },
    },
    Case {
        chip: ChipId::Esp32C3,
        arguments: &["write-protect-efuse", "RD_DIS", "DIS_ICACHE"],
        burn: |efuses| {
            efuses.write_protect("RD_DIS")?;
            efuses.write_protect("DIS_ICACHE")
        },
    },
    Case {
        chip: ChipId::Esp32,
        arguments: &["burn-key", "flash_encryption", "key"],
        burn: |efuses| efuses.burn_key(1, KeyUse::FlashEncryption, &KEY),
    },
    Case {
        chip: ChipId::Esp32,
        arguments: &["burn-key", "secure_boot_v2", "digest"],
        burn: |efuses| efuses.burn_key(2, KeyUse::SecureBootDigest(0), &DIGEST),
    },
    Case {
        chip: ChipId::Esp32,
        arguments: &[
            "burn-efuse",
            "FLASH_CRYPT_CNT",
            "127",
            "FLASH_CRYPT_CONFIG",
            "0xf",
            "ABS_DONE_1",
            "1",
            "UART_DOWNLOAD_DIS",
            "1",
        ],
        burn: |efuses| {
            efuses.burn("FLASH_CRYPT_CNT", 127)?;
            efuses.burn("FLASH_CRYPT_CONFIG", 0xF)?;
            efuses.burn("ABS_DONE_1", 1)?;
            efuses.burn("UART_DOWNLOAD_DIS", 1)
        },
    },
    Case {
        chip: ChipId::Esp32,
        arguments: &["write-protect-efuse", "RD_DIS", "DIS_CACHE"],
        burn: |efuses| {
            efuses.write_protect("RD_DIS")?;
            efuses.write_protect("MAC")
        },
    },
];

#[test]
fn every_burn_gives_the_file_that_espefuse_gives() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let expected = espefuse(case.chip.target().unwrap(), folder.path(), case.arguments);
        let mut efuses = Efuses::blank(case.chip).unwrap();
        (case.burn)(&mut efuses).unwrap();
        assert_eq!(virt::encode(&efuses), expected, "{:?}", case.arguments);
        let read = virt::parse(case.chip, &expected).unwrap();
        assert_eq!(virt::encode(&read), expected, "{:?}", case.arguments);
    }
}

#[test]
fn espefuse_goes_on_burning_where_the_twin_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut efuses = Efuses::as_shipped(ChipId::Esp32C3, None, Mac([2, 0, 0, 1, 2, 3])).unwrap();
    std::fs::write(folder.path().join("efuse.bin"), virt::encode(&efuses)).unwrap();
    let burn = ["burn-key", "BLOCK_KEY3", "digest", "SECURE_BOOT_DIGEST1"];
    let file = espefuse("esp32c3", folder.path(), &burn);
    efuses
        .burn_key(7, KeyUse::SecureBootDigest(1), &DIGEST)
        .unwrap();
    assert_eq!(virt::encode(&efuses), file);
    let read = virt::parse(ChipId::Esp32C3, &file).unwrap();
    assert_eq!(read.secure_boot_digests()[1].unwrap().0, DIGEST);
}

#[test]
fn espefuse_reads_revision_and_mac_of_a_shipped_chip() {
    let mac = Mac([0x24, 0x0A, 0xC4, 0x01, 0x02, 0x03]);
    for (chip, lines) in [
        (
            ChipId::Esp32,
            ["WAFER_VERSION_MAJOR", "= 24:0a:c4:01:02:03 (CRC 0x"],
        ),
        (ChipId::Esp32C3, ["= 4 R/W", "= 24:0a:c4:01:02:03 (OK)"]),
    ] {
        let efuses = Efuses::as_shipped(chip, None, mac).unwrap();
        assert_eq!(efuses.mac(), mac);
        let text = summary(&efuses);
        assert!(lines.iter().all(|line| text.contains(line)), "{text}");
        assert!(!text.contains("is not equal"), "{text}");
    }
    let esp32 = Efuses::as_shipped(ChipId::Esp32, None, mac).unwrap();
    assert!(summary(&esp32).contains(&format!("CRC {:#04x} OK", mac.crc8())));
    assert_eq!(esp32.revision(), 300);
    assert_eq!(
        Efuses::as_shipped(ChipId::Esp32C3, None, mac)
            .unwrap()
            .revision(),
        4
    );
}

#[test]
fn a_read_protected_key_is_lost_in_espefuses_file_and_kept_in_the_emulators() {
    for (chip, block) in [(ChipId::Esp32, 1), (ChipId::Esp32C3, 4)] {
        let mut efuses = Efuses::blank(chip).unwrap();
        efuses
            .burn_key(block, KeyUse::FlashEncryption, &KEY)
            .unwrap();
        assert!(efuses.is_read_protected(block) && efuses.is_write_protected(block));
        assert_eq!(efuses.read_block(block), [0; 32]);
        let reversed: Vec<u8> = KEY.iter().rev().copied().collect();
        let holds = |file: &[u8]| {
            file.windows(32)
                .any(|window| window == KEY || window == reversed)
        };
        assert!(!holds(&virt::encode(&efuses)));
        let file = emulator::encode(&efuses);
        assert!(file.windows(32).any(|window| window == reversed));
        let read = emulator::parse(chip, &file).unwrap();
        assert_eq!(
            read.flash_key().as_ref().map(FlashKey::file),
            Some(&KEY[..])
        );
        assert_eq!(emulator::encode(&read), file);
    }
}

#[test]
fn emulator_files_have_the_vendors_layout() {
    let mut esp32 = Efuses::blank(ChipId::Esp32).unwrap();
    esp32
        .burn_key(2, KeyUse::SecureBootDigest(0), &DIGEST)
        .unwrap();
    let file = emulator::encode(&esp32);
    assert_eq!(file.len(), 124);
    assert_eq!(file[60..92], DIGEST);
    let mut c3 = Efuses::blank(ChipId::Esp32C3).unwrap();
    c3.burn_key(5, KeyUse::SecureBootDigest(0), &DIGEST)
        .unwrap();
    let file = emulator::encode(&c3);
    assert_eq!(file.len(), 1024);
    assert_eq!(file[0xBC - 0x2C..0xBC - 0x2C + 32], DIGEST);
}

#[test]
fn files_of_another_chip_are_refused() {
    let file = virt::encode(&Efuses::blank(ChipId::Esp32).unwrap());
    assert!(virt::parse(ChipId::Esp32C3, &file).is_err());
    let file = emulator::encode(&Efuses::blank(ChipId::Esp32).unwrap());
    assert!(emulator::parse(ChipId::Esp32C3, &file).is_err());
    assert!(matches!(
        Efuses::blank(ChipId::Esp32H4),
        Err(EfuseError::UnknownChip(_))
    ));
}

#[test]
fn bits_never_unburn_and_write_protection_holds() {
    let mut efuses = Efuses::blank(ChipId::Esp32C3).unwrap();
    efuses.burn("SECURE_VERSION", 0b101).unwrap();
    efuses.burn("SECURE_VERSION", 0b010).unwrap();
    assert_eq!(efuses.read("SECURE_VERSION"), Ok(0b111));
    assert_eq!(efuses.secure_version().get(), 3);
    efuses.write_protect("SECURE_VERSION").unwrap();
    let refused = efuses.burn("SECURE_VERSION", 0b1000);
    assert!(matches!(
        refused,
        Err(EfuseError::WriteProtected {
            field: "SECURE_VERSION"
        })
    ));
    // What is burnt already may be asked for again.
    efuses.burn("SECURE_VERSION", 0b11).unwrap();
    assert!(matches!(
        efuses.burn("SECURE_BOOT_EN", 2),
        Err(EfuseError::TooWide { .. })
    ));
    assert!(matches!(
        efuses.burn("NOT_THERE", 1),
        Err(EfuseError::NoSuchField(_))
    ));
}

#[test]
fn a_flash_key_cannot_be_hidden_once_secure_boot_write_protected_rd_dis() {
    let mut efuses = Efuses::blank(ChipId::Esp32C3).unwrap();
    efuses.write_protect("RD_DIS").unwrap();
    let refused = efuses.burn_key(4, KeyUse::FlashEncryption, &KEY);
    assert!(matches!(
        refused,
        Err(EfuseError::WriteProtected { field: "RD_DIS" })
    ));
}

#[test]
fn a_key_block_is_burnt_once_and_only_for_what_it_can_hold() {
    let mut c3 = Efuses::blank(ChipId::Esp32C3).unwrap();
    c3.burn_key(4, KeyUse::SecureBootDigest(0), &DIGEST)
        .unwrap();
    let again = c3.burn_key(4, KeyUse::FlashEncryption, &KEY);
    assert!(matches!(again, Err(EfuseError::BlockUsed { block: 4 })));
    assert!(matches!(
        c3.burn_key(3, KeyUse::FlashEncryption, &KEY),
        Err(EfuseError::NoKeyBlock { block: 3 })
    ));
    let mut esp32 = Efuses::blank(ChipId::Esp32).unwrap();
    for (block, usage) in [
        (2, KeyUse::FlashEncryption),
        (1, KeyUse::SecureBootDigest(0)),
        (2, KeyUse::SecureBootDigest(1)),
        (1, KeyUse::HmacUpstream),
    ] {
        let refused = esp32.burn_key(block, usage, &KEY);
        assert!(
            matches!(
                refused,
                Err(EfuseError::PurposeRefused { .. } | EfuseError::NoSuchPurpose { .. })
            ),
            "{usage:?}"
        );
    }
}

#[test]
fn an_odd_number_of_crypt_count_bits_turns_flash_encryption_on() {
    for (chip, field, full) in [
        (ChipId::Esp32, "FLASH_CRYPT_CNT", 0x7F),
        (ChipId::Esp32C3, "SPI_BOOT_CRYPT_CNT", 7),
    ] {
        let mut efuses = Efuses::blank(chip).unwrap();
        assert_eq!(efuses.flash_encryption(), FlashEncryption::Off);
        efuses.burn(field, 1).unwrap();
        assert_eq!(efuses.flash_encryption(), FlashEncryption::Development);
        efuses.burn(field, 3).unwrap();
        assert_eq!(efuses.flash_encryption(), FlashEncryption::Off);
        efuses.burn(field, full).unwrap();
        assert_eq!(efuses.flash_encryption(), FlashEncryption::Release);
    }
    let mut efuses = Efuses::blank(ChipId::Esp32C3).unwrap();
    efuses.burn("SPI_BOOT_CRYPT_CNT", 1).unwrap();
    efuses.write_protect("SPI_BOOT_CRYPT_CNT").unwrap();
    assert_eq!(efuses.flash_encryption(), FlashEncryption::Release);
}

#[test]
fn revoked_empty_and_hidden_digests_are_not_trusted() {
    let mut efuses = Efuses::blank(ChipId::Esp32C3).unwrap();
    efuses
        .burn_key(4, KeyUse::SecureBootDigest(1), &DIGEST)
        .unwrap();
    let trusted = efuses.secure_boot_digests();
    assert_eq!(trusted.map(|digest| digest.is_some()), [false, true, false]);
    efuses.burn("SECURE_BOOT_KEY_REVOKE1", 1).unwrap();
    assert_eq!(efuses.secure_boot_digests(), [None; 3]);
    let mut efuses = Efuses::blank(ChipId::Esp32C3).unwrap();
    efuses
        .burn_key(4, KeyUse::SecureBootDigest(0), &DIGEST)
        .unwrap();
    efuses.burn("RD_DIS", 1).unwrap();
    assert_eq!(efuses.secure_boot_digests(), [None; 3]);
}

#[test]
fn secure_version_counts_bits_and_stops_at_the_fields_width() {
    use espseal_format::units::SecurityVersion;
    for (chip, width) in [(ChipId::Esp32, 32), (ChipId::Esp32C3, 16)] {
        let mut efuses = Efuses::blank(chip).unwrap();
        efuses
            .raise_secure_version(SecurityVersion::new(5))
            .unwrap();
        assert_eq!(efuses.read("SECURE_VERSION"), Ok(0b1_1111));
        efuses
            .raise_secure_version(SecurityVersion::new(3))
            .unwrap();
        assert_eq!(efuses.secure_version().get(), 5);
        efuses
            .raise_secure_version(SecurityVersion::new(width))
            .unwrap();
        assert_eq!(efuses.secure_version().get(), width);
        let refused = efuses.raise_secure_version(SecurityVersion::new(width + 1));
        assert!(matches!(refused, Err(EfuseError::TooWide { .. })));
    }
}

#[test]
fn locks_say_what_an_attached_cable_can_still_do() {
    let mut c3 = Efuses::blank(ChipId::Esp32C3).unwrap();
    assert_eq!(
        (c3.jtag(), c3.download_mode()),
        (Jtag::Open, DownloadMode::Open)
    );
    c3.burn("DIS_PAD_JTAG", 1).unwrap();
    assert_eq!(c3.jtag(), Jtag::Open, "USB JTAG is still there");
    c3.burn("DIS_USB_JTAG", 1).unwrap();
    c3.burn("ENABLE_SECURITY_DOWNLOAD", 1).unwrap();
    assert_eq!(
        (c3.jtag(), c3.download_mode()),
        (Jtag::Off, DownloadMode::Secure)
    );
    c3.burn("DIS_DOWNLOAD_MODE", 1).unwrap();
    assert_eq!(c3.download_mode(), DownloadMode::Off);
    let mut esp32 = Efuses::blank(ChipId::Esp32).unwrap();
    esp32.burn("JTAG_DISABLE", 1).unwrap();
    esp32.burn("UART_DOWNLOAD_DIS", 1).unwrap();
    assert_eq!(
        (esp32.jtag(), esp32.download_mode()),
        (Jtag::Off, DownloadMode::Off)
    );
}

#[test]
fn power_cut_inside_a_burn_leaves_some_of_the_bits() {
    use espseal_twin::power::{Moment, Power, PowerCut, Tear};
    let power = Power::default();
    let mut efuses = Efuses::blank(ChipId::Esp32C3)
        .unwrap()
        .powered_by(power.clone());
    power.plan([PowerCut {
        operation: 0,
        moment: Moment::Inside(Tear::AfterBytes(16)),
    }]);
    let cut = efuses.burn_key(4, KeyUse::FlashEncryption, &KEY);
    assert!(matches!(cut, Err(EfuseError::PowerLost(_))));
    power.restore();
    let block = efuses.read_block(4);
    assert_eq!(
        block[..16],
        KEY.iter().rev().copied().collect::<Vec<_>>()[..16]
    );
    assert_eq!(block[17..], [0; 15]);
    assert!(!efuses.is_read_protected(4));
}
