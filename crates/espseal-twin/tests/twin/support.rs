//! Small images, keys and devices to test with.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use espseal_crypto::flash_encryption::FlashKey;
use espseal_crypto::secure_boot::{RsaPublicKey, build_block};
use espseal_format::chip::ChipId;
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::{Digest, FlashOffset};
use espseal_twin::boot::{AppSlot, BootOutcome, BootReport, BootloaderSettings};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::Mac;
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;

/// Both chips that the twin models.
pub(crate) const CHIPS: [ChipId; 2] = [ChipId::Esp32, ChipId::Esp32C3];
pub(crate) const TABLE_OFFSET: FlashOffset = FlashOffset::new(0xA000);
pub(crate) const OTADATA: u32 = 0xC000;
pub(crate) const OTA_0: u32 = 0x2_0000;
pub(crate) const OTA_1: u32 = 0x4_0000;
pub(crate) const FACTORY: u32 = 0x6_0000;
pub(crate) const TEST: u32 = 0x8_0000;
pub(crate) const NVS: u32 = 0xE000;
pub(crate) const JOURNAL: u32 = 0x1_2000;
pub(crate) const FLASH_SIZE: usize = 0x10_0000;

pub(crate) const TWO_SLOTS: &str = "otadata,data,ota,0xc000,0x2000\n\
    nvs,data,nvs,0xe000,0x4000\njournal,data,0x40,0x12000,0x4000,encrypted\n\
    ota_0,app,ota_0,0x20000,0x20000\nota_1,app,ota_1,0x40000,0x20000\n";
pub(crate) const WITH_FACTORY: &str = "factory,app,factory,0x60000,0x20000\n";
pub(crate) const WITH_TEST: &str = "test,app,test,0x80000,0x20000\n";

/// A secure-boot key.
pub(crate) struct Signer(KeyPair);

/// The key whose digest devices carry.
pub(crate) fn signer() -> &'static Signer {
    static KEY: OnceLock<Signer> = OnceLock::new();
    KEY.get_or_init(Signer::generate)
}

impl Signer {
    pub(crate) fn generate() -> Self {
        Self(KeyPair::generate(KeySize::Rsa3072).unwrap())
    }

    fn public(&self) -> RsaPublicKey {
        // RSAPublicKey in DER: two headers of four bytes and a zero before the modulus.
        let modulus = self.0.public_key().as_ref()[9..393].try_into().unwrap();
        RsaPublicKey::new(modulus, 65537).unwrap()
    }

    /// The 1216-byte block over an image that ends on a sector.
    pub(crate) fn block(&self, image: &[u8]) -> Vec<u8> {
        let mut signature = [0; 384];
        self.0
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), image, &mut signature)
            .unwrap();
        build_block(&self.public(), &Digest::of(image), &signature)
            .unwrap()
            .encode()
            .to_vec()
    }

    pub(crate) fn digest(&self) -> Digest {
        let empty = [0xFF; 4096];
        let block = self.block(&empty);
        Digest::of(&[&block[36..812], &[]].concat())
    }

    /// Pads an image to a sector and appends its signature sector.
    pub(crate) fn sign(&self, image: &[u8]) -> Vec<u8> {
        let mut signed = image.to_vec();
        signed.resize(image.len().next_multiple_of(4096), 0xFF);
        let mut sector = self.block(&signed);
        sector.resize(4096, 0xFF);
        [signed, sector].concat()
    }

    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        der.as_ref().to_vec()
    }
}

/// Builds an image of these segments, with checksum and SHA-256.
pub(crate) fn image(chip: ChipId, segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut image = vec![0xE9, segments.len() as u8, 2, 0x20];
    image.extend(0x4008_0000_u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0]);
    image.extend(chip.to_u16().to_le_bytes());
    image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    let mut sum = 0xEF;
    for (load, data) in segments {
        image.extend(load.to_le_bytes());
        image.extend((data.len() as u32).to_le_bytes());
        image.extend(data);
        sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
    }
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = sum;
    let digest = Digest::of(&image);
    image.extend(digest.0);
    image
}

/// An app with this secure version; `filler` tells apps apart.
pub(crate) fn app(chip: ChipId, filler: u8, secure_version: u32) -> Vec<u8> {
    let mut rodata = vec![filler; 5000];
    rodata[..4].copy_from_slice(&0xABCD_5432_u32.to_le_bytes());
    rodata[4..8].copy_from_slice(&secure_version.to_le_bytes());
    rodata[8..256].fill(0);
    rodata[16] = b'0' + filler;
    rodata[48..52].copy_from_slice(b"twin");
    let (rom, ram) = match chip {
        ChipId::Esp32 => (0x3F40_0020, 0x3FFB_0000),
        _ => (0x3C00_0020, 0x3FC9_0000),
    };
    image(chip, &[(rom, rodata), (ram, vec![filler; 400])])
}

