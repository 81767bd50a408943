//! A device whose flash somebody wrote into.

use std::collections::BTreeSet;

use espseal_agent::config::RollbackRule;
use espseal_format::chip::ChipId;
use espseal_format::image::ImageLayout;
use espseal_format::partition_table::{PartitionTable, TABLE_LEN};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::boot::{BootFailure, BootOutcome, Decision, Rollback};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::Efuses;
use espseal_twin::inspect::otadata::{Slots, forecast};

use super::script::Script;
use crate::geometry::{FACTORY, Geometry, Locks, TWO_SLOTS};
use crate::image::App;

/// A device to boot again and again, from the factory's flash each time.
pub struct BootBench {
    geometry: Geometry,
    device: VirtualDevice,
    efuses: Efuses,
    factory: Vec<u8>,
    /// Images that are in flash from the first.
    approved: [Vec<u8>; 2],
    /// The bootloader without its signature. The same key signs it, and a table that somebody bent may
    /// name its place as an app's.
    bootloader: Vec<u8>,
    touched: BTreeSet<u32>,
}

impl BootBench {
    /// One of each kind: both schemes of encryption, with and without locks and rollback.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let kinds = [
            (ChipId::Esp32C3, Locks::Open, Rollback::Enabled),
            (ChipId::Esp32, Locks::Open, Rollback::Disabled),
            (ChipId::Esp32C3, Locks::Signed, Rollback::Disabled),
            (ChipId::Esp32C3, Locks::Release, Rollback::Enabled),
            (ChipId::Esp32, Locks::Release, Rollback::Enabled),
        ];
        let kinds = kinds
            .into_iter()
            .zip([&TWO_SLOTS, &FACTORY].into_iter().cycle());
        let kinds = kinds.map(|((chip, locks, rollback), table)| Geometry {
            chip,
            table,
            locks,
            rollback,
            rule: RollbackRule::Optional,
        });
        kinds.map(Self::new).collect()
    }

    fn new(geometry: Geometry) -> Self {
        let image = |version| {
            App {
                chip: geometry.chip,
                version,
                secure_version: 1,
                length: 3000,
                signer: geometry.signer(),
            }
            .build()
        };
        let approved = [image("1.0"), image("1.1")];
        let mut device = geometry.device(&approved[0]);
        let target = geometry.layout().slots[1].offset;
        for (index, sector) in approved[1].chunks(SECTOR_SIZE).enumerate() {
            let at = target.checked_add((index * SECTOR_SIZE) as u32).unwrap();
            let mut bytes = [0xFF; SECTOR_SIZE];
            bytes[..sector.len()].copy_from_slice(sector);
            device.bus().replace_sector(at, &bytes).unwrap();
        }
        let (at, end) = (
            device.efuses().model().bootloader_offset,
            device.settings().partition_table,
        );
        let mut bootloader = vec![0; (end.get() - at.get()) as usize];
        device.bus().read(at, &mut bootloader).unwrap();
        let length = ImageLayout::parse(&bootloader).unwrap().image_len;
        bootloader.truncate(length as usize);
        let factory = device.flash().contents().to_vec();
        device.flash_mut().record_changes();
        Self {
            efuses: device.efuses().clone(),
            geometry,
            device,
            factory,
            approved,
            bootloader,
            touched: BTreeSet::new(),
        }
    }

    /// The flash as the factory wrote it.
    #[must_use]
    pub fn factory(&self) -> &[u8] {
        &self.factory
    }

    /// Writes into flash what the script says, boots twice, and judges.
    ///
    /// # Panics
    /// When the twin runs what it must not, or disagrees with the format crate.
    pub fn run(&mut self, script: &[u8]) {
        self.reset();
        let mut script = Script(script);
        let sectors = self.sectors();
        while !script.0.is_empty() {
            let how = script.byte();
            let sector = sectors[usize::from(script.byte()) % sectors.len()];
            let at = script.below(SECTOR_SIZE);
            let count = usize::from(script.byte() % 64);
            self.write(how, sector, at, script.take(count));
        }
        for _ in 0..2 {
            self.boot();
        }
    }

    fn reset(&mut self) {
        let changes = self.device.flash_mut().record_changes();
        let sector = |at: FlashOffset| at.get() & !(SECTOR_SIZE as u32 - 1);
        self.touched
            .extend(changes.iter().map(|change| sector(change.offset)));
        for at in std::mem::take(&mut self.touched) {
            let cells = &self.factory[at as usize..at as usize + SECTOR_SIZE];
            let flash = self.device.flash_mut();
            flash.overwrite(FlashOffset::new(at), cells).unwrap();
        }
        *self.device.efuses_mut() = self.efuses.clone();
        self.device.flash_mut().record_changes();
    }

    /// Sectors worth writing into.
    fn sectors(&self) -> Vec<u32> {
        let layout = self.geometry.layout();
        let otadata = layout.otadata.get();
        let mut sectors = vec![
            self.device.settings().partition_table.get(),
            otadata,
            otadata + 0x1000,
        ];
        let slots = layout.slots.iter().chain(layout.factory.iter());
        sectors.extend(slots.flat_map(|slot| [slot.offset.get(), slot.offset.get() + 0x1000]));
        sectors
    }

    /// Writes as it is, or through flash encryption, with an MD5 or hash set right where asked.
    fn write(&mut self, how: u8, sector: u32, at: usize, bytes: &[u8]) {
        let offset = FlashOffset::new(sector);
        let mut cells = [0; SECTOR_SIZE];
        let raw = how & 1 != 0;
        match raw {
            true => self.device.flash().read(offset, &mut cells).unwrap(),
            false => self.device.bus().read(offset, &mut cells).unwrap(),
        }
        let end = SECTOR_SIZE.min(at + bytes.len());
        cells[at..end].copy_from_slice(&bytes[..end - at]);
        if how & 2 != 0 {
            mend_table(&mut cells);
        }
        if how & 4 != 0 {
            mend_image(&mut cells);
        }
        self.touched.insert(sector);
        match raw {
            true => self.device.flash_mut().overwrite(offset, &cells).unwrap(),
            false => self.device.bus().replace_sector(offset, &cells).unwrap(),
        }
    }

    fn boot(&mut self) {
        let settings = *self.device.settings();
        let mut bytes = [0; TABLE_LEN];
        self.device
            .bus()
            .read(settings.partition_table, &mut bytes)
            .unwrap();
        let size = self.device.flash().size() as u32;
        let table = PartitionTable::parse(&bytes).ok().filter(|table| {
            let fits = |end: Option<FlashOffset>| end.is_some_and(|end| end.get() <= size);
            table.verify(settings.partition_table).is_ok()
                && table.entries.iter().all(|entry| fits(entry.end()))
        });
        let entries = table.as_ref().and_then(|table| {
            let at = table.otadata()?.offset;
            let mut read = |at| {
                let mut entry = [0; 32];
                self.device.bus().read(at, &mut entry).unwrap();
                entry
            };
            Some([read(at), read(at.checked_add(0x1000)?)])
        });
        let report = self.device.power_on();
        if let Some(table) = &table {
            let refused = BootOutcome::Failed(BootFailure::PartitionTable);
            assert_ne!(report.outcome, refused, "{table:?}\n{}", report.log);
            if let Some(entries) = entries {
                let foreseen = forecast(&entries, Slots::of(table), settings.rollback);
                let selects = |decision: &&Decision| matches!(decision, Decision::Selected { .. });
                let ours = foreseen.decisions.iter().find(selects);
                let theirs = report.decisions.iter().find(selects);
                assert_eq!(ours, theirs, "{entries:02x?}\n{}", report.log);
            }
        }
        let Some(running) = report.running() else {
            return;
        };
        let mut image = vec![0; running.size.min(0x2_0000) as usize];
        self.device.bus().read(running.offset, &mut image).unwrap();
        let layout = ImageLayout::parse(&image);
        match &layout {
            Ok(layout) => assert_eq!(layout.image_len, running.image_len),
            Err(error) => panic!("it runs and does not parse: {error}\n{}", report.log),
        }
        if self.geometry.locks != Locks::Open {
            // Behind the blocks of a signature sector anything may stand.
            let signed = |known: &Vec<u8>| image.starts_with(&known[..known.len() - SECTOR_SIZE]);
            let known = self.approved.iter().any(signed) || image.starts_with(&self.bootloader);
            assert!(known, "nobody signed what runs at {}", running.offset);
        }
    }
}

