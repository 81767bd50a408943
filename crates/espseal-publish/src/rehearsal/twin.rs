//! The rehearsal on a virtual device: factory, update, restart, confirmation, restart.
//!
//! The virtual device has the fleet's partition table, the fleet's secure boot digests in eFuse and a
//! flash encryption key of its own. It leaves the factory with the very image that is to be
//! released, so that the image proves both that it boots and that it can be updated to.

use std::fmt::Display;

use espseal_agent::agent::{Agent, BootOutcome, Parts, UpdateOutcome};
use espseal_agent::config::{Config, Floors, Layout, Policy, Region, SignatureRule};
use espseal_agent::crypto::SoftwareCrypto;
use espseal_agent::device_key::DeviceKey;
use espseal_agent::observer::Silent;
use espseal_agent::platform::Slot;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::ecies::HmacKey;
use espseal_crypto::epoch::{EpochKey, OpenFailed};
use espseal_crypto::es256::SigningFailed;
use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::Chip;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::partition_table::{Entry, PartitionTable, PartitionType, Subtype};
use espseal_format::units::{DeviceId, Digest, FlashOffset, KeyId, Position, Product};
use espseal_format::wrap::ShardEntry;
use espseal_twin::any_scheme::AnyScheme;
use espseal_twin::boot::{
    AntiRollback, AppSlot, BootloaderSettings, EncryptionMode, SecureBootSupport,
};
use espseal_twin::device::{FlashPort, PlatformPort, Ports, VirtualDevice};
use espseal_twin::efuse::{Efuses, Mac};
use espseal_twin::factory::{
    FactoryDevice, FactoryPlan, FlashLock, Locking, SecureBootLock, Security,
};
use espseal_twin::folder::FolderTransport;
use espseal_twin::nor::NorFlash;
use rand_core::Rng as _;

mod esp_idf;

use esp_idf::burn_hmac_key;

use super::{Exhibit, Rehearsal, RehearsalFailed, Rehearsed, images, repository};
use crate::authority::random;
use crate::files::{self, FileError};
use crate::image_signing::{ImageKind, sign_image};
use crate::keys::KeyError;
use crate::secure_boot_key::SecureBootKey;

/// Smallest and largest flash chip.
const FLASH_SIZES: [usize; 4] = [2 << 20, 4 << 20, 8 << 20, 16 << 20];
/// A locally administered MAC address: no real device has it.
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// Rehearses on a virtual device.
#[derive(Clone, Copy, Debug, Default)]
pub struct TwinRehearsal;

impl Rehearsal for TwinRehearsal {
    fn rehearse(&self, exhibit: &Exhibit<'_>) -> Result<Rehearsed, RehearsalFailed> {
        let stage = Stage { exhibit };
        let drawn = stage.draw_flash_key()?;
        let (made, settings, table) = stage.make_device(&drawn, FlashCryptConfig::DEFAULT, None)?;
        let mut device = stage.switch_ready(made, settings)?;
        let mut log = Vec::new();
        let running = stage.boot(&mut device, &mut log, "starting it from the factory")?;
        log.push(format!("boots from {running} after the factory"));
        stage.update_esp_idf(&mut log)?;
        match journal(&table) {
            Some(at) => {
                stage.update(&mut device, &table, at, Way::Sealed, &mut log)?;
                if let Some(direct) = exhibit.direct {
                    let (key, config) = (&direct.key.key, direct.key.config);
                    let (made, settings, table) = stage.make_device(key, config, None)?;
                    let mut device = stage.switch_ready(made, settings)?;
                    stage.boot(&mut device, &mut log, "starting the one for direct images")?;
                    let way = Way::Direct(direct.device);
                    stage.update(&mut device, &table, at, way, &mut log)?;
                }
            }
            None if exhibit.agents > 0 => {
                return Err(stage.failed(
                    "looking for the agent's journal",
                    "the partition table has no data partition of subtype 0x40",
                ));
            }
            None => log.push("no journal partition: only booting was rehearsed".into()),
        }
        Ok(Rehearsed { log })
    }
}

/// One rehearsal.
struct Stage<'a> {
    exhibit: &'a Exhibit<'a>,
}

