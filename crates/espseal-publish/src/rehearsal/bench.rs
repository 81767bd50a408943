//! The finished device of a product, to be copied for each case and maltreated.

use espseal_crypto::flash_key::KeyLengthError;
use espseal_format::chip::Chip;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::boot::{BootFailure, BootOutcome, BootReport, RunningApp};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{CodingScheme, EfuseError, Efuses, Mac};
use espseal_twin::factory::{FactoryError, FactoryPlan, Security, StepFailed};
use espseal_twin::nor::{NorError, NorFlash};

use super::product::{NoSuchChip, Product, Provisioning};
use super::signer::Strangers;
use crate::keys::KeyError;
use crate::secure_boot_key::SecureBootKey;

/// A locally administered MAC address: no real device has it.
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// A product and its finished device.
pub(super) struct Bench<'a> {
    pub product: &'a Product,
    pub chip: &'static Chip,
    /// Flash and eFuses as they leave the factory.
    factory: (Vec<u8>, Efuses),
    /// The same once the device has booted twice.
    finished: (Vec<u8>, Efuses),
    strangers: &'a Strangers,
}

/// How the release itself boots.
#[derive(Debug)]
pub(super) struct FirstBoots {
    /// The first and the second time the device is switched on.
    pub reports: [BootReport; 2],
    /// What runs in the end.
    pub running: Option<RunningApp>,
}

