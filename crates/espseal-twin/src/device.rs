//! A whole virtual device: flash, eFuses, bootloader, and the ports that the agent runs on.

use espseal_agent::flash::{Flash, FlashFault, FlashFaultKind, RawFlash};
use espseal_agent::platform::{DIGEST_SLOTS, DirectPlatform, Platform, Slot};
use espseal_crypto::flash_encryption::FlashCipher;
use espseal_format::chip::SchemeId;
use espseal_format::metadata::direct::FlashScheme;
use espseal_format::signature_block::SignatureSector;
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE, SecurityVersion};

use crate::boot::{self, AppSlot, BootReport, BootloaderSettings, HeldPin, Next, RunningApp};
use crate::bus::Bus;
use crate::efuse::{Efuses, FlashEncryption};
use crate::nor::{NorError, NorFlash};
use crate::power::Power;

/// Resets in a row after which a device counts as restarting for ever.
const MAX_RESETS: usize = 8;
/// [`SECTOR_SIZE`] as a length in flash.
const SECTOR_LEN: u32 = 4096;
const _: () = assert!(SECTOR_LEN as usize == SECTOR_SIZE);

/// A virtual ESP32.
#[derive(Debug)]
pub struct VirtualDevice {
    flash: NorFlash,
    efuses: Efuses,
    settings: BootloaderSettings,
    power: Power,
    cipher: Option<FlashCipher>,
    running: Option<RunningApp>,
    held: HeldPin,
    clock: Option<u64>,
}

/// The parts of a running device that the agent works on, lent separately.
#[derive(Debug)]
pub struct Ports<'a> {
    /// Flash, decrypted.
    pub flash: FlashPort<'a>,
    /// What the chip knows about itself.
    pub platform: PlatformPort<'a>,
}

/// The running firmware's view of flash.
#[derive(Debug)]
pub struct FlashPort<'a>(Bus<'a>);

/// The running firmware's view of the chip.
#[derive(Debug)]
pub struct PlatformPort<'a> {
    efuses: &'a Efuses,
    digests: [Option<Digest>; DIGEST_SLOTS],
    running: RunningApp,
    clock: Option<u64>,
}

impl VirtualDevice {
    /// Puts a device together, switched off.
    #[must_use]
    pub fn new(flash: NorFlash, efuses: Efuses, settings: BootloaderSettings) -> Self {
        let power = flash.power().clone();
        let efuses = efuses.powered_by(power.clone());
        Self {
            flash,
            efuses,
            settings,
            power,
            cipher: None,
            running: None,
            held: HeldPin::None,
            clock: None,
        }
    }

    /// Switches the device on (again): restores power and boots, through the resets that the
    /// bootloader asks for.
    pub fn power_on(&mut self) -> BootReport {
        self.power.restore();
        self.running = None;
        let mut report = BootReport::default();
        // The bootloader resets once, when it has turned flash encryption on.
        for _ in 0..MAX_RESETS {
            self.connect_cipher();
            let row = self.efuses.model().encryption_row;
            let mut bus = Bus::new(&mut self.flash, self.cipher.as_ref(), row);
            let (efuses, settings) = (&mut self.efuses, &self.settings);
            if boot::boot(&mut bus, efuses, settings, self.held, &mut report) == Next::Done {
                break;
            }
        }
        self.connect_cipher();
        self.running = report.running();
        report
    }

    /// Holds a pin, or none, whenever the device starts from now on.
    pub const fn hold(&mut self, pin: HeldPin) {
        self.held = pin;
    }

    /// Switches the device off.
    pub fn power_off(&mut self) {
        self.running = None;
    }

    /// The app that runs.
    #[must_use]
    pub const fn running(&self) -> Option<RunningApp> {
        self.running
    }

    /// The power supply, to plan cuts.
    #[must_use]
    pub const fn power(&self) -> &Power {
        &self.power
    }

    /// The flash chip.
    #[must_use]
    pub const fn flash(&self) -> &NorFlash {
        &self.flash
    }

    /// The flash chip, to make it fail or to rewrite it behind the device's back.
    pub const fn flash_mut(&mut self) -> &mut NorFlash {
        &mut self.flash
    }

    /// The eFuses.
    #[must_use]
    pub const fn efuses(&self) -> &Efuses {
        &self.efuses
    }

    /// The eFuses, to burn them.
    pub const fn efuses_mut(&mut self) -> &mut Efuses {
        &mut self.efuses
    }

    /// How the bootloader was built.
    #[must_use]
    pub const fn settings(&self) -> &BootloaderSettings {
        &self.settings
    }

    /// Replaces the bootloader's build settings.
    pub const fn set_settings(&mut self, settings: BootloaderSettings) {
        self.settings = settings;
    }

    /// Gives the device a clock that the network cannot set, in seconds since 1970; `None` takes it away.
    pub const fn set_trusted_time(&mut self, time: Option<u64>) {
        self.clock = time;
    }

