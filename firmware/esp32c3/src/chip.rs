//! What the chip knows about itself: eFuses, the running slot, randomness.
//!
//! Source: ESP-IDF `components/efuse/esp32c3/esp_efuse_table.csv`; for the slot, ESP32-C3 TRM chapter
//! "System and Memory", and ESP-IDF `components/hal/esp32c3/include/hal/mmu_ll.h`.

use esp_hal::efuse::{self, EfuseField};
use esp_hal::peripherals::MMU_TABLE;
use esp_hal::rng::Rng;
use espseal_agent::config::Layout;
use espseal_agent::platform::{DIGEST_SLOTS, DirectPlatform, Platform, Slot};
use espseal_format::metadata::direct::FlashScheme;
use espseal_format::units::{Digest, FlashOffset, SecurityVersion};

/// The facts about this chip that no file can change.
#[derive(Debug)]
pub struct Esp32C3 {
    running: Slot,
    rng: Rng,
}

impl Esp32C3 {
    /// Finds out which slot the running image was started from; `None` when it stands in none.
    #[must_use]
    pub fn look_around(layout: &Layout) -> Option<Self> {
        let running = slot_at(layout, running_image())?;
        let rng = Rng::new();
        Some(Self { running, rng })
    }
}

impl Platform for Esp32C3 {
    fn running_slot(&self) -> Slot {
        self.running
    }

    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS] {
        let revoked = REVOKED.map(efuse::read_bit);
        let mut digests = [None; DIGEST_SLOTS];
        let slots = digests.iter_mut().zip(revoked).zip(purpose::DIGESTS);
        for ((digest, revoked), purpose) in slots {
            *digest = key_block(purpose)
                .filter(|_| !revoked)
                .map(|block| Digest(efuse::read_field_le(block.field)));
        }
        digests
    }

    fn secure_version(&self) -> SecurityVersion {
        let bits: u16 = efuse::read_field_le(efuse::SECURE_VERSION);
        SecurityVersion::new(bits.count_ones())
    }

    /// The chip's clock starts from nothing at each start.
    fn trusted_time(&mut self) -> Option<u64> {
        None
    }

    fn random(&mut self, buffer: &mut [u8]) {
        self.rng.read(buffer);
    }
}

impl DirectPlatform for Esp32C3 {
    fn flash_scheme(&self) -> Option<FlashScheme> {
        efuse::flash_encryption().then_some(FlashScheme::Xts128)
    }
}

/// A key block and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyBlock {
    pub(crate) number: u8,
    field: EfuseField,
}

/// The first key block with this purpose.
pub(crate) fn key_block(wanted: u8) -> Option<KeyBlock> {
    let mut blocks = (0..).zip(PURPOSES).zip(KEYS);
    blocks.find_map(|((number, purpose), field)| {
        (efuse::read_field_le::<u8>(purpose) == wanted).then_some(KeyBlock { number, field })
    })
}

/// What a key block may hold.
pub(crate) mod purpose {
    /// Key of the HMAC engine whose result software reads.
    pub(crate) const HMAC_UP: u8 = 8;
    /// Digests of secure-boot keys.
    pub(crate) const DIGESTS: [u8; 3] = [9, 10, 11];
}

const PURPOSES: [EfuseField; 6] = [
    efuse::KEY_PURPOSE_0,
    efuse::KEY_PURPOSE_1,
    efuse::KEY_PURPOSE_2,
    efuse::KEY_PURPOSE_3,
    efuse::KEY_PURPOSE_4,
    efuse::KEY_PURPOSE_5,
];

const KEYS: [EfuseField; 6] = [
    efuse::BLOCK_KEY0,
    efuse::BLOCK_KEY1,
    efuse::BLOCK_KEY2,
    efuse::BLOCK_KEY3,
    efuse::BLOCK_KEY4,
    efuse::BLOCK_KEY5,
];

const REVOKED: [EfuseField; DIGEST_SLOTS] = [
    efuse::SECURE_BOOT_KEY_REVOKE0,
    efuse::SECURE_BOOT_KEY_REVOKE1,
    efuse::SECURE_BOOT_KEY_REVOKE2,
];

/// Flash offset of the running image: its first page is the one mapped first.
///
/// The MMU says where mapped pages come from, whatever stands in otadata by now.
fn running_image() -> FlashOffset {
    let page = MMU_TABLE::regs().entry(0).read().paddr().bits();
    FlashOffset::new(u32::from(page) << 16)
}

/// The slot that starts at `offset`.
fn slot_at(layout: &Layout, offset: FlashOffset) -> Option<Slot> {
    let ota = (0..)
        .zip(&layout.slots)
        .map(|(number, region)| (Slot::Ota(number), region));
    let factory = layout.factory.iter().map(|region| (Slot::Factory, region));
    factory
        .chain(ota)
        .find(|(_, region)| region.offset == offset)
        .map(|(slot, _)| slot)
}