pub(crate) fn bootloader(chip: ChipId) -> Vec<u8> {
    let ram = if chip == ChipId::Esp32 {
        0x4007_8000
    } else {
        0x403C_C000
    };
    image(chip, &[(ram, vec![0x42; 6000])])
}

pub(crate) fn table(text: &str) -> PartitionTable {
    PartitionTable::parse_csv(text, TABLE_OFFSET).unwrap()
}

pub(crate) fn flash_key(chip: ChipId) -> FlashKey {
    let mut key = [0; 32];
    key.iter_mut()
        .enumerate()
        .for_each(|(index, byte)| *byte = index as u8 * 7 + 3);
    match chip {
        ChipId::Esp32 => FlashKey::Esp32(key),
        _ => FlashKey::Xts128(key),
    }
}

/// How a test device is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    Release,
    Open,
}

/// A device whose partitions hold these signed apps.
pub(crate) fn device(
    chip: ChipId,
    csv: &str,
    apps: &[(&str, &[u8])],
    locked: Locked,
    settings: BootloaderSettings,
) -> VirtualDevice {
    let (signer, key) = (signer(), flash_key(chip));
    let signed: Vec<_> = apps
        .iter()
        .map(|(label, app)| (*label, signer.sign(app)))
        .collect();
    let contents: Vec<_> = signed
        .iter()
        .map(|(label, app)| (*label, &app[..]))
        .collect();
    let digests = [signer.digest()];
    let made = FactoryPlan {
        chip,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: FLASH_SIZE,
        bootloader: &signer.sign(&bootloader(chip)),
        table_offset: TABLE_OFFSET,
        table: &table(csv),
        contents: &contents,
        security: match locked {
            Locked::Open => Security::Open,
            Locked::Release => Security::Release {
                flash_key: &key,
                digests: &digests,
                hmac_key: None,
            },
        },
    }
    .build()
    .unwrap();
    VirtualDevice::new(
        NorFlash::from_bytes(made.flash).unwrap(),
        made.efuses,
        settings,
    )
}

/// Secure boot and rollback on, table where the tests have it.
pub(crate) fn settings() -> BootloaderSettings {
    BootloaderSettings {
        partition_table: TABLE_OFFSET,
        ..BootloaderSettings::default()
    }
}

/// Writes one otadata entry through flash encryption: `None` leaves the sector erased.
pub(crate) fn set_otadata(device: &mut VirtualDevice, index: u32, entry: Option<[u8; 32]>) {
    let at = FlashOffset::new(OTADATA + index * 0x1000);
    let mut bus = device.bus();
    bus.erase_sector(at).unwrap();
    if let Some(entry) = entry {
        bus.write(at, &entry).unwrap();
    }
}

/// State of an otadata entry as it stands in flash.
pub(crate) fn otadata_entry(device: &mut VirtualDevice, index: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    let at = FlashOffset::new(OTADATA + index * 0x1000);
    device.bus().read(at, &mut entry).unwrap();
    entry
}

pub(crate) fn state(entry: [u8; 32]) -> u32 {
    u32::from_le_bytes(entry[24..28].try_into().unwrap())
}

pub(crate) fn entry(seq: u32, state: u32) -> [u8; 32] {
    let mut entry = [0xFF; 32];
    entry[..4].copy_from_slice(&seq.to_le_bytes());
    entry[24..28].copy_from_slice(&state.to_le_bytes());
    // CRC-32 of the sequence number from a start value of all ones, bit by bit.
    let mut crc = 0_u32;
    for byte in seq.to_le_bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    entry[28..].copy_from_slice(&(!crc).to_le_bytes());
    entry
}

/// Spoils the app in the partition at `offset`.
pub(crate) fn corrupt(device: &mut VirtualDevice, offset: u32) {
    device
        .bus()
        .write_raw(FlashOffset::new(offset + 0x1000), &[0; 64])
        .unwrap();
}

#[track_caller]
pub(crate) fn slot(report: &BootReport) -> AppSlot {
    match report.outcome {
        BootOutcome::Running(app) => app.slot,
        other => panic!("{other:?}\n{}", report.log),
    }
}
