//! What the demo plays with: the built-in images, or a maker's own files for one chip.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use espseal_format::chip::ChipId;
use espseal_format::image::{FlashSize, ImageLayout, set_flash_size};
use espseal_format::partition_table::{PartitionTable, TABLE_LEN};
use espseal_format::units::FlashOffset;

use crate::defaults;

/// Size of every virtual flash chip.
pub(crate) const FLASH_SIZE: usize = 4 << 20;
/// The chips that the demo plays on.
pub(crate) const CHIPS: [ChipId; 2] = [ChipId::Esp32C3, ChipId::Esp32];

/// Files of a maker, as given on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnFiles {
    /// Two app images: release 1 and release 2; empty for the built-in ones.
    pub apps: Vec<PathBuf>,
    /// A second-stage bootloader.
    pub bootloader: Option<PathBuf>,
    /// A partition table, binary or CSV.
    pub partitions: Option<PathBuf>,
    /// Where the bootloader looks for the table.
    pub partition_table_offset: Option<u32>,
}

/// Everything that is flashed and shipped for one chip, unsigned.
pub(crate) struct Inputs {
    pub chip: ChipId,
    pub bootloader: Vec<u8>,
    pub table: PartitionTable,
    /// The table as CSV, for the project.
    pub table_csv: String,
    pub table_offset: FlashOffset,
    pub releases: [Vec<u8>; 2],
}

/// Gathers the inputs of every chip.
pub(crate) fn gather(own: &OwnFiles) -> Result<Vec<Inputs>> {
    let mut all = CHIPS
        .into_iter()
        .map(built_in)
        .collect::<Result<Vec<_>>>()?;
    let [first, second] = own.apps.as_slice() else {
        return Ok(all);
    };
    let releases = [read(first)?, read(second)?];
    let chip = chip_of(first, &releases[0])?;
    if chip_of(second, &releases[1])? != chip {
        bail!(
            "{} and {} are for different chips",
            first.display(),
            second.display()
        );
    }
    let Some(inputs) = all.iter_mut().find(|inputs| inputs.chip == chip) else {
        bail!(
            "{} is for {chip}; the demo plays on ESP32-C3 and ESP32",
            first.display()
        );
    };
    inputs.releases = releases;
    if let Some(offset) = own.partition_table_offset {
        inputs.table_offset = FlashOffset::new(offset);
    }
    if let Some(path) = &own.bootloader {
        inputs.bootloader = bootloader(path, chip)?;
    }
    if let Some(path) = &own.partitions {
        inputs.table = table(path, inputs.table_offset)?;
        inputs.table_csv = csv(&inputs.table)?;
    }
    Ok(all)
}

fn built_in(chip: ChipId) -> Result<Inputs> {
    let defaults =
        defaults::for_chip(chip).with_context(|| format!("nothing is built in for {chip}"))?;
    let table_offset = defaults.partition_table_offset;
    let table = PartitionTable::parse_csv(defaults.partitions, table_offset)
        .with_context(|| format!("the built-in partition table of {chip}"))?;
    Ok(Inputs {
        chip,
        bootloader: defaults.bootloader()?,
        table,
        table_csv: defaults.partitions.into(),
        table_offset,
        releases: defaults.releases.map(<[u8]>::to_vec),
    })
}

/// Reads a bootloader and sets the size of the virtual flash chip in its header, as esptool does.
fn bootloader(path: &Path, chip: ChipId) -> Result<Vec<u8>> {
    let mut image = read(path)?;
    let mut layout = parse(path, &image)?;
    let found = layout.header.chip();
    if found != chip {
        bail!(
            "{} is for {found}, expected a bootloader for {chip}",
            path.display()
        );
    }
    set_flash_size(&mut image, &mut layout, FlashSize::Mb4)
        .with_context(|| path.display().to_string())?;
    Ok(image)
}

fn table(path: &Path, offset: FlashOffset) -> Result<PartitionTable> {
    let bytes = read(path)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.first() != Some(&0xAA) => {
            PartitionTable::parse_csv(text, offset).with_context(|| path.display().to_string())
        }
        _ => {
            let table = bytes.get(..TABLE_LEN).unwrap_or(&bytes);
            PartitionTable::parse(table).with_context(|| path.display().to_string())
        }
    }
}

fn csv(table: &PartitionTable) -> Result<String> {
    let mut text = String::new();
    table
        .write_csv(&mut text)
        .context("the partition table cannot be written as CSV")?;
    Ok(text)
}

fn chip_of(path: &Path, image: &[u8]) -> Result<ChipId> {
    Ok(parse(path, image)?.header.chip())
}

fn parse(path: &Path, image: &[u8]) -> Result<ImageLayout> {
    ImageLayout::parse(image).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.is_empty() {
        bail!("{} is empty", path.display());
    }
    if bytes.len() > FLASH_SIZE {
        bail!(
            "{} has {} bytes, more than the virtual flash of {FLASH_SIZE}",
            path.display(),
            bytes.len()
        );
    }
    Ok(bytes)
}
