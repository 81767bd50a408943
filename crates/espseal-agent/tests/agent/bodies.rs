//! Keys, pages and chunks: nothing is erased before both commitments have held.

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::error::{AgentError, BodyError};
use espseal_agent::observer::Event;
use espseal_agent::platform::Slot;
use espseal_crypto::content::ContentKey;
use espseal_crypto::epoch::EpochKey;
use espseal_format::units::ChunkIndex;

use crate::metadata::denial;
use crate::support::maker::{GROUP, PRODUCT};
use crate::support::{OTA_1, World};

#[test]
fn device_left_out_of_the_epoch_is_told_so() {
    let mut world = World::new();
    let id = world.device.device_id();
    let shard = world.maker.repository.file(".shard");
    let entries: Vec<u8> = shard
        .chunks(145)
        .filter(|entry| entry[..32] != id.0)
        .flatten()
        .copied()
        .collect();
    *shard = entries;
    let refused = BodyError::NotARecipient {
        group: GROUP,
        epoch: 3,
    };
    assert_eq!(denial(&mut world), refused.into());
}

#[test]
fn tampered_shard_entry_does_not_open() {
    let mut world = World::new();
    let id = world.device.device_id();
    let shard = world.maker.repository.file(".shard");
    let own = shard
        .chunks_mut(145)
        .find(|entry| entry[..32] == id.0)
        .unwrap();
    own[144] ^= 1;
    assert_eq!(denial(&mut world), BodyError::ShardEntry.into());
}

#[test]
fn shard_that_is_out_of_order_is_refused() {
    let mut world = World::new();
    let shard = world.maker.repository.file(".shard");
    let (first, rest) = shard.split_at(145);
    *shard = [rest, first].concat();
    assert_eq!(denial(&mut world), BodyError::ShardFormat.into());
}

#[test]
fn epoch_key_of_someone_else_fails_the_commitment() {
    // HPKE base mode authenticates nobody: anyone can wrap a key of his own for this device.
    let mut world = World::new();
    let own = std::mem::replace(
        &mut world.maker.keys.epoch,
        EpochKey::from_bytes([0x66; 32]),
    );
    world.maker.enrol(&world.device);
    world.maker.keys.epoch = own;
    assert_eq!(denial(&mut world), BodyError::EpochCommitment.into());
}

#[test]
fn tampered_key_wrap_does_not_open() {
    let mut world = World::new();
    world.maker.repository.tamper(".kw");
    assert_eq!(denial(&mut world), BodyError::Wrap.into());
}

#[test]
fn content_key_of_someone_else_fails_the_commitment() {
    let mut world = World::new();
    let body = espseal_format::units::Digest::of(world.maker.repository.file(".bin"));
    let wrap = world
        .maker
        .keys
        .epoch
        .kek(&PRODUCT, GROUP, 3, &body)
        .wrap(&ContentKey::from_bytes([0x66; 32]));
    *world.maker.repository.file(".kw") = wrap.0.to_vec();
    assert_eq!(denial(&mut world), BodyError::KeyCommitment.into());
    assert_eq!(world.diary.count(|event| *event == Event::KeyCommitted), 0);
}

#[test]
fn tampered_page_is_refused_before_anything_is_erased() {
    let mut world = World::new();
    world.maker.repository.tamper(".pages");
    assert_eq!(denial(&mut world), BodyError::PageHash { page: 0 }.into());
}

#[test]
fn tampered_chunk_0_is_refused_before_anything_is_erased() {
    let mut world = World::new();
    world.maker.repository.file(".bin")[17] ^= 1;
    let refused = BodyError::ChunkHash {
        chunk: ChunkIndex::new(0),
    };
    assert_eq!(denial(&mut world), refused.into());
}

#[test]
fn tampered_chunk_is_never_written_and_leaves_the_slot_unbootable() {
    for chunk in 1..6 {
        let mut world = World::new();
        let good = world.maker.repository.file(".bin").clone();
        world.maker.repository.file(".bin")[chunk as usize * 4096 + 7] ^= 0x80;
        let refused = BodyError::ChunkHash {
            chunk: ChunkIndex::new(chunk),
        };
        assert_eq!(world.update(), Err(AgentError::Body(refused)));
        let at = OTA_1 + chunk * 4096;
        assert!(
            !world.flash.erased_within(&(at..at + 4096)),
            "chunk {chunk} was written"
        );
        assert!(!world.slot_holds(Slot::Ota(1), &world.new[..4096]));
        // A hostile server cannot make the device give the release up.
        assert_eq!(world.update(), Err(AgentError::Body(refused)));
        assert_eq!(world.update(), Err(AgentError::Body(refused)));
        *world.maker.repository.file(".bin") = good;
        assert!(matches!(
            world.update(),
            Ok(UpdateOutcome::RestartToBoot { .. })
        ));
    }
}

#[test]
fn chunk_that_turns_bad_on_its_second_way_is_not_written() {
    // Chunk 0 is fetched twice: once to look at it, once to write it.
    let mut world = World::new();
    world.maker.repository.body_budget = Some(4096 * 6);
    assert!(world.update().is_err());
    world.maker.repository.body_budget = None;
    world.maker.repository.file(".bin")[17] ^= 1;
    let refused = BodyError::ChunkHash {
        chunk: ChunkIndex::new(0),
    };
    assert_eq!(world.update(), Err(AgentError::Body(refused)));
    assert!(!world.slot_holds(Slot::Ota(1), &world.new[..4096]));
}
