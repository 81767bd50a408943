//! Runs the tasks of a scope and says what came out.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::explorer::{Explorer, Findings};
use super::plan::{Scope, Task, tasks};
use super::story::Story;
use crate::answer::Answer;

/// Sums over all stories.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    stories: usize,
    /// Paths with one cut.
    single_cuts: u64,
    /// Paths with two cuts.
    pairs: u64,
    cut_points: u64,
    /// Different flash states that were booted.
    states: u64,
    /// Most chunks fetched again after one cut, and after two; chunk 0 is counted apart.
    refetched: [u32; 2],
    /// Most additional fetches of chunk 0 after one cut, and after two.
    refetched_chunk_0: [u32; 2],
    violations: u64,
    seconds: f64,
    first_violations: Vec<String>,
}

/// Explores every story of a scope whose name contains `only`; `say` hears of each.
pub(crate) fn run(scope: Scope, only: &str, hasty: bool, mut say: impl FnMut(&str)) -> Sum {
    let begun = Instant::now();
    let mut sum = Sum::default();
    for task in tasks(scope) {
        let name = format!("{}: {}", task.geometry.name(), task.plot.name());
        if !name.contains(only) {
            continue;
        }
        let (findings, spent) = explore(&task, hasty);
        let [single, pairs] = findings.paths;
        say(&format!(
            "{name:<75} {:4} operations {single:6} cuts {pairs:8} pairs {:8} states {:3} violations {:6.1} s",
            findings.operations,
            findings.lives,
            findings.violations,
            spent.as_secs_f64(),
        ));
        sum.add(findings);
        if hasty && sum.violations > 0 {
            break;
        }
    }
    sum.seconds = begun.elapsed().as_secs_f64();
    sum
}

fn explore(task: &Task, hasty: bool) -> (Findings, Duration) {
    let begun = Instant::now();
    let story = Story::new(task.geometry, task.plot, task.length);
    let findings = Explorer::new(&story, &task.cuts, hasty).run();
    (findings, begun.elapsed())
}

impl Sum {
    fn add(&mut self, mut findings: Findings) {
        self.stories += 1;
        self.single_cuts += findings.paths[0];
        self.pairs += findings.paths[1];
        self.cut_points = self.single_cuts + self.pairs;
        self.states += findings.lives;
        for index in 0..2 {
            let most = &mut self.refetched[index];
            *most = (*most).max(findings.refetched[index]);
            let most = &mut self.refetched_chunk_0[index];
            *most = (*most).max(findings.heads[index]);
        }
        self.violations += findings.violations;
        self.first_violations.append(&mut findings.words);
    }
}

impl Answer for Sum {
    fn violations(&self) -> u64 {
        self.violations
    }

    fn words(&self) -> &[String] {
        &self.first_violations
    }

    fn summary(&self) -> String {
        format!(
            "{} cut points ({} single, {} pairs) in {} stories, {} different states booted; fetched again: {} and {} chunks \
             after one and two cuts, chunk 0 {} and {} times more; {} violations; {:.0} s",
            self.cut_points,
            self.single_cuts,
            self.pairs,
            self.stories,
            self.states,
            self.refetched[0],
            self.refetched[1],
            self.refetched_chunk_0[0],
            self.refetched_chunk_0[1],
            self.violations,
            self.seconds
        )
    }
}
