//! One product: keys, three signed releases, one device, published with the real publish code.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use emulated::device::{Firmware, SLOTS};
use espseal_agent::config::{Layout, Region};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::metadata::releases::OfferState;
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::{ChannelName, Digest, FlashOffset, Position, Product as ProductId};
use espseal_publish::authority::Authority;
use espseal_publish::creation::{self, NewProject, SecureBootSource};
use espseal_publish::enrolment::{Device, Recipient, Standing};
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::TwinRehearsal;
use espseal_publish::release::{PublishRequest, Published, RepositoryState};
use espseal_publish::secure_boot_key::SecureBootKey;
use espseal_twin::efuse::{Efuses, Mac};
use espseal_twin::factory::{FactoryPlan, Security};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::image;

/// Bytes of flash that the device uses; the emulated chip has 32 MB.
pub(crate) const FLASH_SIZE: usize = 0x10_0000;
/// Bytes of read-only data: with padding and signature the image has 17 chunks.
const APP_LENGTH: usize = 50_000;
/// Where most of an update's flash operations are: [`Product::place`].
pub(crate) const CHUNKS: &str = "chunks";
const CHANNEL: &str = "production";
const TABLE_OFFSET: FlashOffset = FlashOffset::new(0x8000);
const TABLE: &str = "\
nvs,      data, nvs,   0x9000,  0x4000,
otadata,  data, ota,   0xd000,  0x2000,
espseal,  data, 0x40,  0xf000,  0x4000, encrypted
ota_0,    app,  ota_0, 0x20000, 0x20000,
ota_1,    app,  ota_1, 0x40000, 0x20000,
";

/// A product with one device.
pub(crate) struct Product {
    pub(crate) folder: PathBuf,
    /// The flash chip as it leaves the factory, with release 1.
    pub(crate) flash: Vec<u8>,
    pub(crate) efuses: Efuses,
    pub(crate) flash_key: Zeroizing<[u8; 32]>,
    pub(crate) device_key: Zeroizing<[u8; 64]>,
    /// The releases, signed.
    pub(crate) releases: [Vec<u8>; 3],
    /// The repository after release 2, and after release 3.
    pub(crate) repositories: [PathBuf; 2],
    /// The sealed body of release 2.
    pub(crate) body: Digest,
    pub(crate) body_length: u32,
    id: ProductId,
    vendor: VendorId,
    class: ClassId,
    channel: ChannelName,
    group: u32,
    installed: Position,
    layout: Layout,
    root: Vec<u8>,
}

impl Product {
    /// Makes keys, images and a device in `folder`, and publishes all releases.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let project = folder.join("project");
        let new = NewProject {
            name: "emulated".into(),
            chips: vec![ChipId::Esp32C3],
            channels: vec![CHANNEL.into()],
            base_url: "https://localhost".into(),
            secure_boot: SecureBootSource::NewKey,
            root_keys: 1,
            root_threshold: 1,
        };
        creation::create(&project, &new, now()?, &Unwatched)?;
        let table_file = project.join("partitions/esp32c3.csv");
        fs::write(&table_file, TABLE)
            .with_context(|| format!("cannot write {}", table_file.display()))?;
        let signer = SecureBootKey::load(&project.join("keys/secure-boot.pem"))?;
        let releases = [
            sign(folder, "1.0.0", &signer)?,
            sign(folder, "2.0.0", &signer)?,
            sign(folder, "3.0.0", &signer)?,
        ];
        let mut authority = Authority::open(&project, &Unwatched)?;
        let keys = SoftwareDeviceKey::generate(&mut UnwrapErr(SysRng));
        enrol(&mut authority, &keys)?;
        let [(first, _), (second, _), (third, _)] = &releases;
        let installed = publish(&mut authority, first)?.position;
        let published = publish(&mut authority, second)?;
        let repositories = [
            folder.join("repository-2"),
            authority.project().repository(),
        ];
        let [after_second, last] = &repositories;
        copy_folder(last, after_second)?;
        publish(&mut authority, third)?;
        let releases = releases.map(|(_, bytes)| bytes);
        let table =
            PartitionTable::parse_csv(TABLE, TABLE_OFFSET).context("the partition table")?;
        let mut flash_key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *flash_key).context("no random numbers")?;
        let (flash, efuses) = manufacture(&table, &releases, &signer, &flash_key)?;
        let root = project.join("roots/1.cose");
        let root = fs::read(&root).with_context(|| format!("cannot read {}", root.display()))?;
        let project = authority.project();
        let channel = project.channel(CHANNEL)?;
        Ok(Self {
            flash,
            efuses,
            flash_key,
            device_key: keys.expose_secret(),
            body: published.body,
            body_length: published.body_length,
            releases,
            repositories,
            id: project.product,
            vendor: VendorId(project.vendor),
            class: ClassId(project.class),
            channel: channel.name.clone(),
            group: channel.group,
            installed,
            layout: Layout::from_table(&table).context("the partition table")?,
            root,
            folder: project.folder().into(),
        })
    }

    /// What the device's firmware is configured for.
    pub(crate) fn firmware(&self) -> Result<Firmware<'_>> {
        let slots: [Region; SLOTS] = self
            .layout
            .slots
            .as_slice()
            .try_into()
            .context("the partition table has two app slots")?;
        Ok(Firmware {
            product: self.id,
            vendor: self.vendor,
            class: self.class,
            chip: ChipId::Esp32C3,
            channel: self.channel.clone(),
            group: self.group,
            installed: self.installed,
            flash_size: u32::try_from(FLASH_SIZE)?,
            otadata: self.layout.otadata,
            journal: self.layout.journal,
            slots,
            root: &self.root,
        })
    }

    /// First byte of the slot that the factory fills.
    pub(crate) fn factory_slot(&self) -> Result<FlashOffset> {
        let slot = self.layout.slots.first();
        Ok(slot.context("the partition table has a slot")?.offset)
    }

    /// Name of a stretch of flash, for people.
    pub(crate) fn place(&self, at: u32) -> &'static str {
        let behind = |start: FlashOffset| at.checked_sub(start.get());
        if behind(self.layout.otadata).is_some_and(|at| at < 0x2000) {
            return "otadata";
        }
        if behind(self.layout.journal).is_some_and(|at| at < 0x4000) {
            return "journal";
        }
        // Only the slot that does not run is ever written.
        let within = |slot: &Region| behind(slot.offset).filter(|at| *at < slot.size);
        match self.layout.slots.iter().find_map(within) {
            Some(0..0x1000) => "chunk 0",
            Some(_) => CHUNKS,
            None => "elsewhere",
        }
    }
}

