//! The partition table as the bootloader reads and prints it.
//!
//! Source: ESP-IDF `flash_partitions.c`, `bootloader_utility.c`.

use espseal_format::units::FlashOffset;
use md5::{Digest as _, Md5};

use super::image::{Part, Refusal};
use super::log::Log;
use crate::bus::Bus;

const TABLE_LEN: usize = 0xC00;
const TAG: &str = "boot";

/// What the bootloader keeps of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub factory: Option<Part>,
    pub test: Option<Part>,
    pub otadata: Option<Part>,
    ota: [Option<Part>; 16],
    /// Number of OTA entries in the table, whatever their numbers are.
    pub app_count: u32,
    /// Every data partition.
    pub data: Vec<(String, Usage, Part)>,
    /// Every entry, in order.
    pub entries: Vec<RawPart>,
}

/// What a data partition is to the bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Otadata,
    Other,
}

/// An entry as flash encryption looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawPart {
    pub kind: u8,
    pub subtype: u8,
    pub part: Part,
    pub flags: u32,
}

impl Table {
    /// The partition of an OTA slot, if the bootloader would look at it.
    pub(crate) fn ota(&self, index: u32) -> Option<Part> {
        if index >= self.app_count {
            return None;
        }
        self.ota
            .get(usize::try_from(index).ok()?)
            .copied()
            .flatten()
    }
}

/// Reads and checks the table; `Ok(None)` when it is refused.
pub(crate) fn load(
    bus: &mut Bus<'_>,
    at: FlashOffset,
    chip_size: u32,
    log: &mut Log,
) -> Result<Option<Table>, Refusal> {
    let mut bytes = [0; TABLE_LEN];
    bus.read(at, &mut bytes)?;
    let (entries, _) = bytes.as_chunks::<32>();
    let count = match check(&bytes, entries, chip_size) {
        Ok(count) => count,
        Err(text) => {
            log.error("flash_parts", text);
            log.error(TAG, "Failed to verify partition table");
            log.error(TAG, "load partition table error!");
            return Ok(None);
        }
    };
    log.info(TAG, "Partition Table:");
    log.info(
        TAG,
        "## Label            Usage          Type ST Offset   Length",
    );
    let mut table = Table::default();
    for (index, entry) in entries.iter().take(count).enumerate() {
        let [_, _, kind, subtype, ..] = *entry;
        let part = part(entry);
        let usage = table.enter(kind, subtype, part);
        let label = entry.get(12..28).unwrap_or_default();
        let label: String = label
            .iter()
            .take_while(|byte| **byte != 0)
            .map(|byte| char::from(*byte))
            .collect();
        if kind == 1 {
            let usage = match subtype {
                0 => Usage::Otadata,
                _ => Usage::Other,
            };
            table.data.push((label.clone(), usage, part));
        }
        let [.., a, b, c, d] = *entry;
        table.entries.push(RawPart {
            kind,
            subtype,
            part,
            flags: u32::from_le_bytes([a, b, c, d]),
        });
        let (offset, size) = (part.offset, part.size);
        log.info(
            TAG,
            format!(
                "{index:2} {label:<16} {usage:<16} {kind:02x} {subtype:02x} {offset:08x} {size:08x}"
            ),
        );
    }
    log.info(TAG, "End of partition table");
    Ok(Some(table))
}

impl Table {
    fn enter(&mut self, kind: u8, subtype: u8, part: Part) -> &'static str {
        match (kind, subtype) {
            (0, 0x00) => {
                self.factory = Some(part);
                "factory app"
            }
            (0, 0x20) => {
                self.test = Some(part);
                "test app"
            }
            (0, 0x10..=0x1F) => {
                if let Some(slot) = self.ota.get_mut(usize::from(subtype & 0x0F)) {
                    *slot = Some(part);
                }
                self.app_count += 1;
                "OTA app"
            }
            (0, _) => "Unknown app",
            (1, 0x00) => {
                self.otadata = Some(part);
                "OTA data"
            }
            (1, 0x01) => "RF data",
            (1, 0x02) => "WiFi data",
            (1, 0x04) => "NVS keys",
            (1, 0x05) => "efuse",
            (1, _) => "Unknown data",
            (2, 0x00) => "primary bootloader",
            (2, 0x01) => "ota bootloader",
            (2, 0x02) => "recovery bootloader",
            (3, 0x00) => "primary partition_table",
            (3, 0x01) => "ota partition_table",
            _ => "unknown",
        }
    }
}

/// Checks bounds, MD5 and end of the table; gives the number of entries.
fn check(bytes: &[u8], entries: &[[u8; 32]], chip_size: u32) -> Result<usize, String> {
    let mut md5_found = false;
    for (index, entry) in entries.iter().enumerate() {
        let [low, high, kind, subtype, ..] = *entry;
        match u16::from_le_bytes([low, high]) {
            0x50AA => {
                let Part { offset, size } = part(entry);
                if offset > chip_size || size > chip_size - offset {
                    return Err(format!(
                        "partition {index} invalid - offset {offset:#x} size {size:#x} exceeds flash chip size {chip_size:#x}"
                    ));
                }
            }
            0xEBEB => {
                if md5_found {
                    return Err("Only one MD5 checksum is allowed".into());
                }
                let covered = bytes.get(..index * 32).unwrap_or_default();
                if entry.get(16..) != Some(Md5::digest(covered).as_slice()) {
                    return Err("Incorrect MD5 checksum".into());
                }
                md5_found = true;
            }
            0xFFFF if index != 0 && kind == 0xFF && subtype == 0xFF => {
                return Ok(index - usize::from(md5_found));
            }
            magic => return Err(format!("partition {index} invalid magic number {magic:#x}")),
        }
    }
    Err("partition table has no terminating entry, not valid".into())
}

fn part(entry: &[u8; 32]) -> Part {
    let [_, _, _, _, a, b, c, d, e, f, g, h, ..] = *entry;
    Part {
        offset: u32::from_le_bytes([a, b, c, d]),
        size: u32::from_le_bytes([e, f, g, h]),
    }
}
