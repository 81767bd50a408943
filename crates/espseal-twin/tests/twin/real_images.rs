//! Images that others built, through the twin's boot.

use std::path::PathBuf;

use espseal_format::chip::ChipId;
use espseal_format::image::{FlashSize, ImageLayout, set_flash_size};
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::FlashOffset;
use espseal_twin::boot::{
    AppSlot, BootFailure, BootOutcome, BootloaderSettings, SecureBootSupport,
};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{Efuses, Mac};
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;

use crate::support::{signer, slot};

const OPEN: BootloaderSettings = BootloaderSettings {
    partition_table: FlashOffset::new(0x8000),
    rollback: espseal_twin::boot::Rollback::Disabled,
    anti_rollback: espseal_twin::boot::AntiRollback::Disabled,
    secure_boot: SecureBootSupport::Absent,
};

fn open_device(chip: ChipId, pieces: &[(usize, Vec<u8>)]) -> VirtualDevice {
    let mut flash = vec![0xFF; 0x40_0000];
    for (at, bytes) in pieces {
        flash[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    let efuses = Efuses::as_shipped(chip, None, Mac([0x24, 0x0A, 0xC4, 1, 2, 3])).unwrap();
    VirtualDevice::new(NorFlash::from_bytes(flash).unwrap(), efuses, OPEN)
}

fn firmware(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../firmware/images"
    ));
    std::fs::read(folder.join(name)).unwrap()
}

/// A real bootloader of ESP-IDF for this chip.
fn espflash_bootloader(chip: &str) -> Vec<u8> {
    let folder = oracles::cargo_package("espflash", "4.7.0").join("resources/bootloaders");
    let mut image = std::fs::read(folder.join(format!("{chip}-bootloader.bin"))).unwrap();
    // It is built for 2 MB; esptool would write the size of the chip at hand into it.
    let mut layout = ImageLayout::parse(&image).unwrap();
    set_flash_size(&mut image, &mut layout, FlashSize::Mb4).unwrap();
    image
}

#[test]
fn arduino_firmware_of_an_esp32_boots_and_a_flipped_bit_stops_it() {
    for (version, board) in [("2026.0.4", "nodemcu-32s"), ("2026.0.5", "esp32cam")] {
        let folder = oracles::package("ivh", version)
            .join("ivh/firmware")
            .join(board);
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let mut device = open_device(
            ChipId::Esp32,
            &[
                (0x1000, read("bootloader.bin")),
                (0x8000, read("partitions.bin")),
                (0xE000, read("boot_app0.bin")),
                (0x1_0000, read("firmware.bin")),
            ],
        );
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
        assert!(
            report
                .log
                .says("Loaded app from partition at offset 0x10000")
        );
        device
            .bus()
            .write_raw(FlashOffset::new(0x2_0000), &[0; 16])
            .unwrap();
        let report = device.power_on();
        assert_eq!(
            report.outcome,
            BootOutcome::Failed(BootFailure::NoBootableApp)
        );
    }
}

#[test]
fn a_release_chain_of_apps_without_descriptor_verifies() {
    let folder = oracles::package("pinpong", "0.6.2").join("pinpong-0.6.2/pinpong/base");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for version in ["2.6", "2.7", "2.8", "2.9"] {
        let mut device = open_device(
            ChipId::Esp32,
            &[
                (0x1000, read("bootloader_dio_80m.bin")),
                (0x8000, read("dfrobot.ino.partitions.bin")),
                (0xE000, read("boot_app0.bin")),
                (
                    0x1_0000,
                    read(&format!("FirmataExpress.HANDPY.{version}.bin")),
                ),
            ],
        );
        let report = device.power_on();
        assert!(report.running().is_some(), "{version}\n{}", report.log);
    }
}

/// Real ESP-IDF bootloaders and real firmware, locked as in production, on both chips.
#[test]
fn real_firmware_boots_encrypted_and_signed() {
    for (chip, name, table_offset) in [
        (ChipId::Esp32, "esp32", 0x9000),
        (ChipId::Esp32C3, "esp32c3", 0x8000),
    ] {
        let table_offset = FlashOffset::new(table_offset);
        let csv = String::from_utf8(firmware(&format!("{name}-partitions.csv"))).unwrap();
        let table = PartitionTable::parse_csv(&csv, table_offset).unwrap();
        let app = signer().sign(&firmware(&format!("{name}-release-1.bin")));
        let bootloader = signer().sign(&espflash_bootloader(name));
        let (flash_key, digests) = (crate::support::flash_key(chip), [signer().digest()]);
        let made = FactoryPlan {
            chip,
            mac: Mac([0x24, 0x0A, 0xC4, 1, 2, 3]),
            flash_size: 0x40_0000,
            bootloader: &bootloader,
            table_offset,
            table: &table,
            contents: &[("ota_0", &app)],
            security: Security::Release {
                flash_key: &flash_key,
                digests: &digests,
                hmac_key: None,
            },
        }
        .build()
        .unwrap();
        let settings = BootloaderSettings {
            partition_table: table_offset,
            ..BootloaderSettings::default()
        };
        let flash = NorFlash::from_bytes(made.flash).unwrap();
        let mut device = VirtualDevice::new(flash, made.efuses, settings);
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
        assert!(
            report.log.says("Signature verified successfully!"),
            "{}",
            report.log
        );
    }
}