impl Stage<'_> {
    fn failed(&self, step: &'static str, found: impl Display) -> RehearsalFailed {
        RehearsalFailed {
            chip: self.exhibit.image.chip(),
            step,
            found: found.to_string(),
        }
    }

    /// Draws a flash encryption key of the first kind that the fleet's chip knows.
    fn draw_flash_key(&self) -> Result<FlashKey, RehearsalFailed> {
        draw_flash_key(self.exhibit.fleet.chip).ok_or_else(|| {
            let found = "the chip has no flash encryption";
            self.failed("making a virtual device", found)
        })
    }

    /// Makes a device with these flash encryption eFuses, and with a key in an eFuse of its HMAC
    /// peripheral.
    fn make_device(
        &self,
        flash_key: &FlashKey,
        config: FlashCryptConfig,
        hmac_key: Option<&HmacKey>,
    ) -> Result<(FactoryDevice, BootloaderSettings, PartitionTable), RehearsalFailed> {
        let step = "making a virtual device";
        let fleet = self.exhibit.fleet;
        let mut table = fleet.partitions.clone();
        // A fallback app is no part of the rehearsal: the device shall run what is released.
        table
            .entries
            .retain(|entry| entry.kind != PartitionType::App || entry.subtype.is_ota());
        let first = table
            .app_slots()
            .first()
            .map(|slot| slot.label.to_string())
            .ok_or_else(|| self.failed(step, "no app slot"))?;
        let end = table
            .entries
            .iter()
            .filter_map(Entry::end)
            .map(|end| end.get() as usize)
            .max()
            .unwrap_or(0);
        let flash_size = FLASH_SIZES
            .into_iter()
            .find(|size| *size >= end)
            .ok_or_else(|| self.failed(step, "the partitions need more than 16 MB"))?;
        let silicon = images::silicon(self.exhibit.image.bytes());
        let silicon = silicon
            .filter(|silicon| silicon.id == fleet.chip.id)
            .unwrap_or(fleet.chip);
        let bootloader = self.bootloader(silicon)?;
        let scheme = self.exhibit.image.scheme();
        let locking = Locking {
            flash_encryption: Some(FlashLock {
                key: flash_key,
                mode: EncryptionMode::Release,
                config,
            }),
            secure_boot: Some(SecureBootLock::V2 {
                scheme,
                digests: &fleet.secure_boot_digests,
            }),
        };
        let mut efuses = Efuses::as_shipped(silicon.id, Some(silicon.usual_revision), MAC)
            .map_err(|error| self.failed(step, error))?;
        if let Some(key) = hmac_key {
            burn_hmac_key(&mut efuses, key).map_err(|error| self.failed(step, error))?;
        }
        let made = FactoryPlan {
            chip: fleet.chip.id,
            mac: MAC,
            flash_size,
            bootloader: &bootloader,
            table_offset: FlashOffset::new(fleet.partition_table_offset),
            table: &table,
            contents: &[(&first, self.exhibit.image.bytes())],
            security: match fleet.has_secure_boot() {
                false => Security::Open,
                true => Security::Locked(&locking),
            },
        }
        .build_on(efuses)
        .map_err(|error| self.failed(step, error))?;
        let settings = BootloaderSettings {
            partition_table: FlashOffset::new(fleet.partition_table_offset),
            anti_rollback: match self.exhibit.manifest.secure_version.get() {
                0 => AntiRollback::Disabled,
                _ => AntiRollback::Enabled,
            },
            secure_boot: match fleet.has_secure_boot() {
                true => SecureBootSupport::V2(scheme),
                false => SecureBootSupport::Absent,
            },
            ..BootloaderSettings::default()
        };
        Ok((made, settings, table))
    }

    /// A device as it left the factory, switched off.
    fn switch_ready(
        &self,
        made: FactoryDevice,
        settings: BootloaderSettings,
    ) -> Result<VirtualDevice, RehearsalFailed> {
        let flash = NorFlash::from_bytes(made.flash)
            .map_err(|error| self.failed("making a virtual device", error))?;
        let mut device = VirtualDevice::new(flash, made.efuses, settings);
        device.set_trusted_time(Some(self.exhibit.time));
        Ok(device)
    }

    /// The fleet's bootloader, or a place holder signed with the project's own key.
    fn bootloader(&self, silicon: &Chip) -> Result<Vec<u8>, RehearsalFailed> {
        let step = "preparing its bootloader";
        let fleet = self.exhibit.fleet;
        if let Some(path) = &fleet.bootloader {
            return files::read(path, "a signed bootloader", 1 << 20)
                .map_err(|error| self.failed(step, error));
        }
        let place_holder = images::bootloader(silicon);
        if !fleet.has_secure_boot() {
            return Ok(place_holder);
        }
        let path = self.exhibit.project.file("keys/secure-boot.pem");
        let key = match SecureBootKey::load(&path) {
            Ok(key) => Some(key),
            Err(KeyError::File(FileError::Read { cause, .. }))
                if cause.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(self.failed(step, error)),
        };
        let trusted = key.filter(|key| fleet.secure_boot_digests.contains(&key.digest()));
        let key = trusted.ok_or_else(|| {
            let missing = "no bootloader that its secure boot accepts: name the fleet's signed \
                           bootloader as `bootloader` under [[chip]] in espseal.toml";
            self.failed(step, missing)
        })?;
        sign_image(&path, &place_holder, ImageKind::Bootloader, &[&key])
            .map(|signed| signed.bytes)
            .map_err(|error| self.failed(step, error))
    }

    /// Switches the device on and returns the slot that runs.
    fn boot(
        &self,
        device: &mut VirtualDevice,
        log: &mut Vec<String>,
        step: &'static str,
    ) -> Result<AppSlot, RehearsalFailed> {
        let report = device.power_on();
        log.extend(report.log.lines().iter().map(ToString::to_string));
        report
            .running()
            .map(|app| app.slot)
            .ok_or_else(|| self.failed(step, report.log.to_string().trim_end()))
    }

    /// Updates, restarts, confirms, and restarts again.
    fn update(
        &self,
        device: &mut VirtualDevice,
        table: &PartitionTable,
        journal: FlashOffset,
        way: Way,
        log: &mut Vec<String>,
    ) -> Result<(), RehearsalFailed> {
        let step = "setting up its repository";
        let folder = tempfile::tempdir().map_err(|error| self.failed(step, error))?;
        let keys = SoftwareDeviceKey::generate(&mut random());
        let root = repository::fill(folder.path(), self.exhibit, &keys)
            .map_err(|error| self.failed(step, error))?;
        let mut player = Player {
            stage: self,
            config: self.config(table, journal, &root)?,
            keys: Keys {
                id: match way {
                    Way::Sealed => keys.device_id(),
                    Way::Direct(device) => device,
                },
                own: keys,
            },
            repository: folder.path().join("repository"),
        };

        let outcome = player.act(device, "updating", |agent| {
            agent.on_boot().map_err(|error| error.to_string())?;
            match way {
                Way::Sealed => agent.update(),
                Way::Direct(_) => agent.update_direct(),
            }
            .map_err(|error| error.to_string())
        })?;
        let UpdateOutcome::RestartToBoot { slot } = outcome else {
            return Err(self.failed("updating", format!("it answered {outcome:?}")));
        };
        let step = "restarting into the release";
        let running = self.boot(device, log, step)?;
        if Slot::Ota(1) != slot || running != AppSlot::Ota(1) {
            return Err(self.failed(step, format!("{running} runs, {slot} was activated")));
        }
        log.push(format!("boots the release from {running}"));
        player.act(device, "confirming the release", |agent| {
            match agent.on_boot().map_err(|error| error.to_string())? {
                BootOutcome::AwaitingConfirmation { .. } => {}
                other => return Err(format!("it found {other:?}")),
            }
            agent.confirm().map_err(|error| error.to_string())
        })?;
        let step = "restarting after the confirmation";
        let running = self.boot(device, log, step)?;
        if running != AppSlot::Ota(1) {
            return Err(self.failed(step, format!("{running} runs")));
        }
        log.push(match way {
            Way::Sealed => {
                format!("updated, confirmed, and still boots from {running} after a restart")
            }
            Way::Direct(device) => format!(
                "updated by the direct image of {device} with its flash key, confirmed, and still \
                 boots from {running} after a restart"
            ),
        });
        Ok(())
    }

    fn config<'a>(
        &self,
        table: &PartitionTable,
        journal: FlashOffset,
        root: &'a [u8],
    ) -> Result<Config<'a>, RehearsalFailed> {
        let exhibit = self.exhibit;
        let otadata = table
            .otadata()
            .ok_or_else(|| self.failed("reading its partition table", "there is no otadata"))?;
        Ok(Config {
            product: exhibit.project.product,
            vendor: VendorId(exhibit.project.vendor),
            class: ClassId(exhibit.project.class),
            chip: exhibit.image.chip(),
            channel: exhibit.channel.name.clone(),
            group: exhibit.channel.group,
            built_in_root: root,
            floors: Floors {
                installed: Position {
                    generation: exhibit.position.generation,
                    version: exhibit.manifest.min_seq,
                },
                ..Floors::default()
            },
            layout: Layout {
                factory: None,
                slots: table
                    .app_slots()
                    .iter()
                    .map(|slot| Region {
                        offset: slot.offset,
                        size: slot.size,
                    })
                    .collect(),
                otadata: otadata.offset,
                journal,
            },
            policy: Policy {
                signature: match exhibit.fleet.has_secure_boot() {
                    true => SignatureRule::Required,
                    false => SignatureRule::WhenBurnt,
                },
                ..Policy::default()
            },
        })
    }
}

