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

/// `cargo xtask fuzz-smoke` sets how long, from which seed and what; otherwise it takes 10 seconds.
#[test]
fn no_target_is_dissatisfied_after_some_seconds_of_mutation() {
    let set = |name: &str| std::env::var(name).ok();
    let number = |name: &str| set(name).and_then(|text| text.parse().ok());
    let seconds = number("ESPSEAL_FUZZ_SECONDS").unwrap_or(10);
    let seed = number("ESPSEAL_FUZZ_SEED").unwrap_or(1);
    let only = set("ESPSEAL_FUZZ_TARGET").unwrap_or_default();
    let tally = smoke::run(Duration::from_secs(seconds), seed, &only);
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