/// Why a product does not even come out of the factory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// espseal has no table for the chip.
    #[error(transparent)]
    Chip(#[from] NoSuchChip),
    /// The plan cannot be carried out.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// A burn fails.
    #[error(transparent)]
    Step(#[from] StepFailed),
    /// The flash does not take an operation.
    #[error(transparent)]
    Flash(#[from] NorError),
    /// A key cannot be drawn for the chip.
    #[error(transparent)]
    FlashKey(#[from] KeyLengthError),
    /// The eFuses refuse.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
    /// A stranger's key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The release's own image cannot be taken apart.
    #[error("the image in {label} cannot be read as a signed app")]
    Image {
        /// Label of its partition.
        label: String,
    },
}

impl<'a> Bench<'a> {
    /// Makes the device and boots it twice.
    pub(super) fn set_up(
        product: &'a Product,
        strangers: &'a Strangers,
    ) -> Result<(Self, FirstBoots), BenchError> {
        let chip = product.chip()?;
        let locking = product.locking();
        let contents: Vec<_> = product
            .contents
            .iter()
            .map(|content| (content.label.as_str(), content.bytes.as_slice()))
            .collect();
        let made = FactoryPlan {
            chip: product.chip,
            mac: MAC,
            flash_size: product.flash_size(),
            bootloader: &product.bootloader,
            table_offset: product.table_offset,
            table: &product.table,
            contents: &contents,
            security: match product.provisioning {
                Provisioning::PreEncrypted => Security::Locked(&locking),
                Provisioning::FirstBoot => Security::Open,
            },
        }
        .build_on(shipped(product)?)?;
        let mut bench = Self {
            product,
            chip,
            finished: (made.flash.clone(), made.efuses.clone()),
            factory: (made.flash, made.efuses),
            strangers,
        };
        let mut device = bench.fresh()?;
        let reports = [device.power_on(), device.power_on()];
        let running = device.running();
        bench.finished = (device.flash().contents().to_vec(), device.efuses().clone());
        Ok((bench, FirstBoots { reports, running }))
    }

    /// A device as it leaves the factory.
    pub(super) fn fresh(&self) -> Result<VirtualDevice, BenchError> {
        self.assemble(&self.factory.0, self.factory.1.clone())
    }

    /// A device that is done with its first boots.
    pub(super) fn device(&self) -> Result<VirtualDevice, BenchError> {
        self.assemble(&self.finished.0, self.finished.1.clone())
    }

    /// A finished device with another flash.
    pub(super) fn with_flash(&self, flash: &[u8]) -> Result<VirtualDevice, BenchError> {
        self.assemble(flash, self.finished.1.clone())
    }

    /// A device with the finished flash and other eFuses.
    pub(super) fn with_efuses(&self, efuses: Efuses) -> Result<VirtualDevice, BenchError> {
        self.assemble(&self.finished.0, efuses)
    }

    /// The eFuses of a chip out of the box.
    pub(super) fn shipped(&self) -> Result<Efuses, BenchError> {
        shipped(self.product)
    }

    /// Flash and eFuses as they leave the factory.
    pub(super) const fn factory(&self) -> &(Vec<u8>, Efuses) {
        &self.factory
    }

    /// Flash and eFuses once the device has booted.
    pub(super) const fn finished(&self) -> &(Vec<u8>, Efuses) {
        &self.finished
    }

    /// A key that the device does not know, of the product's scheme.
    pub(super) fn stranger(
        &self,
        scheme: SignatureScheme,
    ) -> Result<&'a SecureBootKey, BenchError> {
        Ok(self.strangers.key(scheme)?)
    }

    fn assemble(&self, flash: &[u8], efuses: Efuses) -> Result<VirtualDevice, BenchError> {
        let flash = NorFlash::from_bytes(flash.to_vec())?;
        Ok(VirtualDevice::new(flash, efuses, self.product.settings))
    }

    /// The image of the app that the release boots.
    pub(super) fn app(&self) -> Option<&'a [u8]> {
        let label = self.app_label()?;
        let mut contents = self.product.contents.iter();
        let content = contents.find(|content| content.label == label)?;
        Some(&content.bytes)
    }

    /// Label of the partition that the release boots from: the first that holds an app.
    fn app_label(&self) -> Option<String> {
        self.product
            .app_partitions()
            .map(|entry| entry.label.to_string())
            .find(|label| {
                let mut contents = self.product.contents.iter();
                contents.any(|content| content.label == *label)
            })
    }

    /// Leaves nothing in the app partitions but this image, written as an update writes it.
    pub(super) fn install_alone(
        &self,
        device: &mut VirtualDevice,
        running: RunningApp,
        image: &[u8],
    ) -> Result<(), BenchError> {
        self.erase_apps(device)?;
        write(device, running.offset, image)
    }

    /// Erases every app partition.
    pub(super) fn erase_apps(&self, device: &mut VirtualDevice) -> Result<(), BenchError> {
        for entry in self.product.app_partitions() {
            let start = entry.offset.get();
            let end = start.saturating_add(entry.size);
            for at in (start..end).step_by(SECTOR_SIZE) {
                device.flash_mut().erase_sector(FlashOffset::new(at))?;
            }
        }
        Ok(())
    }
}

/// The eFuses of the product's chip out of the box.
fn shipped(product: &Product) -> Result<Efuses, BenchError> {
    let mut efuses = Efuses::as_shipped(product.chip, product.revision, MAC)?;
    if product.coding == CodingScheme::ThreeQuarters {
        efuses.burn("CODING_SCHEME", 1)?;
    }
    Ok(efuses)
}

/// Writes through flash encryption, sector by sector.
pub(super) fn write(
    device: &mut VirtualDevice,
    at: FlashOffset,
    bytes: &[u8],
) -> Result<(), BenchError> {
    let mut bus = device.bus();
    for (at, sector) in sectors(at, bytes) {
        bus.replace_sector(at, &sector)?;
    }
    Ok(())
}

/// Writes around flash encryption, sector by sector.
pub(super) fn write_raw(
    device: &mut VirtualDevice,
    at: FlashOffset,
    bytes: &[u8],
) -> Result<(), BenchError> {
    let mut bus = device.bus();
    for (at, sector) in sectors(at, bytes) {
        bus.erase_sector(at)?;
        bus.write_raw(at, &sector)?;
    }
    Ok(())
}

fn sectors(
    at: FlashOffset,
    bytes: &[u8],
) -> impl Iterator<Item = (FlashOffset, [u8; SECTOR_SIZE])> + '_ {
    let starts = (at.get()..).step_by(SECTOR_SIZE).map(FlashOffset::new);
    starts.zip(bytes.chunks(SECTOR_SIZE)).map(|(at, part)| {
        let mut sector = [0xFF; SECTOR_SIZE];
        sector
            .iter_mut()
            .zip(part)
            .for_each(|(to, from)| *to = *from);
        (at, sector)
    })
}

/// Why a boot failed; `None` when it did not.
pub(super) const fn failure(report: &BootReport) -> Option<BootFailure> {
    match report.outcome {
        BootOutcome::Failed(failure) => Some(failure),
        BootOutcome::Running(_) | BootOutcome::PowerLost => None,
    }
}
