//! What all devices of a batch share: checked, planned, laid out, and tried out on a virtual device before
//! the first real one is made.

use std::fmt;
use std::path::PathBuf;

use espseal_crypto::flash_encryption::{FlashCipher, FlashKey};
use espseal_crypto::nvs_encryption::{NvsCipher, NvsKeys};
use espseal_format::chip::{Chip, HmacPeripheral};
use espseal_format::partition_table::{Entry, PartitionType, Subtype};
use espseal_format::units::{ChannelName, Digest, FlashOffset, SECTOR_SIZE};
use espseal_twin::efuse::{CodingScheme, Efuses, Mac};
use espseal_twin::factory::{FactoryPlan, Plaintext, Security};
use zeroize::Zeroizing;

use super::cores::on_all_cores;
use super::error::MakeError;
use super::identity::{Identity, SEED_LEN};
use super::order::Order;
use crate::efuse_plan::apply::Material;
use crate::efuse_plan::plan::{KeyName, Plan, plan};
use crate::efuse_plan::present::Present;
use crate::efuse_plan::wish::{FlashEncryptionWish, SecureBootWish, Wish};
use crate::files;
use crate::image_check::check_image;
use crate::nvs;
use crate::nvs::image::Version;
use crate::nvs::source::Source;
use crate::observer::{Observer, Stage};
use crate::project::{Fleet, Project, names};

mod trial;

/// Largest bootloader or app.
const LARGEST_IMAGE: u64 = 128 << 20;
/// Sizes of flash chips.
const FLASH_SIZES: [usize; 8] = [
    1 << 20,
    2 << 20,
    4 << 20,
    8 << 20,
    16 << 20,
    32 << 20,
    64 << 20,
    128 << 20,
];
/// Label of the partition that keeps a device's keys on a chip without HMAC peripheral.
const KEY_PARTITION: &str = "device_key";
/// Address of a chip that nobody has.
const NOBODY: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// What is to be made.
#[derive(Debug)]
pub struct Request<'a> {
    /// The project.
    pub project: &'a Project,
    /// The fleet that the devices join.
    pub fleet: &'a Fleet,
    /// The channel that they follow; the only one of the chip when left out.
    pub channel: Option<&'a str>,
    /// Whether they are to be enrolled, so that they need a key of their own.
    pub enrols: bool,
    /// Revision of the chips, `major * 100 + minor`; that of chips that are sold when left out.
    pub revision: Option<u16>,
    /// Further partitions by label.
    pub data: Vec<(String, Vec<u8>)>,
    /// CSV files with the NVS values that all devices share.
    pub nvs: Vec<PathBuf>,
    /// Whether devices have NVS values of their own.
    pub has_values: bool,
    /// Whether NVS is encrypted with keys that the device derives from its HMAC key.
    pub nvs_hmac: bool,
}

/// A production line: everything that devices share.
pub struct Line {
    chip: &'static Chip,
    wish: Wish,
    revision: Option<u16>,
    channel: Option<ChannelName>,
    template: Plaintext,
    nvs: Option<NvsPart>,
    nvs_keys: Option<usize>,
    key: KeyPlace,
    plan: Plan,
}

/// The NVS partition of every device.
struct NvsPart {
    offset: usize,
    source: Source,
    hmac: bool,
}

/// Where a device has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyPlace {
    /// It has none.
    None,
    /// In its HMAC peripheral.
    Hmac,
    /// In encrypted flash, at this offset.
    Flash(usize),
}

/// One device: its secrets, and its public halves. Its image is where [`Line::make`] was told to put it.
/// Prints nothing secret.
#[derive(Debug)]
pub struct Made {
    /// The flash encryption key.
    pub flash_key: Option<FlashKey>,
    /// The device's own keys.
    pub identity: Option<Identity>,
    hmac_key: Option<Secret>,
    jtag_key: Option<Secret>,
}

