//! Who the emulated device is: its eFuses, its keys, and what is built into its firmware.
//!
//! A real device has these in silicon and in its image. Here the host hands them over at each
//! start, so that one program serves every scene and no key stands in it.
//!
//! ```text
//! running slot u8 | 3 x (burnt u8, digest 32) | secure version u32 | flash key 32 | device key 64
//! product 16 | vendor 16 | class 16 | chip u16 | channel u16 + text | group u32
//! installed u32, u64 | flash size u32 | otadata u32 | journal u32 | 2 x (offset u32, size u32)
//! self-test u8 | watch u8 | cut u8, operation u32, bytes u16 | root u16 + COSE
//! ```

use core::fmt;

use espseal_agent::config::{Config, Floors, Layout, Policy, Polling, Region};
use espseal_agent::platform::{DIGEST_SLOTS, Platform, Slot};
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::units::{ChannelName, Digest, FlashOffset, Position, Product, SecurityVersion};
use zeroize::Zeroizing;

use crate::cursor::{Reader, Writer};
use crate::flash::{Cut, Moment};

/// Bytes in the longest block: 1 KB is left for the root.
pub const MAX_LEN: usize = 1536;

/// Slots of the partition table.
pub const SLOTS: usize = 2;

/// Everything that makes one device.
pub struct Device<'a> {
    /// What the chip says about itself.
    pub chip: Chip,
    /// Key of the flash encryption, XTS-AES-128.
    pub flash_key: Zeroizing<[u8; 32]>,
    /// Both private keys of the device.
    pub device_key: Zeroizing<[u8; 64]>,
    /// What its firmware is configured for.
    pub firmware: Firmware<'a>,
    /// What is done to it.
    pub test: Test,
}

/// What the chip says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// The slot that the bootloader started.
    pub running: Slot,
    /// Digests of the unrevoked secure-boot keys.
    pub digests: [Option<Digest>; DIGEST_SLOTS],
    /// Burnt bits of the anti-rollback counter.
    pub secure_version: SecurityVersion,
}

/// What the firmware is configured for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware<'a> {
    /// The product.
    pub product: Product,
    /// The vendor.
    pub vendor: VendorId,
    /// The device class.
    pub class: ClassId,
    /// The chip.
    pub chip: ChipId,
    /// The channel.
    pub channel: ChannelName,
    /// The recipient group.
    pub group: u32,
    /// Place of the image that the factory flashed.
    pub installed: Position,
    /// Bytes of the flash chip that are used.
    pub flash_size: u32,
    /// First otadata sector.
    pub otadata: FlashOffset,
    /// First journal sector.
    pub journal: FlashOffset,
    /// The app slots.
    pub slots: [Region; SLOTS],
    /// The built-in root.
    pub root: &'a [u8],
}

/// What is done to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// What the self-test of a new image says.
    pub self_test: SelfTest,
    /// What is watched while the firmware runs.
    pub watch: Watch,
    /// When power goes.
    pub cut: Option<Cut>,
}

/// What the self-test of a new image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// The image works and confirms itself.
    Passes,
    /// The image restarts without confirming itself.
    Fails,
}

/// What is watched while the firmware runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing but the stack.
    Nothing,
    /// Each flash operation is told to the host before it happens.
    Operations,
    /// Instructions are counted, and those of the cryptography alone first.
    Instructions,
}

impl Firmware<'_> {
    /// The configuration that the agent runs with.
    #[must_use]
    pub fn config(&self) -> Config<'_> {
        Config {
            product: self.product,
            vendor: self.vendor,
            class: self.class,
            chip: self.chip,
            channel: self.channel.clone(),
            group: self.group,
            built_in_root: self.root,
            floors: Floors {
                installed: self.installed,
                ..Floors::default()
            },
            layout: Layout {
                factory: None,
                slots: self.slots.into_iter().collect(),
                otadata: self.otadata,
                journal: self.journal,
            },
            policy: Policy {
                polling: Polling::Announced,
                ..Policy::default()
            },
        }
    }
}

impl Platform for Chip {
    fn running_slot(&self) -> Slot {
        self.running
    }

    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS] {
        self.digests
    }

    fn secure_version(&self) -> SecurityVersion {
        self.secure_version
    }

    /// The emulated device has no clock.
    fn trusted_time(&mut self) -> Option<u64> {
        None
    }

    /// The same bytes at each start, so that a run can be repeated; they only spread polls.
    fn random(&mut self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

impl<'a> Device<'a> {
    /// Reads a block; `None` for anything that [`Self::encode`] does not write.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let chip = Chip::read(&mut reader)?;
        let flash_key = Zeroizing::new(reader.array()?);
        let device_key = Zeroizing::new(reader.array()?);
        let mut firmware = Firmware::read(&mut reader)?;
        let test = Test::read(&mut reader)?;
        firmware.root = reader.counted()?;
        reader.end(Self {
            chip,
            flash_key,
            device_key,
            firmware,
            test,
        })
    }

    /// Writes the block and returns its length; `None` when there is no room.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        self.chip.write(&mut writer)?;
        writer.put(&*self.flash_key)?.put(&*self.device_key)?;
        self.firmware.write(&mut writer)?;
        self.test.write(&mut writer)?;
        writer.put_counted(self.firmware.root)?;
        Some(writer.filled())
    }
}

