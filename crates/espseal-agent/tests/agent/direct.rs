//! Direct images: ciphertext for this device's flash, this slot, this release, and nothing else.

mod refusals;

use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::{
    AgentError, BodyError, DeviceError, Document, HardwareError, MetadataError, ServerError,
};
use espseal_agent::flash::FlashFaultKind;
use espseal_agent::observer::Event;
use espseal_agent::platform::Slot;
use espseal_format::cohort::Ppm;
use espseal_format::cose::Role;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::units::{ChunkIndex, Digest, FlashOffset, Product};

use crate::support::flash::{Cut, RamFlash, Tear};
use crate::support::image::App;
use crate::support::maker::{DirectTarget, sign1};
use crate::support::{Delivery, JOURNAL, OTA_0, OTA_1, SLOT_SIZE, World, app};

/// First byte of the sector that the probe goes to: root A, while the root is the built-in one.
const PROBE: u32 = JOURNAL + 0x2000;

/// The target of an update from `ota_0`.
fn target(world: &World) -> DirectTarget<'static> {
    DirectTarget {
        flash: Box::leak(Box::new(world.flash.clone())),
        device: world.device.device_id(),
        number: 1,
        slot: OTA_1,
        journal: JOURNAL,
    }
}

fn publish(world: &mut World, target: &DirectTarget<'_>, bend: impl FnOnce(&mut DirectManifest)) {
    let image = world.new.clone();
    world
        .maker
        .release_direct(world.manifest, &image, target, bend);
}

/// A device that runs 1.0 and a repository that offers 2.0 to it, encrypted for its flash.
///
/// Its repository has neither wraps nor shards: whatever asks for one fails.
fn world() -> World {
    world_with(&app("2.0"))
}

fn world_with(offered: &App) -> World {
    let mut world = World::with(Delivery::Ota0Valid, offered);
    let target = target(&world);
    publish(&mut world, &target, |_| {});
    let files = &mut world.maker.repository.files;
    files.retain(|path, _| !path.starts_with("wraps/") && !path.starts_with("epochs/"));
    world.flash.erased.clear();
    world
}

fn update(world: &mut World) -> Result<UpdateOutcome, AgentError> {
    world.with_agent(|agent| agent.update_direct())
}

fn activated(world: &mut World) {
    let expected = UpdateOutcome::RestartToBoot { slot: Slot::Ota(1) };
    assert_eq!(update(world), Ok(expected));
    assert!(world.slot_holds(Slot::Ota(1), &world.new));
}

/// Demands a refusal that leaves everything but the journal as it is.
fn refused(world: &mut World, expected: impl Into<AgentError>) {
    assert_eq!(update(world), Err(expected.into()));
    assert!(!world.touched(), "{:x?}", world.flash.erased);
    world.boot();
    assert_eq!(world.chip.running, Slot::Ota(0));
}

fn body_of(world: &World) -> String {
    let files = &world.maker.repository.files;
    let sealed = |path: &&String| files[*path].len() == world.new.len();
    files
        .keys()
        .filter(|path| path.ends_with(".bin"))
        .find(|path| !sealed(path))
        .unwrap()
        .clone()
}

#[test]
fn direct_image_is_written_raw_started_and_confirmed_without_any_key_being_opened() {
    let mut world = world();
    activated(&mut world);
    let body = body_of(&world);
    let end = OTA_1 + world.new.len() as u32;
    let cells = world.flash.cells(OTA_1..end);
    assert_eq!(cells, world.maker.repository.files[&body][..cells.len()]);
    let (requests, sealed) = (&world.maker.repository.requests, world.manifest);
    for (path, _) in requests {
        assert!(!path.starts_with("wraps/") && !path.starts_with("epochs/"));
        assert!(!path.contains(".bin") || *path == body, "{path} {sealed}");
    }
    assert_eq!(world.boot(), Slot::Ota(1));
    let manifest = world.manifest;
    let awaiting = BootOutcome::AwaitingConfirmation { manifest };
    assert_eq!(world.on_boot(), Ok(awaiting));
    world.confirm().unwrap();
    assert_eq!(update(&mut world), Ok(UpdateOutcome::UpToDate));
}

#[test]
fn image_that_ends_within_a_sector_is_padded() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    let app = app("2.0");
    world.new = app.build();
    world.new.truncate(world.new.len() - 100);
    world.manifest = world.maker.release(&world.new, &app, 2, |_| {});
    world.maker.publish();
    let target = target(&world);
    publish(&mut world, &target, |_| {});
    // What is missing of its signature has nothing to do with how it is padded.
    let (expected, found) = (world.new.len() as u32, 0x5000);
    let cut_short = BodyError::ImageLength { expected, found };
    assert_eq!(update(&mut world), Err(cut_short.into()));
    let end = OTA_1 + world.new.len() as u32;
    let padding = world.flash.peek(end..end.next_multiple_of(4096));
    assert_eq!(padding, [0xFF; 100]);
}

