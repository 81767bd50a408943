//! The twin before arbitrary flash: it decides, and it agrees with the format crate.

use std::cell::RefCell;

use espseal_format::image::ImageLayout;
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::FlashOffset;
use espseal_proofs::fuzz::BootBench;
use espseal_twin::inspect::dump::{FlashMap, Known};
use espseal_twin::inspect::flash::Flash;
use espseal_twin::inspect::image::Inspection;
use espseal_twin::inspect::otadata::OtadataView;

use crate::input::Input;

thread_local! {
    static BENCHES: RefCell<Vec<BootBench>> = RefCell::new(BootBench::all());
}

/// Changes a factory's flash, boots, and holds the outcome against what the format crate reads.
pub(crate) fn boot(data: &[u8]) {
    BENCHES.with_borrow_mut(|benches| {
        let mut input = Input(data);
        let index = usize::from(input.byte()) % benches.len();
        benches[index].run(input.0);
    });
}

/// Looks at a dump of which the input gives a few stretches.
pub(crate) fn inspect(data: &[u8]) {
    let mut input = Input(data);
    let shape = input.byte();
    let mut dump = vec![0xFF; 0x1_0000 << (shape & 3)];
    if shape & 4 != 0 {
        BENCHES.with_borrow(|benches| {
            let base = benches[usize::from(shape >> 4) % benches.len()].factory();
            let length = dump.len().min(base.len());
            dump[..length].copy_from_slice(&base[..length]);
        });
    }
    while !input.0.is_empty() {
        let sector = usize::from(input.byte()) * 4096 % dump.len();
        let at = sector + usize::from(input.word()) % 4096;
        let count = usize::from(input.byte());
        let bytes = input.take(count);
        let end = dump.len().min(at + bytes.len());
        dump[at..end].copy_from_slice(&bytes[..end - at]);
    }
    let flash = Flash::new(&dump, FlashOffset::new(0), None);
    for chip in [None, Some(espseal_format::chip::ChipId::Esp32)] {
        let known = Known {
            chip,
            table_offset: FlashOffset::new(0x8000),
        };
        let map = FlashMap::of(&flash, &known);
        assert_eq!(map.size as usize, dump.len());
        let table = dump.get(0x8000..0x8C00).map(PartitionTable::parse);
        assert_eq!(map.table.as_ref(), table.and_then(Result::ok).as_ref());
        let offsets: Vec<_> = map.regions.iter().map(|region| region.offset).collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
        for region in &map.regions {
            if let Some(image) = region.image() {
                let bytes = dump.get(region.offset.get() as usize..).unwrap_or_default();
                let walked = ImageLayout::parse(bytes);
                assert!(!image.is_sound() || walked.is_ok(), "{region:?}");
            }
        }
    }
    if let Ok(seen) = Inspection::of(&dump) {
        assert!(!seen.is_sound() || ImageLayout::parse(&dump).is_ok());
    }
    let _ = OtadataView::of(&flash).map(|view| view.reading());
}
