//! On the twin: each plan ends where it says, from every step on.

use espseal_publish::efuse_plan::apply::Position;
use espseal_publish::efuse_plan::document::Document;
use espseal_publish::efuse_plan::plan::plan;
use espseal_publish::efuse_plan::present::Present;
use espseal_publish::efuse_plan::wish::{BurntKeys, Wish};
use espseal_twin::efuse::{emulator, virt};

use super::wishes::{material, silicons};

#[test]
fn a_plan_that_is_interrupted_after_any_step_ends_where_it_ends_without() {
    interrupt(5);
}

/// `cargo xtask efuse-plans --full`.
#[test]
#[ignore = "takes half a minute"]
fn every_plan_that_is_interrupted_after_any_step_ends_where_it_ends_without() {
    interrupt(1);
}

/// One of `share` plans of each chip.
fn interrupt(share: usize) {
    let (mut plans, mut refused, mut interruptions) = (0, 0, 0);
    for silicon in silicons() {
        let (planned, none) = silicon.plans();
        refused += none;
        for planned in planned.into_iter().step_by(share) {
            let plan = &planned.plan;
            let material = material(plan);
            let mut end = planned.present.efuses().clone();
            assert_eq!(plan.apply(&mut end, &material).unwrap(), plan.steps.len());
            let whole = emulator::encode(&end);
            let mut stopped = planned.present.efuses().clone();
            for done in 0..=plan.steps.len() {
                assert_eq!(plan.position(&stopped).unwrap(), Position::After(done));
                let mut resumed = stopped.clone();
                let rest = plan.apply(&mut resumed, &material).unwrap();
                assert_eq!(rest, plan.steps.len() - done);
                assert_eq!(emulator::encode(&resumed), whole);
                interruptions += 1;
                if done < plan.steps.len() {
                    plan.apply_next(&mut stopped, &material).unwrap();
                }
            }
            plans += 1;
        }
    }
    println!(
        "{plans} plans ({refused} wishes refused), {interruptions} interruptions, each resumed to the same end"
    );
    assert!(plans > 9000 / share, "{plans}");
}

#[test]
fn a_chip_that_is_half_way_is_planned_anew_to_the_same_end() {
    let (mut plans, mut half_way) = (0, 0);
    for silicon in silicons() {
        for planned in silicon.plans().0.into_iter().step_by(13) {
            let material = material(&planned.plan);
            let mut end = planned.present.efuses().clone();
            planned.plan.apply(&mut end, &material).unwrap();
            let mut stopped = planned.present.efuses().clone();
            let wish = Wish {
                burnt_keys: BurntKeys::Accept,
                ..planned.wish.clone()
            };
            while planned
                .plan
                .apply_next(&mut stopped, &material)
                .unwrap()
                .is_some()
            {
                // What a tool reads: hidden keys are gone.
                let file = virt::encode(&stopped);
                let present = Present::parse(silicon.chip.id, &file).unwrap();
                if present.efuses().revision() != silicon.revision {
                    continue;
                }
                let anew = plan(&wish, &present).unwrap_or_else(|refusal| {
                    panic!(
                        "{wish:?} after some steps of {:?}: {refusal}",
                        planned.plan.steps
                    )
                });
                let mut resumed = present.efuses().clone();
                anew.apply(&mut resumed, &material).unwrap();
                assert_eq!(virt::encode(&resumed), virt::encode(&end), "{wish:?}");
                half_way += 1;
            }
            plans += 1;
        }
    }
    println!("{plans} plans, {half_way} chips half way planned anew to the same end");
    assert!(half_way > 4000, "{half_way}");
}

#[test]
fn a_plan_survives_its_document() {
    let mut plans = 0;
    for silicon in silicons() {
        for planned in silicon.plans().0.into_iter().step_by(23) {
            let json = serde_json::to_vec(&Document::of(&planned.plan)).unwrap();
            let read = Document::parse(&json).unwrap();
            assert_eq!(read.steps, planned.plan.steps);
            assert_eq!(read.states, planned.plan.states);
            assert_eq!(serde_json::to_vec(&Document::of(&read)).unwrap(), json);
            let material = material(&planned.plan);
            let [mut one, mut other] = [(); 2].map(|()| planned.present.efuses().clone());
            planned.plan.apply(&mut one, &material).unwrap();
            read.apply(&mut other, &material).unwrap();
            assert_eq!(emulator::encode(&one), emulator::encode(&other));
            plans += 1;
        }
    }
    println!("{plans} plans written and read");
}