/// An eFuse key of the HMAC peripheral.
struct Secret(Zeroizing<[u8; SEED_LEN]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Made {
    /// The secret keys that its eFuse plan burns, as key files have them.
    #[must_use]
    pub fn key_files(&self) -> Vec<(KeyName, &[u8])> {
        let mut all: Vec<(KeyName, &[u8])> = Vec::new();
        all.extend(
            self.flash_key
                .iter()
                .map(|key| (KeyName::Flash, key.file())),
        );
        all.extend(
            self.hmac_key
                .iter()
                .map(|key| (KeyName::Device, &key.0[..])),
        );
        all.extend(self.jtag_key.iter().map(|key| (KeyName::Jtag, &key.0[..])));
        all
    }

    /// The same, to carry its plan out on a virtual chip.
    #[must_use]
    pub fn material(&self, plan: &Plan) -> Material {
        let empty = Material::default().with_digests(&plan.digests);
        self.key_files()
            .into_iter()
            .fold(empty, |all, (name, key)| {
                all.with(name, Zeroizing::new(key.to_vec()))
            })
    }
}

impl Line {
    /// Reads and checks what devices share, and boots one on the twin.
    ///
    /// # Errors
    /// [`MakeError`] for the first thing that is wrong.
    pub fn set_up(request: &Request<'_>) -> Result<Self, MakeError> {
        let fleet = request.fleet;
        let chip = fleet.chip;
        let wish = fleet
            .security
            .clone()
            .ok_or(MakeError::NoSecurity { chip: chip.id })?;
        match (&wish.secure_boot, fleet.has_secure_boot()) {
            (Some(SecureBootWish::V1), _) => return Err(MakeError::SecureBootV1),
            (None, true) => return Err(MakeError::SecureBootOff { chip: chip.id }),
            _ => {}
        }
        let key = key_place(request, &wish)?;
        let nvs = nvs_part(request, &wish)?;
        let keys = nvs_keys(fleet).filter(|_| wish.flash_encryption.is_some());
        let (template, bootloader) = template(request, &wish, key, nvs.as_ref(), keys)?;
        let channel = match key {
            KeyPlace::None => None,
            _ => channel(request)?,
        };
        let present = present(chip, &wish, request.revision, None)?;
        let plan = plan(&wish, &present)?;
        let line = Self {
            chip,
            wish,
            revision: request.revision,
            channel,
            template,
            nvs,
            nvs_keys: keys.map(start),
            key,
            plan,
        };
        line.try_out(fleet, &bootloader)?;
        Ok(line)
    }

    /// The chip.
    #[must_use]
    pub const fn chip(&self) -> &'static Chip {
        self.chip
    }

    /// The channel that enrolled devices follow; `None` when devices have no keys of their own.
    #[must_use]
    pub const fn channel(&self) -> Option<&ChannelName> {
        self.channel.as_ref()
    }

    /// How flash is encrypted, if it is.
    #[must_use]
    pub const fn flash_encryption(&self) -> Option<&FlashEncryptionWish> {
        self.wish.flash_encryption.as_ref()
    }

    /// What flash holds before encryption, without what is a device's own.
    #[must_use]
    pub const fn template(&self) -> &Plaintext {
        &self.template
    }

    /// The eFuse plan: for any chip out of the box, or for the one with this address.
    ///
    /// # Errors
    /// [`MakeError`].
    pub fn plan(&self, mac: Option<Mac>) -> Result<Plan, MakeError> {
        match mac {
            None => Ok(self.plan.clone()),
            Some(_) => {
                let present = present(self.chip, &self.wish, self.revision, mac)?;
                Ok(plan(&self.wish, &present)?)
            }
        }
    }

    /// Digests of what devices share, by name: a batch that goes on has to have the same.
    #[must_use]
    pub fn inputs(&self) -> Vec<(&'static str, Digest)> {
        let nvs = self.nvs.as_ref();
        let values = nvs.map(|nvs| nvs.source.image.finish(None));
        let security = format!("{:?} {:?} {:?}", self.wish, self.revision, self.key);
        let stretches = format!("{:?}", self.template.encrypted);
        vec![
            ("chip", Digest::of(self.chip.name().as_bytes())),
            ("[chip.security]", Digest::of(security.as_bytes())),
            ("flash contents", Digest::of(&self.template.flash)),
            ("partition table", Digest::of(stretches.as_bytes())),
            (
                "set of NVS values",
                Digest::of(values.as_deref().map_or(&[], Vec::as_slice)),
            ),
        ]
    }

    /// Draws a device's keys, and puts its image together in `image`, encrypted.
    ///
    /// # Errors
    /// [`MakeError::Values`], [`MakeError::NoRandomness`].
    pub fn make(&self, order: &Order, image: &mut Vec<u8>) -> Result<Made, MakeError> {
        let made = self.make_plain(order, image)?;
        if let (Some(key), Some(wish)) = (&made.flash_key, &self.wish.flash_encryption) {
            let cipher = FlashCipher::new(key, wish.config);
            for stretch in &self.template.encrypted {
                let offset = FlashOffset::new(u32::try_from(stretch.start).unwrap_or(u32::MAX));
                let part = image.get_mut(stretch.clone()).unwrap_or_default();
                cipher
                    .encrypt(offset, part)
                    .map_err(|_| espseal_twin::factory::FactoryError::Misaligned { offset })?;
            }
        }
        Ok(made)
    }

    /// Makes devices on all cores, each core with one image in memory, and hands each to `keep`.
    ///
    /// # Errors
    /// The first [`MakeError`]; the other cores finish the device that they are at.
    pub fn make_all(
        &self,
        orders: &[&Order],
        observer: &dyn Observer,
        keep: impl Fn(&Order, &Made, &[u8]) -> Result<(), MakeError> + Sync,
    ) -> Result<(), MakeError> {
        observer.begin(Stage::Making, orders.len() as u64);
        on_all_cores(orders, observer, Vec::new, |image, order| {
            let made = self.make(order, image)?;
            keep(order, &made, image)
        })
    }

    /// Checks that a device's own values can be stored, without making it.
    ///
    /// # Errors
    /// [`MakeError::Values`].
    pub fn check(&self, order: &Order) -> Result<(), MakeError> {
        self.values(order).map(|_| ())
    }

    /// The NVS values of a device, with those that all share.
    fn values(&self, order: &Order) -> Result<Option<Source>, MakeError> {
        let Some(nvs) = &self.nvs else {
            return Ok(None);
        };
        let mut source = nvs.source.clone();
        let rows = source.append(&PathBuf::from("its row"), &order.values, &PathBuf::new());
        rows.map_err(|cause| MakeError::Values {
            name: order.name.clone(),
            cause,
        })?;
        Ok(Some(source))
    }

    /// The same before encryption.
    fn make_plain(&self, order: &Order, image: &mut Vec<u8>) -> Result<Made, MakeError> {
        image.clear();
        image.extend_from_slice(&self.template.flash);
        let seed = || draw().map(Secret);
        let mut made = Made {
            flash_key: self.draw_flash_key()?,
            identity: None,
            hmac_key: self.wish.device_key.map(|_| seed()).transpose()?,
            jtag_key: self.wish.jtag_key.map(|_| seed()).transpose()?,
        };
        made.identity = match (self.key, &made.hmac_key) {
            (KeyPlace::Hmac, Some(key)) => Some(Identity::derive(&key.0)?),
            (KeyPlace::Flash(offset), _) => {
                let identity = Identity::derive(&*draw()?)?;
                put(image, offset, identity.expose_secret());
                Some(identity)
            }
            _ => None,
        };
        let mut keys = None;
        if let Some(offset) = self.nvs_keys {
            let drawn = nvs::keys::draw();
            put(image, offset, &nvs::keys::partition(&drawn));
            keys = Some(drawn);
        }
        if let (Some(nvs), Some(source)) = (&self.nvs, self.values(order)?) {
            if let (true, Some(key)) = (nvs.hmac, &made.hmac_key) {
                keys = Some(NvsKeys::from_hmac_key(&key.0));
            }
            let cipher = keys.as_ref().map(NvsCipher::new);
            put(image, nvs.offset, &source.image.finish(cipher.as_ref()));
        }
        Ok(made)
    }

    fn draw_flash_key(&self) -> Result<Option<FlashKey>, MakeError> {
        let Some(wish) = &self.wish.flash_encryption else {
            return Ok(None);
        };
        let mut bytes = Zeroizing::new([0; 64]);
        let bytes = bytes.get_mut(..wish.key_length).ok_or(MakeError::Keys)?;
        getrandom::fill(bytes).map_err(|_| MakeError::NoRandomness)?;
        let mut kinds = self.chip.flash_encryption.iter();
        let kind = kinds.find(|kind| kind.length == wish.key_length);
        let key = kind.and_then(|kind| FlashKey::from_file(kind.scheme, bytes).ok());
        key.map(Some).ok_or(MakeError::Keys)
    }
}