impl fmt::Debug for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("chip", &self.chip)
            .field("firmware", &self.firmware)
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}

/// The running slot as a byte: no partition table has so many.
const FACTORY: u8 = 0xFF;

impl Chip {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let running = match reader.u8()? {
            FACTORY => Slot::Factory,
            number => Slot::Ota(number),
        };
        let mut digests = [None; DIGEST_SLOTS];
        for slot in &mut digests {
            let (burnt, digest) = (reader.u8()?, Digest(reader.array()?));
            *slot = flag(burnt)?.then_some(digest);
        }
        Some(Self {
            running,
            digests,
            secure_version: SecurityVersion::new(reader.u32()?),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        let running = match self.running {
            Slot::Factory => FACTORY,
            Slot::Ota(number) => number,
        };
        writer.put(&[running])?;
        for digest in &self.digests {
            writer
                .put(&[u8::from(digest.is_some())])?
                .put(&digest.unwrap_or(Digest([0; 32])).0)?;
        }
        writer.put(&self.secure_version.get().to_le_bytes())?;
        Some(())
    }
}

impl Firmware<'_> {
    /// Reads everything but the root, which comes last.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let offset = |reader: &mut Reader<'_>| reader.u32().map(FlashOffset::new);
        let region = |reader: &mut Reader<'_>| {
            Some(Region {
                offset: FlashOffset::new(reader.u32()?),
                size: reader.u32()?,
            })
        };
        Some(Self {
            product: Product(reader.array()?),
            vendor: VendorId(reader.array()?),
            class: ClassId(reader.array()?),
            chip: ChipId::from_u16(reader.u16()?),
            channel: ChannelName::new(str::from_utf8(reader.counted()?).ok()?)?,
            group: reader.u32()?,
            installed: Position {
                generation: reader.u32()?,
                version: reader.u64()?,
            },
            flash_size: reader.u32()?,
            otadata: offset(reader)?,
            journal: offset(reader)?,
            slots: [region(reader)?, region(reader)?],
            root: &[],
        })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer
            .put(&self.product.0)?
            .put(&self.vendor.0)?
            .put(&self.class.0)?
            .put(&self.chip.to_u16().to_le_bytes())?
            .put_counted(self.channel.as_str().as_bytes())?
            .put(&self.group.to_le_bytes())?
            .put(&self.installed.generation.to_le_bytes())?
            .put(&self.installed.version.to_le_bytes())?
            .put(&self.flash_size.to_le_bytes())?
            .put(&self.otadata.get().to_le_bytes())?
            .put(&self.journal.get().to_le_bytes())?;
        for region in &self.slots {
            writer
                .put(&region.offset.get().to_le_bytes())?
                .put(&region.size.to_le_bytes())?;
        }
        Some(())
    }
}

impl Test {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let self_test = match flag(reader.u8()?)? {
            true => SelfTest::Passes,
            false => SelfTest::Fails,
        };
        let watch = match reader.u8()? {
            0 => Watch::Nothing,
            1 => Watch::Operations,
            2 => Watch::Instructions,
            _ => return None,
        };
        let (moment, operation, bytes) = (reader.u8()?, reader.u32()?, reader.u16()?);
        let cut = |moment| Some(Cut { operation, moment });
        let cut = match (moment, operation, bytes) {
            (0, 0, 0) => None,
            (1, _, 0) => cut(Moment::Before),
            (2, _, _) => cut(Moment::Inside(bytes)),
            (3, _, 0) => cut(Moment::After),
            _ => return None,
        };
        Some(Self {
            self_test,
            watch,
            cut,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        let (moment, operation, bytes) = match self.cut {
            None => (0, 0, 0),
            Some(Cut { operation, moment }) => match moment {
                Moment::Before => (1, operation, 0),
                Moment::Inside(bytes) => (2, operation, bytes),
                Moment::After => (3, operation, 0),
            },
        };
        let watch = match self.watch {
            Watch::Nothing => 0,
            Watch::Operations => 1,
            Watch::Instructions => 2,
        };
        writer
            .put(&[u8::from(self.self_test == SelfTest::Passes), watch, moment])?
            .put(&operation.to_le_bytes())?
            .put(&bytes.to_le_bytes())?;
        Some(())
    }
}

/// A flag: 0 or 1.
const fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