    /// The flash bus with the encryption that the eFuses ask for.
    pub fn bus(&mut self) -> Bus<'_> {
        self.connect_cipher();
        let row = self.efuses.model().encryption_row;
        Bus::new(&mut self.flash, self.cipher.as_ref(), row)
    }

    /// What the running firmware works on; `None` while nothing runs.
    pub fn ports(&mut self) -> Option<Ports<'_>> {
        let running = self.running?;
        let digests = self.trusted_digests(running);
        let row = self.efuses.model().encryption_row;
        Some(Ports {
            flash: FlashPort(Bus::new(&mut self.flash, self.cipher.as_ref(), row)),
            platform: PlatformPort {
                efuses: &self.efuses,
                digests,
                running,
                clock: self.clock,
            },
        })
    }

    /// Digests of the keys that the firmware trusts. Where eFuses hold half of one, the firmware knows
    /// the whole from the signatures of its own image, whose keys agree with that half.
    fn trusted_digests(&mut self, running: RunningApp) -> [Option<Digest>; DIGEST_SLOTS] {
        if !self.efuses.holds_half_digests() {
            return self.efuses.secure_boot_digests();
        }
        let mut digests = [None; DIGEST_SLOTS];
        let mut sector = [0; SECTOR_SIZE];
        let signed = running.image_len.checked_next_multiple_of(SECTOR_LEN);
        let at = signed.and_then(|signed| running.offset.get().checked_add(signed));
        let at = FlashOffset::new(at.unwrap_or(u32::MAX));
        if self.bus().read(at, &mut sector).is_ok() {
            let signatures = SignatureSector::parse(&sector);
            let keys = signatures
                .blocks()
                .filter_map(|(_, block)| block.key_digest());
            let trusted = keys.filter(|key| self.efuses.trusted_slot(key).is_some());
            digests
                .iter_mut()
                .zip(trusted)
                .for_each(|(to, key)| *to = Some(key));
        }
        digests
    }

    /// Bus, eFuses and running app at once, for software that also burns.
    pub(crate) fn firmware(&mut self) -> Option<(Bus<'_>, &mut Efuses, RunningApp)> {
        let running = self.running?;
        let row = self.efuses.model().encryption_row;
        let bus = Bus::new(&mut self.flash, self.cipher.as_ref(), row);
        Some((bus, &mut self.efuses, running))
    }

    fn connect_cipher(&mut self) {
        self.cipher = match self.efuses.flash_encryption() {
            FlashEncryption::Off => None,
            FlashEncryption::Development | FlashEncryption::Release => {
                let config = self.efuses.flash_crypt_config();
                self.efuses
                    .flash_key()
                    .map(|key| FlashCipher::new(&key, config))
            }
        };
    }
}

impl Flash for FlashPort<'_> {
    type Error = NorError;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        self.0.read(at, buffer)
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorError> {
        self.0.replace_sector(at, data)
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), NorError> {
        self.0.erase_sector(at)
    }
}

impl RawFlash for FlashPort<'_> {
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        self.0.read_raw(at, buffer)
    }

    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorError> {
        self.0.erase_sector(at)?;
        self.0.write_raw(at, data)
    }
}

impl FlashFault for NorError {
    fn kind(&self) -> FlashFaultKind {
        match self {
            Self::WriteProtected { .. } => FlashFaultKind::WriteProtected,
            Self::OutOfBounds { .. } | Self::Misaligned { .. } | Self::Geometry { .. } => {
                FlashFaultKind::OutOfRange
            }
            Self::PowerLost(_) => FlashFaultKind::PowerLost,
            Self::File(_) => FlashFaultKind::Hardware,
        }
    }

    fn code(&self) -> u32 {
        self.esp_err().unwrap_or(0)
    }
}

impl Platform for PlatformPort<'_> {
    /// The slot; the test app counts as factory, since neither is ever written.
    fn running_slot(&self) -> Slot {
        match self.running.slot {
            AppSlot::Factory | AppSlot::Test => Slot::Factory,
            AppSlot::Ota(number) => Slot::Ota(number),
        }
    }

    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS] {
        self.digests
    }

    fn secure_version(&self) -> SecurityVersion {
        self.efuses.secure_version()
    }

    fn trusted_time(&mut self) -> Option<u64> {
        self.clock
    }

    /// Random bytes of the host; zeros should it have none, which only bunches polls together.
    fn random(&mut self, buffer: &mut [u8]) {
        if getrandom::fill(buffer).is_err() {
            buffer.fill(0);
        }
    }
}

impl DirectPlatform for PlatformPort<'_> {
    fn flash_scheme(&self) -> Option<FlashScheme> {
        if self.efuses.flash_encryption() == FlashEncryption::Off {
            return None;
        }
        Some(match self.efuses.flash_key()?.scheme() {
            SchemeId::Esp32Aes => FlashScheme::Esp32 {
                crypt_config: self.efuses.flash_crypt_config().get(),
            },
            SchemeId::XtsAes128 => FlashScheme::Xts128,
            SchemeId::XtsAes256 => FlashScheme::Xts256,
        })
    }
}