/// Random bytes of the system.
fn draw() -> Result<Zeroizing<[u8; SEED_LEN]>, MakeError> {
    let mut key = Zeroizing::new([0; SEED_LEN]);
    getrandom::fill(&mut *key).map_err(|_| MakeError::NoRandomness)?;
    Ok(key)
}

/// Writes into an image that was laid out for it.
fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    let place = image.get_mut(offset..).unwrap_or_default();
    place
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
}

/// The chip out of the box.
fn present(
    chip: &'static Chip,
    wish: &Wish,
    revision: Option<u16>,
    mac: Option<Mac>,
) -> Result<Present, MakeError> {
    let coding = match wish.flash_encryption {
        Some(encryption) if encryption.key_length == 24 => CodingScheme::ThreeQuarters,
        _ => CodingScheme::None,
    };
    let Some(mac) = mac else {
        return Ok(Present::blank(chip.id, revision, coding)?);
    };
    let mut efuses = Efuses::as_shipped(chip.id, revision, mac)?;
    if coding == CodingScheme::ThreeQuarters {
        efuses.burn("CODING_SCHEME", 1)?;
    }
    Ok(Present::of(efuses))
}

/// Where devices have their own key, and whether it is safe there.
fn key_place(request: &Request<'_>, wish: &Wish) -> Result<KeyPlace, MakeError> {
    let (fleet, chip) = (request.fleet, request.fleet.chip);
    let partition = fleet.partitions.find_by_name(KEY_PARTITION);
    if wish.device_key.is_some() {
        return match chip.hmac {
            HmacPeripheral::Present => Ok(KeyPlace::Hmac),
            HmacPeripheral::Absent => Err(MakeError::NoHmac {
                chip: chip.id,
                option: "device-key",
                advice: "leave it out and add an encrypted data partition `device_key`",
            }),
        };
    }
    if let Some(entry) = partition {
        if !entry.is_encrypted() {
            return Err(MakeError::Partition {
                expected: "partition `device_key` that is encrypted",
                advice: "give it the flag `encrypted`: it holds the device's private keys",
            });
        }
        if wish.flash_encryption.is_none() {
            return Err(MakeError::NeedsEncryption {
                what: "the device key in flash",
                chip: chip.id,
                advice: "turn it on in [chip.security], or remove the partition `device_key`",
            });
        }
        return Ok(KeyPlace::Flash(start(entry)));
    }
    match request.enrols {
        true => Err(MakeError::NoDeviceKey { chip: chip.id }),
        false => Ok(KeyPlace::None),
    }
}