/// How the release comes to the virtual device.
#[derive(Clone, Copy)]
enum Way {
    /// Sealed for everybody.
    Sealed,
    /// As ciphertext for the flash of this device.
    Direct(DeviceId),
}

/// The virtual device's keys, under the name of the device that it stands for.
struct Keys {
    own: SoftwareDeviceKey,
    id: DeviceId,
}

impl DeviceKey for Keys {
    fn device_id(&self) -> DeviceId {
        self.id
    }

    fn open_epoch_key(
        &mut self,
        product: &Product,
        group: u32,
        epoch: u32,
        entry: &ShardEntry,
    ) -> Result<EpochKey, OpenFailed> {
        self.own.open_epoch_key(product, group, epoch, entry)
    }

    fn report_key_id(&self) -> KeyId {
        KeyId::of(&self.own.report_key())
    }

    fn sign_report(&mut self, digest: &Digest) -> Result<[u8; 64], SigningFailed> {
        self.own.sign_report(digest)
    }
}

/// The agent on the virtual device.
struct Player<'a> {
    stage: &'a Stage<'a>,
    config: Config<'a>,
    keys: Keys,
    repository: std::path::PathBuf,
}

/// The agent as the virtual device runs it.
type TwinAgent<'a> = Agent<
    'a,
    FlashPort<'a>,
    FolderTransport,
    &'a mut Keys,
    PlatformPort<'a>,
    Silent,
    SoftwareCrypto<AnyScheme>,
