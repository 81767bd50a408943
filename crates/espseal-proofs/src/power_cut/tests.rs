//! The share of the power cuts that tests have time for, and what the exploration rests on.

use espseal_format::chip::ChipId;
use espseal_twin::boot::Rollback;
use espseal_twin::nor::NorFlash;
use espseal_twin::power::{Moment, PowerCut, Tear};

use super::explorer::{Cuts, Explorer, Place};
use super::life::Bench;
use super::plan::{SMALL, Scope};
use super::report;
use super::state::State;
use super::story::{Plot, Story};
use crate::answer::Answer as _;
use crate::geometry::{Geometry, Locks, TWO_SLOTS};

fn geometry() -> Geometry {
    Geometry {
        chip: ChipId::Esp32C3,
        table: &TWO_SLOTS,
        locks: Locks::Release,
        rollback: Rollback::Enabled,
        rule: espseal_agent::config::RollbackRule::Required,
    }
}

#[test]
fn no_power_cut_of_the_share_bricks_a_device_or_starts_what_nobody_approved() {
    let sum = report::run(Scope::Share, "", false, |line| println!("{line}"));
    println!("{}", sum.summary());
    assert_eq!(sum.violations(), 0, "{:#?}", sum.words());
}

/// Lives to the first restart with the power cut for real, and returns the flash.
fn cut_for_real(story: &Story, cut: PowerCut) -> Vec<u8> {
    let mut bench = Bench::new(story);
    bench.live_with(&State::default(), [cut]);
    bench.contents().to_vec()
}

#[test]
fn states_worked_out_are_those_that_real_cuts_leave() {
    let story = Story::new(geometry(), Plot::Update, SMALL);
    let mut bench = Bench::new(&story);
    let life = bench.live(&State::default()).unwrap();
    assert!(life.operations.len() > 10);
    let mut state = State::default();
    for (index, operation) in life.operations.iter().enumerate() {
        for moment in [
            Moment::Before,
            Moment::Inside(Tear::AfterBytes(20)),
            Moment::Inside(Tear::Scattered(5)),
            Moment::After,
        ] {
            let mut forked = state.clone();
            match moment {
                Moment::Before => {}
                Moment::Inside(tear) => {
                    let torn = operation.change.torn(tear);
                    forked.put(&story.base, operation.change.offset, &torn);
                }
                Moment::After => forked.apply(&story.base, &operation.change),
            }
            let operation = index as u64;
            let real = cut_for_real(&story, PowerCut { operation, moment });
            let mut worked_out = NorFlash::from_bytes(story.base.clone()).unwrap();
            for (number, sector) in &forked.sectors {
                let at = espseal_format::units::FlashOffset::new(number * 4096);
                worked_out.overwrite(at, sector.bytes()).unwrap();
            }
            assert!(worked_out.contents() == real, "{index} {moment:?}");
        }
        state.apply(&story.base, &operation.change);
    }
}

#[test]
fn a_story_that_expects_another_image_in_the_end_is_a_violation() {
    let mut story = Story::new(geometry(), Plot::Update, SMALL);
    story.last = 0;
    let cuts = Cuts {
        moments: [vec![Moment::Before], Vec::new()],
        count: 1,
        place: Place::Everywhere,
    };
    let findings = Explorer::new(&story, &cuts, true).run();
    assert!(findings.violations > 0);
}

#[test]
fn an_image_that_nobody_approved_is_a_violation() {
    let mut story = Story::new(geometry(), Plot::Update, SMALL);
    story.approved.remove(1);
    story.last = 0;
    let cuts = Cuts {
        moments: [vec![Moment::Before], Vec::new()],
        count: 1,
        place: Place::Everywhere,
    };
    let findings = Explorer::new(&story, &cuts, true).run();
    assert!(
        findings.words[0].contains("nobody approved"),
        "{:?}",
        findings.words
    );
}