/// The channel that devices follow.
fn channel(request: &Request<'_>) -> Result<Option<ChannelName>, MakeError> {
    let chip = request.fleet.chip.id;
    let serves = |name: &str| {
        let mut channels = request.project.channels.iter();
        channels.find(|channel| channel.name.as_str() == name && channel.chips.contains(&chip))
    };
    let mut of_chip = request.project.channels.iter();
    let mut of_chip = of_chip
        .by_ref()
        .filter(|channel| channel.chips.contains(&chip));
    let all = || names(request.project.channels.iter().map(|channel| &channel.name));
    let unclear = || MakeError::Channel { chip, found: all() };
    match (request.channel, of_chip.next(), of_chip.next()) {
        (Some(name), ..) => serves(name)
            .map(|channel| Some(channel.name.clone()))
            .ok_or_else(unclear),
        (None, Some(only), None) => Ok(Some(only.name.clone())),
        (None, None, _) if !request.enrols => Ok(None),
        _ => Err(unclear()),
    }
}

fn nvs_keys(fleet: &Fleet) -> Option<&Entry> {
    fleet
        .partitions
        .find(PartitionType::Data, Subtype::DATA_NVS_KEYS)
}

/// The NVS partition with what all devices share.
fn nvs_part(request: &Request<'_>, wish: &Wish) -> Result<Option<NvsPart>, MakeError> {
    let fleet = request.fleet;
    if request.nvs_hmac && wish.device_key.is_none() {
        return Err(MakeError::NoHmac {
            chip: fleet.chip.id,
            option: "--nvs-hmac",
            advice: "it needs `device-key = true` in [chip.security]",
        });
    }
    if request.nvs.is_empty() && !request.has_values {
        return Ok(None);
    }
    let table = &fleet.partitions;
    let entry = table.find(PartitionType::Data, Subtype::DATA_NVS);
    let entry = entry.ok_or(MakeError::Partition {
        expected: "partition of type data, subtype nvs",
        advice: "add one, or leave the NVS values out",
    })?;
    let mut source = Source::new(entry.size, Version::Two)?;
    for path in &request.nvs {
        let folder = path.parent().unwrap_or(std::path::Path::new("."));
        source.read(path, folder)?;
    }
    Ok(Some(NvsPart {
        offset: start(entry),
        source,
        hmac: request.nvs_hmac,
    }))
}

fn start(entry: &Entry) -> usize {
    usize::try_from(entry.offset.get()).unwrap_or(usize::MAX)
}

