//! Resume, deduplication, order of writes, failing flash.

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::error::{AgentError, Document, FlashOperation, HardwareError, ServerError};
use espseal_agent::flash::FlashFaultKind;
use espseal_agent::observer::Event;
use espseal_agent::platform::Slot;
use espseal_format::units::FlashOffset;

use crate::support::{Delivery, OTA_1, SLOT_SIZE, World, app};

fn activated(world: &mut World) {
    assert_eq!(
        world.update(),
        Ok(UpdateOutcome::RestartToBoot { slot: Slot::Ota(1) })
    );
    assert!(world.slot_holds(Slot::Ota(1), &world.new));
}

#[test]
fn undisturbed_update_fetches_chunk_0_then_the_rest_then_chunk_0() {
    let mut world = World::new();
    activated(&mut world);
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(ranges, [0..4096, 4096..6 * 4096, 0..4096]);
}

#[test]
fn first_sector_is_erased_first_and_written_last() {
    let mut world = World::new();
    activated(&mut world);
    let slot = OTA_1..OTA_1 + SLOT_SIZE;
    let erased: Vec<u32> = world
        .flash
        .erased
        .iter()
        .filter(|at| slot.contains(at))
        .map(|at| at - OTA_1)
        .collect();
    assert_eq!(erased, [0, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0]);
}

#[test]
fn interrupted_download_resumes_with_the_missing_chunks_only() {
    let mut world = World::new();
    world.maker.repository.body_budget = Some(4096 + 2 * 4096 + 100);
    let document = Document::Body;
    assert_eq!(
        world.update(),
        Err(ServerError::Interrupted { document }.into())
    );
    world.maker.repository.body_budget = None;
    world.maker.repository.requests.clear();
    activated(&mut world);
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(ranges, [0..4096, 3 * 4096..6 * 4096, 0..4096]);
    assert_eq!(
        world
            .diary
            .count(|event| matches!(event, Event::Skipped { .. })),
        2
    );
}

#[test]
fn scattered_missing_chunks_are_fetched_in_runs() {
    let mut world = World::new();
    // What the slot holds already, as an earlier release might have left it.
    for chunk in [1, 3, 4] {
        let bytes = world.new[chunk * 4096..][..4096].to_vec();
        world
            .flash
            .program_factory(OTA_1 + chunk as u32 * 4096, &bytes);
    }
    activated(&mut world);
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(
        ranges,
        [0..4096, 2 * 4096..3 * 4096, 5 * 4096..6 * 4096, 0..4096]
    );
}

#[test]
fn chunk_0_in_place_does_not_stand_for_the_rest() {
    let mut world = World::new();
    let head = world.new[..4096].to_vec();
    world.flash.program_factory(OTA_1, &head);
    activated(&mut world);
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(ranges, [4096..6 * 4096, 0..4096]);
    let first = world.flash.erased.iter().find(|at| **at >= OTA_1);
    assert_eq!(
        first,
        Some(&OTA_1),
        "the header was not erased before the rest was written"
    );
}

#[test]
fn complete_slot_is_checked_but_neither_fetched_nor_written() {
    let mut world = World::new();
    let image = world.new.clone();
    world.flash.program_factory(OTA_1, &image);
    activated(&mut world);
    assert!(world.maker.repository.body_ranges().is_empty());
    assert!(!world.flash.erased_within(&(OTA_1..OTA_1 + SLOT_SIZE)));
    assert_eq!(
        world
            .diary
            .count(|event| matches!(event, Event::Verified { .. })),
        1
    );
}

#[test]
fn image_of_odd_length_is_padded_to_its_last_sector() {
    let mut small = app("2.0");
    small.signer = None;
    let mut world = World::with(Delivery::Ota0Valid, &small);
    world.chip.digests = [None; 3];
    world.config.policy.signature = espseal_agent::config::SignatureRule::WhenBurnt;
    activated(&mut world);
}

#[test]
fn body_of_several_pages_is_fetched_page_by_page() {
    let mut large = app("2.0");
    large.chunks = 300;
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.flash = {
        let mut flash = crate::support::flash::RamFlash::new(0x300_000, true);
        for (at, len) in [(0x9000, 0x2000), (crate::support::OTA_0, 0x10_000)] {
            let bytes = world.flash.peek(at..at + len);
            flash.program_factory(at, &bytes);
        }
        flash
    };
    world.config.layout.slots[1].size = 0x180_000;
    world.offer(&large, 2);
    // Hold back some of the middle: the second page resumes.
    world.maker.repository.body_budget = Some(4096 * (1 + 140));
    assert!(world.update().is_err());
    world.maker.repository.body_budget = None;
    world.maker.repository.requests.clear();
    activated(&mut world);
    let chunk = |from: u32, to: u32| from * 4096..to * 4096;
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(
        ranges,
        [chunk(0, 1), chunk(141, 256), chunk(256, 301), chunk(0, 1)]
    );
    let pages = world.maker.repository.requests.iter();
    let pages: Vec<_> = pages
        .filter(|(path, _)| path.ends_with(".pages"))
        .map(|(_, range)| range.clone())
        .collect();
    assert_eq!(
        pages,
        [
            Some(0..4096),
            Some(4096..8192),
            Some(8192..9632),
            Some(0..4096)
        ]
    );
}

#[test]
fn write_protected_flash_is_named_with_the_drivers_own_number() {
    let mut world = World::new();
    world.flash.protected = Some(OTA_1..OTA_1 + SLOT_SIZE);
    let Err(AgentError::Hardware(error)) = world.update() else {
        panic!("not refused")
    };
    assert_eq!(error.code(), 0x0501);
    assert!(matches!(error, HardwareError::Flash { at, code: 0x6001, .. } if at.get() == OTA_1));
}

#[test]
fn worn_sector_is_found_when_it_is_read_back() {
    let mut world = World::new();
    let at = OTA_1 + 0x2000;
    world.flash.program_factory(at, &[0; 4096]);
    world.flash.worn = Some(at);
    let refused = HardwareError::ReadBack {
        at: FlashOffset::new(at),
    };
    assert_eq!(world.update(), Err(refused.into()));
    // The chip is to blame, not the release.
    assert_eq!(world.update(), Err(refused.into()));
    assert_eq!(world.update(), Err(refused.into()));
    world.flash.worn = None;
    activated(&mut world);
}

#[test]
fn one_read_that_fails_is_the_flash_chips_fault_and_not_the_images() {
    let mut good = World::new();
    let before = good.flash.reads;
    let staged = good.update();
    assert!(matches!(staged, Ok(UpdateOutcome::RestartToBoot { .. })));
    let reads = good.flash.reads;
    for read in (before + 1..=reads).rev().step_by(3) {
        let mut world = World::new();
        world.flash.unreadable = Some(read);
        let failed = world.update();
        let by_flash = matches!(
            failed,
            Err(AgentError::Hardware(HardwareError::Flash {
                operation: FlashOperation::Read,
                kind: FlashFaultKind::Hardware,
                ..
            }))
        );
        assert!(by_flash, "read {read} of {reads}: {failed:?}");
        let mut lives = 0;
        while world.boot() != Slot::Ota(1) {
            world.on_boot().unwrap();
            assert_eq!(world.update(), staged, "read {read} of {reads}");
            lives += 1;
            assert!(lives < 3, "read {read} of {reads}");
        }
        world.on_boot().unwrap();
        world.confirm().unwrap();
    }
    println!("{} reads", reads - before);
    assert!(reads - before > 50);
}