/// Copies a folder with all that is below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy to {}", target.display()))?;
        }
    }
    Ok(())
}

/// Makes and signs one release; returns its file and its bytes.
fn sign(folder: &Path, version: &str, key: &SecureBootKey) -> Result<(PathBuf, Vec<u8>)> {
    let file = folder.join(format!("{version}.bin"));
    let image = image::app(version, APP_LENGTH)?;
    let signed = sign_image(&file, &image, ImageKind::App, &[key])?.bytes;
    fs::write(&file, &signed).with_context(|| format!("cannot write {}", file.display()))?;
    Ok((file, signed))
}

fn enrol(authority: &mut Authority, keys: &SoftwareDeviceKey) -> Result<()> {
    let device = Device {
        id: keys.device_id(),
        chip: ChipId::Esp32C3,
        channel: authority.project().channel(CHANNEL)?.name.clone(),
        recipient: Recipient::Agent {
            encryption: *keys.public_key(),
            report: keys.report_key(),
        },
        standing: Standing::Enrolled,
    };
    authority.enrol(device, &Unwatched)?;
    Ok(())
}

fn publish(authority: &mut Authority, app: &Path) -> Result<Published> {
    let request = PublishRequest {
        app: app.into(),
        channel: CHANNEL.into(),
        ppm: Ppm::ALL,
        state: OfferState::Active,
        seq: None,
        min_seq: 0,
        repository: RepositoryState::Existing,
        direct: None,
    };
    Ok(authority.publish(&request, now()?, &TwinRehearsal, &Unwatched)?)
}

/// What the factory makes: locked, with release 1.
fn manufacture(
    table: &PartitionTable,
    [first, ..]: &[Vec<u8>; 3],
    signer: &SecureBootKey,
    flash_key: &[u8; 32],
) -> Result<(Vec<u8>, Efuses)> {
    let bootloader = sign_image(
        Path::new("bootloader"),
        &image::bootloader()?,
        ImageKind::Bootloader,
        &[signer],
    )?;
    let made = FactoryPlan {
        chip: ChipId::Esp32C3,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: FLASH_SIZE,
        bootloader: &bootloader.bytes,
        table_offset: TABLE_OFFSET,
        table,
        contents: &[("ota_0", first)],
        security: Security::Release {
            flash_key: &FlashKey::Xts128(*flash_key),
            digests: &[signer.digest()],
            hmac_key: None,
        },
    }
    .build()?;
    Ok((made.flash, made.efuses))
}

/// Seconds since 1970.
fn now() -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(now
        .context("this machine's clock is before 1970; set it right")?
        .as_secs())
}
