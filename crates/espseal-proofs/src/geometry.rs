//! The devices of the proofs: chips, partition tables, locks and bootloaders.

use espseal_agent::config::{Config, Floors, Layout, Policy, RollbackRule, SignatureRule};
use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::{ChipId, SecureBootScheme};
use espseal_format::partition_table::PartitionTable;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{ChannelName, Digest, FlashOffset};
use espseal_twin::boot::{BootloaderSettings, Rollback, SecureBootSupport};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{Efuses, KeyUse, Mac};
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;

use crate::image;
use crate::maker::{CLASS, DAY, GROUP, PRODUCT, TODAY, VENDOR};
use crate::rsa::{self, RsaKey};

/// Chips of these proofs: 32-byte encryption rows, and 16-byte rows with XTS.
pub(crate) const CHIPS: [ChipId; 2] = [ChipId::Esp32, ChipId::Esp32C3];

/// A partition table, and where the factory puts the first image.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    csv: &'static str,
    offset: u32,
    /// Partition that holds the first image.
    pub(crate) first: &'static str,
    /// log2 of the flash size in MB.
    size_nibble: u8,
}

/// Two slots, otadata right behind the table.
pub(crate) static TWO_SLOTS: Table = Table {
    name: "two slots",
    csv: "otadata,data,ota,0xc000,0x2000\njournal,data,0x40,0x12000,0x4000,encrypted\n\
          ota_0,app,ota_0,0x20000,0x20000\nota_1,app,ota_1,0x40000,0x20000\n",
    offset: 0xA000,
    first: "ota_0",
    size_nibble: 0,
};

/// A factory app, two small slots, otadata in front, journal at the end.
pub(crate) static FACTORY: Table = Table {
    name: "factory and two slots",
    csv: "nvs,data,nvs,0x9000,0x4000\notadata,data,ota,0xd000,0x2000\n\
          factory,app,factory,0x10000,0x20000\nota_0,app,ota_0,0x30000,0x10000\n\
          ota_1,app,ota_1,0x40000,0x10000\njournal,data,0x40,0xfc000,0x4000,encrypted\n",
    offset: 0x8000,
    first: "factory",
    size_nibble: 0,
};

/// Three slots, journal and otadata behind them.
pub(crate) static THREE_SLOTS: Table = Table {
    name: "three slots, otadata last",
    csv: "ota_0,app,ota_0,0x10000,0x30000\nota_1,app,ota_1,0x40000,0x30000\n\
          ota_2,app,ota_2,0x70000,0x30000\njournal,data,0x40,0xf8000,0x6000,encrypted\n\
          otadata,data,ota,0xfe000,0x2000\n",
    offset: 0x8000,
    first: "ota_0",
    size_nibble: 0,
};

/// Slots for an image of more than one page of hashes.
pub(crate) static LARGE: Table = Table {
    name: "two large slots",
    csv: "otadata,data,ota,0xd000,0x2000\njournal,data,0x40,0x10000,0x4000,encrypted\n\
          ota_0,app,ota_0,0x20000,0x1e0000\nota_1,app,ota_1,0x200000,0x1e0000\n",
    offset: 0x8000,
    first: "ota_0",
    size_nibble: 2,
};

/// What is burnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Locks {
    /// Flash encryption and secure boot.
    Release,
    /// Secure boot alone: erased flash reads as 0xFF.
    Signed,
    /// Nothing: what boots is anything whose hash is right.
    Open,
}

/// One kind of device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) chip: ChipId,
    pub(crate) table: &'static Table,
    pub(crate) locks: Locks,
    pub(crate) rollback: Rollback,
    /// What the firmware demands of the bootloader.
    pub(crate) rule: RollbackRule,
}

impl Geometry {
    pub(crate) fn name(&self) -> String {
        let locks = match self.locks {
            Locks::Release => "encrypted",
            Locks::Signed => "plain, signed",
            Locks::Open => "open",
        };
        let rollback = match (self.rollback, self.rule) {
            (Rollback::Enabled, _) => "rollback",
            (Rollback::Disabled, RollbackRule::Optional) => "no rollback",
            (Rollback::Disabled, RollbackRule::Required) => "no rollback, though demanded",
        };
        format!("{}, {}, {locks}, {rollback}", self.chip, self.table.name)
    }

    /// The key that signs this device's images.
    pub(crate) fn signer(&self) -> Option<RsaKey> {
        (self.locks != Locks::Open).then_some(rsa::OWN)
    }

    fn table(&self) -> PartitionTable {
        PartitionTable::parse_csv(self.table.csv, FlashOffset::new(self.table.offset)).unwrap()
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::from_table(&self.table()).unwrap()
    }

    /// What its flash is encrypted with, if it is.
    pub(crate) fn flash_key(&self) -> FlashKey {
        match self.chip {
            ChipId::Esp32 => FlashKey::Esp32(core::array::from_fn(|i| i as u8 * 7 + 3)),
            _ => FlashKey::Xts128(core::array::from_fn(|i| i as u8 * 5 + 1)),
        }
    }

    /// A device as the factory makes it, holding `app`, switched off.
    pub(crate) fn device(&self, app: &[u8]) -> VirtualDevice {
        let key = self.flash_key();
        let digests = [rsa::OWN.digest()];
        let security = match self.locks {
            Locks::Release => Security::Release {
                flash_key: &key,
                digests: &digests,
                hmac_key: None,
            },
            Locks::Signed | Locks::Open => Security::Open,
        };
        let made = FactoryPlan {
            chip: self.chip,
            mac: Mac([2, 0, 0, 0, 0, 1]),
            flash_size: 0x10_0000 << self.table.size_nibble,
            bootloader: &image::bootloader(self.chip, self.table.size_nibble, self.signer()),
            table_offset: FlashOffset::new(self.table.offset),
            table: &self.table(),
            contents: &[(self.table.first, app)],
            security,
        };
        let made = made.build().unwrap();
        let mut efuses = made.efuses;
        if self.locks == Locks::Signed {
            burn_secure_boot(&mut efuses, &digests[0]);
        }
        let settings = BootloaderSettings {
            partition_table: FlashOffset::new(self.table.offset),
            rollback: self.rollback,
            secure_boot: match self.locks {
                Locks::Open => SecureBootSupport::Absent,
                _ => SecureBootSupport::V2(SignatureScheme::Rsa3072),
            },
            ..BootloaderSettings::default()
        };
        VirtualDevice::new(NorFlash::from_bytes(made.flash).unwrap(), efuses, settings)
    }

    /// What the firmware of these devices has built in.
    pub(crate) fn config<'a>(&self, root: &'a [u8]) -> Config<'a> {
        Config {
            product: PRODUCT,
            vendor: VENDOR,
            class: CLASS,
            chip: self.chip,
            channel: ChannelName::new("stable").unwrap(),
            group: GROUP,
            built_in_root: root,
            floors: Floors {
                time: TODAY - 30 * DAY,
                ..Floors::default()
            },
            layout: self.layout(),
            policy: Policy {
                signature: match self.locks {
                    Locks::Open => SignatureRule::WhenBurnt,
                    _ => SignatureRule::Required,
                },
                rollback: self.rule,
                ..Policy::default()
            },
        }
    }
}

fn burn_secure_boot(efuses: &mut Efuses, digest: &Digest) {
    let usage = KeyUse::SecureBootDigest(0);
    let block = efuses.free_block_for(usage).unwrap();
    efuses.burn_key(block, usage, &digest.0).unwrap();
    efuses.enable_secure_boot(SecureBootScheme::V2Rsa).unwrap();
}