/// Lays the flash out, with blanks where each device has something of its own. Also returns the bootloader.
fn template(
    request: &Request<'_>,
    wish: &Wish,
    key: KeyPlace,
    nvs: Option<&NvsPart>,
    keys: Option<&Entry>,
) -> Result<(Plaintext, Vec<u8>), MakeError> {
    let (fleet, chip) = (request.fleet, request.fleet.chip);
    let not_named = |field, needs| MakeError::NotNamed {
        chip: chip.id,
        field,
        needs,
    };
    let path = fleet.bootloader.as_ref();
    let path = path.ok_or_else(|| not_named("bootloader", "one to start"))?;
    let bootloader = files::read(path, "a bootloader image", LARGEST_IMAGE)?;
    if fleet.apps.is_empty() {
        return Err(not_named("apps", "one to run"));
    }
    let table = &fleet.partitions;
    let slots: Vec<_> = table
        .factory()
        .into_iter()
        .chain(table.app_slots())
        .collect();
    if fleet.apps.len() > slots.len() {
        return Err(MakeError::ManyApps {
            apps: fleet.apps.len(),
            slots: slots.len(),
        });
    }
    let mut contents: Vec<(String, Vec<u8>)> = Vec::new();
    for (entry, path) in slots.iter().zip(&fleet.apps) {
        let image = app(path, fleet, wish)?;
        contents.push((entry.label.to_string(), image));
    }
    let blank = |entry: &Entry| {
        let size = usize::try_from(entry.size).unwrap_or_default();
        (entry.label.to_string(), vec![0xFF; size])
    };
    let own = [
        nvs.and(table.find(PartitionType::Data, Subtype::DATA_NVS)),
        keys,
        table
            .find_by_name(KEY_PARTITION)
            .filter(|_| matches!(key, KeyPlace::Flash(_))),
        // Encrypted blank, as otadata: what the agent reads first is no noise.
        table.find(PartitionType::Data, Subtype(JOURNAL)),
    ];
    contents.extend(own.into_iter().flatten().map(blank));
    for (label, bytes) in &request.data {
        let taken = contents.iter().any(|(known, _)| known == label);
        if taken
            || table.find_by_name(label).is_some_and(|entry| {
                entry.subtype == Subtype::DATA_OTA && entry.kind == PartitionType::Data
            })
        {
            return Err(MakeError::Reserved {
                label: label.clone(),
            });
        }
        contents.push((label.clone(), bytes.clone()));
    }
    let contents: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(label, bytes)| (label.as_str(), bytes.as_slice()))
        .collect();
    let ends = table.entries.iter().filter_map(Entry::end);
    let end = ends.map(|end| end.get() as usize).max().unwrap_or(0);
    let mut sizes = FLASH_SIZES.into_iter();
    let plan = FactoryPlan {
        chip: chip.id,
        mac: NOBODY,
        flash_size: sizes.find(|size| *size >= end).unwrap_or(end),
        bootloader: &bootloader,
        table_offset: FlashOffset::new(fleet.partition_table_offset),
        table,
        contents: &contents,
        security: Security::Open,
    };
    let mut plain = plan.plaintext()?;
    if wish.flash_encryption.is_none() {
        plain.encrypted.clear();
    }
    let last = plain.flash.iter().rposition(|byte| *byte != 0xFF);
    let encrypted = plain.encrypted.last().map_or(0, |stretch| stretch.end);
    let values = nvs.map_or(0, |nvs| nvs.offset + nvs.source.image.finish(None).len());
    let end = last.map_or(0, |last| last + 1).max(encrypted).max(values);
    plain.flash.truncate(end.next_multiple_of(SECTOR_SIZE));
    Ok((plain, bootloader))
}

/// Subtype of the agent's journal partition.
const JOURNAL: u8 = 0x40;

/// Reads an app and checks it as a release is checked.
fn app(path: &PathBuf, fleet: &Fleet, wish: &Wish) -> Result<Vec<u8>, MakeError> {
    let bytes = files::read(path, "an app image", LARGEST_IMAGE)?;
    let bytes = match wish.secure_boot {
        None => bytes,
        Some(_) => check_image(path, bytes, fleet, None)?.bytes().to_vec(),
    };
    let (found, burnt) = (secure_version(&bytes), wish.secure_version.get());
    match found {
        Some(found) if found < burnt => Err(MakeError::SecureVersion {
            path: path.clone(),
            found,
            burnt,
        }),
        _ => Ok(bytes),
    }
}

/// The secure version in an app's descriptor, which stands behind the first segment's header.
fn secure_version(image: &[u8]) -> Option<u32> {
    let word = |at: usize| {
        let bytes = image.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    (word(32)? == 0xABCD_5432).then_some(word(36)?)
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("chip", &self.chip.id)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}
