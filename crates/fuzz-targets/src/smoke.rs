//! Every target for some seconds, from the corpus, by a mutator that knows nothing of coverage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::mutator::Mutator;
use crate::{TARGETS, Target, corpus};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Inputs tried.
    pub executions: u64,
    /// Files with inputs that did not satisfy their target.
    pub findings: Vec<String>,
}

/// Shares `time` among the targets whose name contains `only`, with at most so many executions of each;
/// findings go to `fuzz/artifacts`.
///
/// # Panics
/// When the corpus cannot be read, or a finding not be written.
#[must_use]
pub fn run(time: Duration, most: u64, seed: u64, only: &str) -> Tally {
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| target.name.contains(only))
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = time * threads as u32 / chosen.len().max(1) as u32;
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(target) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (executions, finding) = try_out(target, (share, most), seed);
                    println!("{:<24}{executions:>10} executions", target.name);
                    let mut tally = tally.lock().expect("no thread panics");
                    tally.executions += executions;
                    tally.findings.extend(finding);
                }
            });
        }
    });
    tally.into_inner().expect("no thread panics")
}

fn try_out(target: &Target, (time, most): (Duration, u64), seed: u64) -> (u64, Option<String>) {
    let inputs = corpus::inputs(target).expect("the corpus can be read");
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutator = Mutator::new(seed);
    let mut executions = 0;
    // The first run makes what the target needs; it is not counted as time.
    (target.run)(&[]);
    let begun = Instant::now();
    while begun.elapsed() < time && executions < most {
        let input = mutator.make(&inputs, target.longest);
        executions += 1;
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            let folder = corpus::folder(target)
                .join("../../artifacts")
                .join(target.name);
            std::fs::create_dir_all(&folder).expect("a folder for findings");
            let file = folder.join(format!("smoke-{seed}-{executions}"));
            std::fs::write(&file, &input).expect("a finding can be written");
            return (executions, Some(file.display().to_string()));
        }
    }
    (executions, None)
}
