//! Partition layouts that an agent can work with, and those it cannot.

use espseal_agent::agent::{Agent, Parts};
use espseal_agent::config::{Layout, Region};
use espseal_agent::error::Misuse;
use espseal_agent::platform::Slot;
use espseal_agent::workspace::Workspace;
use espseal_format::partition_table::{DEFAULT_OFFSET, PartitionTable};
use espseal_format::units::{FlashOffset, Product};

use crate::support::{Delivery, World};

const TABLE: &str = "\
nvs,      data, nvs,     0x9000,   0x4000
otadata,  data, ota,     0xd000,   0x2000
espseal,  data, 0x40,    0xf000,   0x4000, encrypted
ota_0,    app,  ota_0,   0x20000,  0x100000
ota_1,    app,  ota_1,   0x120000, 0x100000
";

fn layout(csv: &str) -> Result<Layout, Misuse> {
    Layout::from_table(&PartitionTable::parse_csv(csv, DEFAULT_OFFSET).unwrap())
}

#[test]
fn layout_is_taken_from_the_partition_table() {
    let layout = layout(TABLE).unwrap();
    assert_eq!(layout.factory, None);
    assert_eq!(layout.otadata, FlashOffset::new(0xD000));
    assert_eq!(layout.journal, FlashOffset::new(0xF000));
    let second = Region {
        offset: FlashOffset::new(0x12_0000),
        size: 0x10_0000,
    };
    assert_eq!(layout.region(Slot::Ota(1)), Some(second));
    assert_eq!(layout.region(Slot::Ota(2)), None);
    assert_eq!(layout.default_slot(), Slot::Ota(0));
    assert_eq!(layout.target_for(Slot::Ota(1)), Some(Slot::Ota(0)));
}

#[test]
fn table_without_an_encrypted_journal_of_full_size_is_refused() {
    for (from, to) in [
        (", encrypted", ""),
        ("0xf000,   0x4000", "0xf000,   0x3000"),
        ("0x40, ", "0x41, "),
        ("otadata,  data, ota, ", "otadata,  data, 0x42,"),
    ] {
        assert_eq!(
            layout(&TABLE.replace(from, to)),
            Err(Misuse::Layout),
            "{to}"
        );
    }
}

#[test]
fn table_whose_slots_the_bootloader_counts_otherwise_or_that_has_only_one_is_refused() {
    let gap = format!("{TABLE}ota_3,    app,  ota_3,   0x220000, 0x100000\n");
    assert_eq!(layout(&gap), Err(Misuse::Layout));
    let none = gap.replace("ota_3", "ota_2");
    assert!(layout(&none).is_ok());
    let alone = TABLE.replace("app,  ota_1, ", "app,  factory,");
    assert_eq!(layout(&alone), Err(Misuse::Layout));
}

#[test]
fn agent_refuses_layouts_that_overlap_and_roots_of_other_products() {
    let refused = |bend: &dyn Fn(&mut World)| {
        let mut world = World::without_offer(Delivery::Ota0Valid);
        bend(&mut world);
        let mut workspace = Box::new(Workspace::new());
        let parts = Parts {
            flash: &mut world.flash,
            transport: &mut world.maker.repository,
            key: &mut world.device,
            platform: &mut world.chip,
            observer: &mut world.diary,
        };
        Agent::new(parts, &world.config, &mut workspace).err()
    };
    assert_eq!(refused(&|_| {}), None);
    let unsound: [&dyn Fn(&mut Layout); 5] = [
        &|layout| layout.slots.clear(),
        &|layout| layout.slots[1].offset = FlashOffset::new(0x1F000),
        &|layout| layout.slots[1].size = 0,
        &|layout| layout.journal = FlashOffset::new(0xA000),
        &|layout| layout.otadata = FlashOffset::new(0x9001),
    ];
    for bend in unsound {
        let error = refused(&|world| bend(&mut world.config.layout));
        assert_eq!(error, Some(Misuse::Layout));
    }
    let error = refused(&|world| world.config.product = Product([1; 16]));
    assert_eq!(error, Some(Misuse::BuiltInRoot));
    let error = refused(&|world| world.config.built_in_root = b"no root");
    assert_eq!(error, Some(Misuse::BuiltInRoot));
}