#[test]
fn probe_is_written_first_then_the_slot_whose_first_sector_is_written_last() {
    let mut world = world();
    activated(&mut world);
    let erased: Vec<u32> = world.flash.erased.clone();
    let at = |place| erased.iter().position(|at| *at == place).unwrap();
    assert!(at(PROBE) < at(OTA_1));
    let slot: Vec<u32> = erased
        .iter()
        .filter(|at| (OTA_1..OTA_1 + SLOT_SIZE).contains(at))
        .map(|at| at - OTA_1)
        .collect();
    assert_eq!(slot, [0, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0]);
}

#[test]
fn probe_goes_to_the_sector_that_holds_no_root() {
    let mut world = world();
    world.maker.root.version = 2;
    world.maker.publish_root();
    world.maker.now.root_version = 2;
    world.maker.publish();
    activated(&mut world);
    let spare = JOURNAL + 0x3000;
    let head = Digest::of(&world.new[..4096]);
    assert_eq!(Digest::of(&world.flash.peek(spare..spare + 4096)), head);
    world.maker.repository.requests.clear();
    world.boot();
    world.on_boot().unwrap();
    world.confirm().unwrap();
    assert_eq!(update(&mut world), Ok(UpdateOutcome::UpToDate));
    let requests = &world.maker.repository.requests;
    assert!(requests.iter().all(|(path, _)| !path.starts_with("root/")));
}

#[test]
fn interrupted_download_resumes_with_the_missing_chunks_only() {
    let mut world = world();
    // Probe, chunk 0, two more chunks and a part.
    world.maker.repository.body_budget = Some(4 * 4096 + 100);
    let document = Document::Body;
    let interrupted = ServerError::Interrupted { document };
    assert_eq!(update(&mut world), Err(interrupted.into()));
    world.maker.repository.body_budget = None;
    world.maker.repository.requests.clear();
    world.flash.erased.clear();
    activated(&mut world);
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(ranges, [0..4096, 3 * 4096..6 * 4096, 0..4096]);
    assert!(!world.flash.erased.contains(&PROBE));
}

#[test]
fn image_that_stands_in_the_slot_already_is_fetched_no_more() {
    let mut world = world();
    activated(&mut world);
    // The activation was torn: the entry is not there.
    world.flash.program_factory(0xA000, &[0xFF; 4096]);
    world.boot();
    world.on_boot().unwrap();
    world.maker.repository.requests.clear();
    activated(&mut world);
    assert_eq!(world.maker.repository.body_ranges(), []);
}

#[test]
fn flipped_bits_of_the_ciphertext_are_never_written() {
    for (chunk, place) in [
        (0, None),
        (3, Some(OTA_1 + 0x3000)),
        (6, Some(PROBE)),
        (5, Some(OTA_1 + 0x5000)),
    ] {
        let mut world = world();
        let body = body_of(&world);
        let file = world.maker.repository.files.get_mut(&body).unwrap();
        file[chunk * 4096 + 77] ^= 4;
        let chunk = ChunkIndex::new(chunk as u32);
        assert_eq!(
            update(&mut world),
            Err(BodyError::ChunkHash { chunk }.into())
        );
        assert!(place.is_none_or(|place| !world.flash.erased.contains(&place)));
        assert_eq!(world.boot(), Slot::Ota(0));
    }
    let mut world = world();
    let pages = body_of(&world).replace(".bin", ".pages");
    world.maker.repository.files.get_mut(&pages).unwrap()[40] ^= 1;
    refused(&mut world, BodyError::PageHash { page: 0 });
}

/// Publishes other ciphertext under a direct manifest that is signed and consistent in itself.
fn publish_bent(world: &mut World, bend: impl FnOnce(&mut Vec<u8>)) {
    let mut image = world.new.clone();
    bend(&mut image);
    let target = target(world);
    world
        .maker
        .release_direct(world.manifest, &image, &target, |_| {});
}

#[test]
fn signed_ciphertext_of_another_image_never_becomes_bootable_and_is_quarantined() {
    // A releases key that was stolen can have old ciphertext written anew, but not started.
    for offset in [0x40, 0x2040, 0x5010] {
        let mut world = world();
        publish_bent(&mut world, |image| image[offset] ^= 1);
        let mut heads = 0;
        for _ in 0..2 {
            let refusal = update(&mut world).unwrap_err();
            let AgentError::Body(BodyError::ImageDigest { .. }) = refusal else {
                panic!("{refusal}");
            };
            heads += usize::from(world.slot_holds(Slot::Ota(1), &world.new[..64]));
        }
        assert_eq!(heads, 0, "the first sector came before the checks");
        let manifest = world.manifest;
        let quarantined = DeviceError::Quarantined { manifest };
        assert_eq!(update(&mut world), Err(quarantined.into()));
        assert_eq!(world.boot(), Slot::Ota(0));
    }
}