>;

impl Player<'_> {
    fn act<A>(
        &mut self,
        device: &mut VirtualDevice,
        step: &'static str,
        act: impl FnOnce(&mut TwinAgent<'_>) -> Result<A, String>,
    ) -> Result<A, RehearsalFailed> {
        let failed = |found: String| self.stage.failed(step, found);
        let Ports { flash, platform } = device
            .ports()
            .ok_or_else(|| failed("nothing runs".into()))?;
        let parts = Parts {
            flash,
            transport: FolderTransport::new(&self.repository),
            key: &mut self.keys,
            platform,
            observer: Silent,
        };
        let mut workspace = Workspace::new();
        let mut agent =
            Agent::with_crypto(parts, SoftwareCrypto::new(), &self.config, &mut workspace)
                .map_err(|error| failed(format!("{error:?}")))?;
        act(&mut agent).map_err(failed)
    }
}

fn journal(table: &PartitionTable) -> Option<FlashOffset> {
    table
        .find(PartitionType::Data, Subtype::DATA_ESPSEAL)
        .map(|entry| entry.offset)
}

/// Draws a key of the first kind that the chip knows.
fn draw_flash_key(chip: &Chip) -> Option<FlashKey> {
    let kind = chip.flash_encryption.first()?;
    let mut key = [0; 64];
    let key = key.get_mut(..kind.length)?;
    random().fill_bytes(key);
    FlashKey::from_file(kind.scheme, key).ok()
}