/// An MD5 over the entries that stand before the first 0xFF.
fn mend_table(cells: &mut [u8; SECTOR_SIZE]) {
    let (records, _) = cells.as_chunks::<32>();
    let used = records.iter().take(95).position(|record| record[0] != 0xAA);
    let Some(used) = used else {
        return;
    };
    let mut with_end = cells[..used * 32].to_vec();
    with_end.extend([0xFF; 32]);
    let Ok(mut table) = PartitionTable::parse(&with_end) else {
        return;
    };
    table.checksum = espseal_format::partition_table::Checksum::Md5;
    let mut encoded = [0; TABLE_LEN];
    if table.encode(&mut encoded).is_ok() {
        cells[..TABLE_LEN].copy_from_slice(&encoded);
    }
}

/// Checksum and hash of an image that ends within its first sector.
fn mend_image(cells: &mut [u8; SECTOR_SIZE]) {
    let Ok(survey) = espseal_format::image::Survey::parse(&cells[..]) else {
        return;
    };
    cells[survey.layout.checksum_offset as usize] = survey.checksum.computed;
    if let Some(at) = survey.layout.hash_offset {
        let at = at as usize;
        let hash = espseal_format::units::Digest::of(&cells[..at]);
        cells[at..at + 32].copy_from_slice(&hash.0);
    }
}