#[test]
fn probe_that_differs_from_the_slots_first_sector_is_found_out_after_the_write() {
    let mut world = world();
    let (manifest, image, target) = (world.manifest, world.new.clone(), target(&world));
    let mut bent = image.clone();
    bent[0x80] ^= 1;
    // Chunk 0 of the slot is another than the probe, whose image is the right one.
    let raw = target.flash.encrypted(OTA_1, &bent[..4096]);
    world
        .maker
        .release_direct_as(manifest, &image, &target, |body| {
            body[..4096].copy_from_slice(&raw);
        });
    let refusal = update(&mut world).unwrap_err();
    assert!(matches!(
        refusal,
        AgentError::Body(BodyError::ImageDigest { .. })
    ));
    let first = world.flash.cells(OTA_1..OTA_1 + 4096);
    assert!(first.iter().all(|byte| *byte == 0xFF), "it is still there");
}

#[test]
fn holds_cohorts_and_downgrades_count_as_ever() {
    let mut held = world();
    held.maker.releases.offers[0].ppm = Ppm::NONE;
    held.maker.publish();
    assert_eq!(update(&mut held), Ok(UpdateOutcome::Held));
    let mut installed = world();
    installed.config.floors.installed.generation = 1;
    installed.config.floors.installed.version = 3;
    assert!(matches!(
        update(&mut installed),
        Err(AgentError::Device(DeviceError::Downgrade { .. }))
    ));
}

#[test]
fn worn_or_protected_flash_is_noticed() {
    let mut world = world();
    world.flash.worn = Some(PROBE);
    let at = FlashOffset::new(PROBE);
    // Zeros cannot be programmed to ones.
    world.flash.program_factory(PROBE, &[0; 4096]);
    assert_eq!(
        update(&mut world),
        Err(HardwareError::ReadBack { at }.into())
    );
    let mut world = self::world();
    world.flash.protected = Some(OTA_1..OTA_1 + SLOT_SIZE);
    assert!(matches!(
        update(&mut world),
        Err(AgentError::Hardware(HardwareError::Flash {
            kind: FlashFaultKind::WriteProtected,
            ..
        }))
    ));
}

/// Lives until the new image is confirmed; returns the number of restarts.
fn live(world: &mut World) -> u32 {
    for restart in 0..20 {
        let slot = world.boot();
        let approved = world.slot_holds(slot, &world.old) || world.slot_holds(slot, &world.new);
        assert!(approved, "an image nobody approved runs in {slot}");
        let day = |world: &mut World| {
            if let BootOutcome::AwaitingConfirmation { .. } = world.on_boot()? {
                world.confirm()?;
            }
            update(world)
        };
        match day(world) {
            Ok(UpdateOutcome::UpToDate) => return restart,
            Ok(UpdateOutcome::RestartToBoot { .. }) => {}
            Err(AgentError::Hardware(HardwareError::Flash {
                kind: FlashFaultKind::PowerLost,
                ..
            })) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the update never ends");
}

#[test]
fn every_cut_of_a_direct_update_ends_with_the_new_image_confirmed() {
    let fresh = || {
        let mut small = app("2.0");
        small.chunks = 3;
        world_with(&small)
    };
    let mut undisturbed = fresh();
    let first = undisturbed.flash.operations;
    assert_eq!(live(&mut undisturbed), 1);
    let last = undisturbed.flash.operations;
    assert!(last - first > 20);
    for operation in first..last {
        for tear in [Tear::After(30), Tear::Whole] {
            let mut world = fresh();
            world.flash.cut = Some(Cut { operation, tear });
            assert!(live(&mut world) <= 6, "{operation} {tear:?}");
            assert_eq!(world.chip.running, Slot::Ota(1), "{operation} {tear:?}");
        }
    }
}

#[test]
fn sealed_and_direct_updates_may_take_turns_on_one_device() {
    let mut world = World::new();
    let target = target(&world);
    publish(&mut world, &target, |_| {});
    // The direct one begins, the sealed one ends: what stands in the slot is the same.
    world.maker.repository.body_budget = Some(4 * 4096);
    assert!(update(&mut world).is_err());
    world.maker.repository.body_budget = None;
    world.maker.repository.requests.clear();
    world.update_and_confirm();
    let ranges = world.maker.repository.body_ranges();
    assert_eq!(ranges, [0..4096, 3 * 4096..6 * 4096, 0..4096]);
}

#[test]
fn events_tell_what_is_installed_and_when_the_flash_key_is_proven() {
    let mut world = world();
    activated(&mut world);
    let proven = |event: &Event| matches!(event, Event::KeyCommitted);
    assert_eq!(world.diary.count(proven), 1);
    let manifest = world.manifest;
    let offered = |event: &Event| *event == Event::Offered { manifest };
    assert_eq!(world.diary.count(offered), 1);
}
