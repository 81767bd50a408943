//! The committed corpus, findings included, on stable Rust and without a fuzzer.
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use fuzz_targets::{TARGETS, corpus, seeds, smoke};

#[test]
fn every_input_of_the_corpus_satisfies_its_target() {
    let mut count = 0;
    for target in TARGETS {
        let inputs = corpus::inputs(target).expect("the corpus can be read");
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for (name, bytes) in inputs {
            println!("{}/{name}", target.name);
            (target.run)(&bytes);
            count += 1;
        }
        (target.run)(&[]);
    }
    println!("{count} inputs of {} targets", TARGETS.len());
}

/// Executions of each target in an ordinary run: the same inputs each time, so that what is new comes
/// from the code and not from a faster machine.
const ORDINARY: u64 = 2000;

/// `cargo xtask fuzz-smoke` sets how long, from which seed and what; otherwise it takes 10 seconds at
/// most.
#[test]
fn no_target_is_dissatisfied_after_some_seconds_of_mutation() {
    let set = |name: &str| std::env::var(name).ok();
    let number = |name: &str| set(name).and_then(|text| text.parse().ok());
    let seconds = number("ESPSEAL_FUZZ_SECONDS");
    let most = seconds.map_or(ORDINARY, |_| u64::MAX);
    let seed = number("ESPSEAL_FUZZ_SEED").unwrap_or(1);
    let only = set("ESPSEAL_FUZZ_TARGET").unwrap_or_default();
    let tally = smoke::run(
        Duration::from_secs(seconds.unwrap_or(10)),
        most,
        seed,
        &only,
    );
    println!("{} executions of all targets", tally.executions);
    assert!(tally.findings.is_empty(), "{:#?}", tally.findings);
}

/// Once, and after a format has changed: what the corpus starts from.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_seeds() {
    for target in TARGETS {
        let folder = corpus::folder(target);
        std::fs::create_dir_all(&folder).expect("a folder for the corpus");
        for (number, bytes) in seeds::of(target.name).into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), bytes).expect("a seed");
        }
    }
}
