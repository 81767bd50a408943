//! Puts the agent together with the chip's drivers.

use core::fmt;

use esp_hal::aes::Aes;
use esp_hal::hmac::Hmac;
use esp_hal::peripherals::{AES, FLASH, HMAC, SHA};
use esp_hal::sha::Sha;
use esp_storage::FlashStorage;
use espseal_agent::agent::{Agent, Parts};
use espseal_agent::config::{Config, Layout};
use espseal_agent::error::Misuse;
use espseal_agent::flash::Flash as _;
use espseal_agent::observer::Observer;
use espseal_agent::transport::Transport;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::partition_table::{PartitionTable, TABLE_LEN, TableError};

use crate::built_in::BuiltIn;
use crate::chip::Esp32C3;
use crate::device_key::{self, NoDeviceKey};
use crate::engines::Engines;
use crate::flash::{EspFlash, EspFlashFault};

/// The agent on this chip, over some transport, watched by someone.
pub type DeviceAgent<'a, 'd, T, O> = Agent<
    'a,
    &'a mut EspFlash<'d>,
    T,
    &'a mut SoftwareDeviceKey,
    &'a mut Esp32C3,
    O,
    &'a mut Engines<'d>,
>;

/// What the agent takes of the chip.
pub struct Hardware<'d> {
    /// The flash chip.
    pub flash: FLASH<'d>,
    /// The AES engine.
    pub aes: AES<'d>,
    /// The SHA engine.
    pub sha: SHA<'d>,
    /// The HMAC engine.
    pub hmac: HMAC<'d>,
}

/// The chip, looked at and found fit for updates.
pub struct Board<'d> {
    flash: EspFlash<'d>,
    engines: Engines<'d>,
    key: SoftwareDeviceKey,
    chip: Esp32C3,
    layout: Layout,
}

/// Why this board takes no updates.
#[derive(Debug)]
#[non_exhaustive]
pub enum BoardError {
    /// The partition table cannot be read.
    Flash(EspFlashFault),
    /// What stands there is no partition table.
    Table(TableError),
    /// It lacks a partition that the agent needs.
    Layout,
    /// The running image stands in none of its app slots.
    NoSlot,
    /// There is no device key.
    Key(NoDeviceKey),
}

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(fault) => write!(f, "the partition table cannot be read: {:?}", fault.0),
            Self::Table(error) => write!(f, "the partition table: {error}"),
            Self::Layout => f.write_str(
                "the partition table needs otadata, two OTA slots, and data subtype 0x40 of \
                 0x4000 bytes or more, flagged encrypted",
            ),
            Self::NoSlot => f.write_str("the running image stands in no app slot of the table"),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl<'d> Board<'d> {
    /// Looks at partition table, running slot and eFuses, and derives the device's keys.
    ///
    /// # Errors
    /// [`BoardError`]: the app runs on, without updates.
    pub fn new(hardware: Hardware<'d>, built_in: &BuiltIn) -> Result<Self, BoardError> {
        let mut flash = EspFlash::new(FlashStorage::new(hardware.flash));
        let layout = layout(&mut flash, built_in)?;
        let chip = Esp32C3::look_around(&layout).ok_or(BoardError::NoSlot)?;
        let engines = Engines::new(Aes::new(hardware.aes), Sha::new(hardware.sha));
        let key = device_key::derive(&mut Hmac::new(hardware.hmac), &engines);
        Ok(Self {
            flash,
            engines,
            key: key.map_err(BoardError::Key)?,
            chip,
            layout,
        })
    }

    /// The agent's configuration; `None` when the built-in channel has no name.
    #[must_use]
    pub fn config(&self, built_in: &BuiltIn) -> Option<Config<'static>> {
        built_in.config(self.layout.clone())
    }

    /// The device's keys: their public halves are what `espseal device enroll` wants.
    #[must_use]
    pub const fn key(&self) -> &SoftwareDeviceKey {
        &self.key
    }

    /// The engines that an update runs through.
    #[must_use]
    pub const fn engines(&self) -> &Engines<'d> {
        &self.engines
    }

    /// Puts the agent together; it may be taken apart and put together again for each connection.
    ///
    /// # Errors
    /// [`Misuse::BuiltInRoot`] when the image was built with a broken root.
    pub fn agent<'a, T: Transport, O: Observer>(
        &'a mut self,
        transport: T,
        observer: O,
        config: &'a Config<'a>,
        workspace: &'a mut Workspace,
    ) -> Result<DeviceAgent<'a, 'd, T, O>, Misuse> {
        let parts = Parts {
            flash: &mut self.flash,
            transport,
            key: &mut self.key,
            platform: &mut self.chip,
            observer,
        };
        Agent::with_crypto(parts, &mut self.engines, config, workspace)
    }
}

/// Reads the partition table and finds what the agent needs in it.
#[inline(never)]
fn layout(flash: &mut EspFlash<'_>, built_in: &BuiltIn) -> Result<Layout, BoardError> {
    let mut bytes = [0; TABLE_LEN];
    flash
        .read(built_in.table_offset(), &mut bytes)
        .map_err(BoardError::Flash)?;
    let table = PartitionTable::parse(&bytes).map_err(BoardError::Table)?;
    Layout::from_table(&table).map_err(|_| BoardError::Layout)
}
